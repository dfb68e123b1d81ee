package web

import (
	"net/http"
	"net/netip"
	"slices"
	"time"

	"github.com/trapline/trapline/console/store"
)

// decisionsBody is the body of page_decisions.html.
type decisionsBody struct {
	Decisions []decisionView
	More      int
	Token     string
	CanUnban  bool
	Now       time.Time
}

type decisionView struct {
	Decision
	Link string // events of these clients
}

// maxDecisions is how many decisions a page lists.
const maxDecisions = 500

func (s *Site) decisionsPage(w http.ResponseWriter, r *http.Request, v *visitor) {
	list, err := s.cfg.Decisions(r.Context())
	if err != nil {
		s.fail(w, r, v, http.StatusInternalServerError, "The console cannot read the decisions.", err)
		return
	}
	list = slices.Clone(list)
	slices.SortStableFunc(list, func(a, b Decision) int { return b.Created.Compare(a.Created) })
	body := decisionsBody{Token: formToken(v.token), CanUnban: s.cfg.Unban != nil, Now: s.cfg.Now()}
	if len(list) > maxDecisions {
		body.More = len(list) - maxDecisions
		list = list[:maxDecisions]
	}
	for _, d := range list {
		f := store.Filter{Client: d.Value}
		body.Decisions = append(body.Decisions, decisionView{d, listURL(formatFilter(&f))})
	}
	s.render(w, r, v, http.StatusOK, "decisions", "Decisions", body)
}

func (s *Site) unban(w http.ResponseWriter, r *http.Request, v *visitor) {
	address, err := netip.ParseAddr(r.PostFormValue("address"))
	if err != nil {
		s.fail(w, r, v, http.StatusBadRequest, "This is not an address.", nil)
		return
	}
	if err := s.cfg.Unban(r.Context(), address); err != nil {
		s.fail(w, r, v, http.StatusInternalServerError, "The decision was not ended.", err)
		return
	}
	s.cfg.Logger.Info("decision ended by hand", "address", address.String(), "user", v.User)
	http.Redirect(w, r, "/decisions", http.StatusSeeOther)
}
