package app

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"github.com/trapline/trapline/config"
	"github.com/trapline/trapline/seclang"
)

// everyFault adds to the faults in the structure of a configuration those in
// the rules of its hosts: who mends a file wants to see all of them at once.
func everyFault(ctx context.Context, structure error) error {
	var faults *config.Faults
	if !errors.As(structure, &faults) { // there was nothing to read
		return structure
	}
	_, err := compile(ctx, faults.Read, nil, nil, nil, seclang.DebugOutput{})
	return inOrder(errors.Join(structure, err))
}

// inOrder sorts the errors that err joins by file and line, each once. Those without a place come last.
func inOrder(err error) error {
	all := leaves(err)
	slices.SortStableFunc(all, func(x, y error) int {
		a, b := placeOf(x), placeOf(y)
		if a == nil || b == nil {
			return cmp.Compare(rank(a), rank(b))
		}
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line))
	})
	return uniqueErrors(errors.Join(all...))
}

// leaves takes errors.Join apart.
func leaves(err error) []error {
	if err == nil {
		return nil
	}
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{err}
	}
	var all []error
	for _, e := range joined.Unwrap() {
		all = append(all, leaves(e)...)
	}
	return all
}

// placeOf is the error as one that knows its place, or nil.
func placeOf(err error) *seclang.Error {
	var e *seclang.Error
	if errors.As(err, &e) {
		return e
	}
	return nil
}

func rank(e *seclang.Error) int {
	if e == nil {
		return 1
	}
	return 0
}
