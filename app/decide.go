package app

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/trapline/trapline/audit"
	"github.com/trapline/trapline/collection"
	"github.com/trapline/trapline/config"
	"github.com/trapline/trapline/console/web"
	"github.com/trapline/trapline/decision"
)

// decide turns tags of the client's IP record into decisions, as the TrapDecision
// lines say. The tag is what the rules of the real site read; the decision is the
// same knowledge for everybody else: other servers, the console, the owner.
func (s *Sensor) decide(ctx context.Context, r *audit.Record) error {
	client := r.Client.Addr().Unmap()
	for _, want := range s.settings.Load().decisions {
		if !s.tagged(client, want.Variable) || s.decided(client, want) {
			continue
		}
		now := s.now()
		_, err := s.decisions.Add(ctx, decision.Decision{
			Scope: "Ip", Value: netip.PrefixFrom(client, client.BitLen()), Type: want.Type,
			Origin: "trapline", Scenario: want.Collection + "." + want.Variable,
			Evidence: []string{r.ID}, Created: now, Until: now.Add(want.For),
		})
		// Too many are in force (trapline status counts it): the tag holds here all the same, and the record is kept.
		if err != nil && !errors.Is(err, decision.ErrFull) {
			return err
		}
	}
	return nil
}

// tagged says whether the client's IP record holds the variable.
func (s *Sensor) tagged(client netip.Addr, variable string) bool {
	view, ok := s.collections.Load("ip", client.String(), s.now())
	if !ok {
		return false
	}
	_, ok = view.Get(variable)
	return ok
}

// decided says whether the decision stands and has most of its time left, so
// that a client which touches a trap a thousand times costs one write, not a thousand.
func (s *Sensor) decided(client netip.Addr, want config.Decision) bool {
	now := s.now()
	d, ok := s.decisions.Active(client, now)
	return ok && d.Type == want.Type && d.Until.Sub(now) > want.For*9/10
}

// errNoDecision is what lift returns when nothing stood against the address.
var errNoDecision = errors.New("no decision and no tag stands against this address")

// lift ends every decision on the address and removes the tags they came from:
// without the second the address would still be blocked here, and decided on again.
func (s *Sensor) lift(ctx context.Context, client netip.Addr) error {
	client = client.Unmap()
	lifted := false
	for _, d := range s.decisions.List(decision.Filter{Addr: client}) {
		if err := s.decisions.Delete(ctx, d.ID); err != nil {
			return fmt.Errorf("delete decision %s: %w", d.ID, err)
		}
		lifted = true
	}
	var unset []collection.Change
	for _, want := range s.settings.Load().decisions {
		if s.tagged(client, want.Variable) {
			unset = append(unset, collection.Change{Op: collection.OpUnset, Name: want.Variable})
		}
	}
	if len(unset) > 0 {
		ticket := s.collections.Apply("ip", client.String(), time.Hour, s.now(), unset)
		if err := ticket.Wait(ctx); err != nil {
			return fmt.Errorf("remove the tag of %s: %w", client, err)
		}
		lifted = true
	}
	if !lifted {
		return errNoDecision
	}
	return nil
}

// allowed says whether a key of a collection is an address that TrapAllow names: it is never tagged.
func (s *Sensor) allowed(name, key string) bool {
	set := s.settings.Load()
	if set == nil || len(set.conf.Trap.Allow) == 0 || name != "ip" {
		return false
	}
	address, err := netip.ParseAddr(key)
	if err != nil {
		return false
	}
	address = address.Unmap().WithZone("") // a prefix holds no address with a zone
	return slices.ContainsFunc(set.conf.Trap.Allow, func(p netip.Prefix) bool { return p.Contains(address) })
}

// webDecisions lists the decisions for the console's page.
func (s *Sensor) webDecisions(context.Context) ([]web.Decision, error) {
	list := s.decisions.List(decision.Filter{})
	out := make([]web.Decision, len(list))
	for i, d := range list {
		out[i] = web.Decision{
			Value: d.Value, Type: d.Type, Origin: d.Origin, Scenario: d.Scenario, Evidence: d.Evidence, Created: d.Created, Until: d.Until,
		}
	}
	return out, nil
}
