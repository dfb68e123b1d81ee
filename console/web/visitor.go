package web

import (
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/trapline/trapline/console/control"
)

// visitor is a person signed in, for one request.
type visitor struct {
	control.Session
	token string // the cookie's value
}

const sessionCookie = "session"

// signedIn finds the visitor of a request and leads to sign-in when there is
// none. A request that changes something must carry the form's token.
func (s *Site) signedIn(h func(http.ResponseWriter, *http.Request, *visitor)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		token := s.cookie(r, sessionCookie)
		if token == "" {
			s.toSignIn(w, r)
			return
		}
		session, err := s.cfg.Control.Session(r.Context(), token)
		if errors.Is(err, control.ErrNoSession) {
			s.toSignIn(w, r)
			return
		}
		if err != nil {
			s.fail(w, r, nil, http.StatusInternalServerError, "The console cannot read its sessions.", err)
			return
		}
		v := &visitor{Session: session, token: token}
		if r.Method != http.MethodGet && r.Method != http.MethodHead && !formTokenMatches(token, r.PostFormValue("token")) {
			s.fail(w, r, v, http.StatusForbidden, "This form is out of date. Go back, load the page again and repeat what you did.", nil)
			return
		}
		h(w, r, v)
	}
}

// toSignIn leads a person to the sign-in page and back afterwards; a script gets 401.
func (s *Site) toSignIn(w http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(r.URL.Path, "/events/rows") || strings.HasPrefix(r.URL.Path, "/events/live") || r.Method != http.MethodGet {
		http.Error(w, "sign in first", http.StatusUnauthorized)
		return
	}
	http.Redirect(w, r, "/sign-in?"+url.Values{"next": {r.URL.RequestURI()}}.Encode(), http.StatusSeeOther)
}

// localPath is next when it is a path on this console, else the list of events:
// "//evil.example" and "/\evil.example" are other sites to a browser.
func localPath(next string) string {
	if !strings.HasPrefix(next, "/") || strings.HasPrefix(next, "//") || strings.ContainsAny(next, "\\\r\n\t") {
		return "/events"
	}
	if u, err := url.Parse(next); err != nil || u.Host != "" || u.Scheme != "" {
		return "/events"
	}
	return next
}
