package seclang

// adopt gives the starter of a chain what only a member says: message, data, severity and where to go on, as in
// version 3; version 2 refuses these actions in members. Where several say it, the first does.
func (r *rule) adopt() {
	for m := r.next; m != nil; m = m.next {
		if r.msg == nil {
			r.msg = m.msg
		}
		if r.logdata == nil {
			r.logdata = m.logdata
		}
		if r.severity < 0 {
			r.severity = m.severity
		}
		if r.rev == "" {
			r.rev = m.rev
		}
		if r.ver == "" {
			r.ver = m.ver
		}
		if r.maturity == 0 {
			r.maturity = m.maturity
		}
		if r.accuracy == 0 {
			r.accuracy = m.accuracy
		}
		if r.skip == 0 {
			r.skip = m.skip
		}
		if r.skipAfter == "" {
			r.skipAfter = m.skipAfter
		}
	}
}
