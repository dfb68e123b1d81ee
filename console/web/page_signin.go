package web

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/trapline/trapline/console/control"
)

// signInBody is the body of page_signin.html.
type signInBody struct {
	Next, User, Error, Token string
}

const formCookie = "form"

// signInPage shows the form. Its token is tied to a cookie of its own, as there is no session yet.
func (s *Site) signInPage(w http.ResponseWriter, r *http.Request) {
	s.showSignIn(w, r, http.StatusOK, signInBody{Next: localPath(r.URL.Query().Get("next"))})
}

func (s *Site) showSignIn(w http.ResponseWriter, r *http.Request, status int, body signInBody) {
	cookie := s.cookie(r, formCookie)
	if len(cookie) < 20 || len(cookie) > 100 {
		cookie = randomToken()
		s.setCookie(w, r, formCookie, cookie, 0)
	}
	body.Token = formToken(cookie)
	s.render(w, r, nil, status, "signin", "Sign in", body)
}

func (s *Site) signIn(w http.ResponseWriter, r *http.Request) {
	body := signInBody{Next: localPath(r.PostFormValue("next")), User: r.PostFormValue("user")}
	if !formTokenMatches(s.cookie(r, formCookie), r.PostFormValue("token")) {
		body.Error = "The form was out of date, or cookies are off. Please sign in again."
		s.showSignIn(w, r, http.StatusForbidden, body)
		return
	}
	err := s.cfg.Control.Authenticate(r.Context(), body.User, r.PostFormValue("password"), clientAddr(r))
	var limited *control.LimitedError
	switch {
	case errors.As(err, &limited):
		w.Header().Set("Retry-After", fmt.Sprint(int(limited.Retry/time.Second)+1))
		body.Error = fmt.Sprintf("Too many attempts. Try again in %s.", span(limited.Retry+time.Second))
		s.showSignIn(w, r, http.StatusTooManyRequests, body)
		return
	case errors.Is(err, control.ErrWrong):
		body.Error = "User or password is wrong."
		s.showSignIn(w, r, http.StatusUnauthorized, body)
		return
	case err != nil:
		s.fail(w, r, nil, http.StatusInternalServerError, "The console cannot check passwords now.", err)
		return
	}
	token, err := s.cfg.Control.NewSession(r.Context(), body.User, clientAddr(r), r.UserAgent())
	if err != nil {
		s.fail(w, r, nil, http.StatusInternalServerError, "The console cannot start a session now.", err)
		return
	}
	s.setCookie(w, r, sessionCookie, token, 0)
	s.setCookie(w, r, formCookie, "", -1)
	http.Redirect(w, r, body.Next, http.StatusSeeOther)
}

func (s *Site) signOut(w http.ResponseWriter, r *http.Request, v *visitor) {
	if err := s.cfg.Control.EndSession(r.Context(), v.token); err != nil {
		s.fail(w, r, v, http.StatusInternalServerError, "The console cannot end the session now.", err)
		return
	}
	s.setCookie(w, r, sessionCookie, "", -1)
	http.Redirect(w, r, "/sign-in", http.StatusSeeOther)
}
