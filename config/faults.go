package config

// Faults are the faults of a configuration.
type Faults struct {
	// Errs joins one *seclang.Error per fault, in the order of file and line.
	Errs error
	// Read is the configuration as far as it could be read, for who looks for
	// further faults, in its rules. Nothing may run on it.
	Read *Config
}

// Error is one line per fault.
func (f *Faults) Error() string { return f.Errs.Error() }

// Unwrap takes the faults apart.
func (f *Faults) Unwrap() []error {
	if joined, ok := f.Errs.(interface{ Unwrap() []error }); ok {
		return joined.Unwrap()
	}
	return []error{f.Errs}
}
