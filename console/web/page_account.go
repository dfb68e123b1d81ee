package web

import (
	"errors"
	"net/http"
	"time"

	"github.com/trapline/trapline/console/control"
)

// accountBody is the body of page_account.html.
type accountBody struct {
	Error, Done string
	Token       string
	Session     control.Session
	Logins      []control.Login
	Now         time.Time
	MinPassword int
}

func (s *Site) accountPage(w http.ResponseWriter, r *http.Request, v *visitor) {
	body := accountBody{}
	if r.URL.Query().Get("changed") != "" {
		body.Done = "The password is changed. All other sessions have ended."
	}
	s.showAccount(w, r, v, http.StatusOK, body)
}

func (s *Site) showAccount(w http.ResponseWriter, r *http.Request, v *visitor, status int, body accountBody) {
	var err error
	if body.Logins, err = s.cfg.Control.Logins(r.Context(), 20); err != nil {
		s.fail(w, r, v, http.StatusInternalServerError, "The console cannot read its log of logins.", err)
		return
	}
	body.Token, body.Session, body.Now, body.MinPassword = formToken(v.token), v.Session, s.cfg.Now(), control.MinPassword
	s.render(w, r, v, status, "account", "Account", body)
}

func (s *Site) setPassword(w http.ResponseWriter, r *http.Request, v *visitor) {
	var limited *control.LimitedError
	err := s.cfg.Control.Authenticate(r.Context(), v.User, r.PostFormValue("password"), clientAddr(r))
	switch {
	case errors.As(err, &limited):
		s.showAccount(w, r, v, http.StatusTooManyRequests, accountBody{Error: "Too many attempts. Try again in " + span(limited.Retry+time.Second) + "."})
		return
	case errors.Is(err, control.ErrWrong):
		s.showAccount(w, r, v, http.StatusUnprocessableEntity, accountBody{Error: "The present password is wrong."})
		return
	case err != nil:
		s.fail(w, r, v, http.StatusInternalServerError, "The console cannot check passwords now.", err)
		return
	}
	err = s.cfg.Control.SetPassword(r.Context(), v.User, r.PostFormValue("new"))
	if errors.Is(err, control.ErrPassword) {
		s.showAccount(w, r, v, http.StatusUnprocessableEntity, accountBody{Error: "The new password is not good: " + err.Error() + "."})
		return
	}
	if err != nil {
		s.fail(w, r, v, http.StatusInternalServerError, "The password was not changed.", err)
		return
	}
	// All sessions ended with the old password, this one too.
	token, err := s.cfg.Control.NewSession(r.Context(), v.User, clientAddr(r), r.UserAgent())
	if err != nil {
		s.fail(w, r, nil, http.StatusInternalServerError, "The password is changed; please sign in again.", err)
		return
	}
	s.setCookie(w, r, sessionCookie, token, 0)
	http.Redirect(w, r, "/account?changed=1", http.StatusSeeOther)
}
