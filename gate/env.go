package gate

import (
	"net/http"
	"slices"

	"github.com/trapline/trapline/config"
)

type envVar struct{ name, value string }

// getenv looks a variable up: what rules set (setenv) wins over what SetEnvIf set.
func (x *exchange) getenv(name string) (string, bool) {
	if x.tx != nil {
		env := x.tx.Env()
		for i := len(env) - 1; i >= 0; i-- {
			if env[i].Name == name {
				return env[i].Value, true
			}
		}
	}
	for i := range x.env {
		if x.env[i].name == name {
			return x.env[i].value, true
		}
	}
	if name == "HTTPS" && x.r.TLS != nil {
		return "on", true
	}
	return "", false
}

// setEnv evaluates SetEnv, SetEnvIf and BrowserMatch in order; later ones see what earlier ones set.
func (x *exchange) setEnv() {
	for i := range x.merged.setEnv {
		e := &x.merged.setEnv[i]
		groups, ok := x.envMatches(e)
		if !ok {
			continue
		}
		for _, v := range e.Vars {
			x.env = slices.DeleteFunc(x.env, func(have envVar) bool { return have.name == v.Name })
			if !v.Unset {
				x.env = append(x.env, envVar{v.Name, substitute(v.Value, groups)})
			}
		}
	}
}

func (x *exchange) envMatches(e *config.SetEnv) (groups []string, ok bool) {
	switch {
	case e.Attribute == "":
		return nil, true
	case e.AttrRegex != nil:
		for _, name := range sortedNames(x.r.Header) {
			if e.AttrRegex.MatchString(name) {
				for _, v := range x.r.Header[name] {
					if groups = e.Regexp.Groups(v); groups != nil {
						return groups, true
					}
				}
			}
		}
		return nil, false
	}
	groups = e.Regexp.Groups(x.attribute(e.Attribute))
	return groups, groups != nil
}

// attribute is what SetEnvIf asks about: part of the request, a header, or a variable set before.
func (x *exchange) attribute(name string) string {
	switch name {
	case "Remote_Host", "Remote_Addr":
		return x.client.Addr().String()
	case "Server_Addr":
		return x.conn.local.Addr().String()
	case "Request_Method":
		return x.r.Method
	case "Request_Protocol":
		return x.r.Proto
	case "Request_URI":
		return x.r.URL.Path
	case "Host":
		return x.r.Host
	}
	if values := x.r.Header[http.CanonicalHeaderKey(name)]; len(values) > 0 {
		return values[0]
	}
	v, _ := x.getenv(name)
	return v
}
