package web

import (
	"errors"
	"net/http"
	"net/netip"
	"net/url"
	"time"

	"github.com/trapline/trapline/console/control"
	"github.com/trapline/trapline/console/store"
)

// sensorsBody is the body of page_sensors.html.
type sensorsBody struct {
	Sensors []sensorView
	// Fresh is the sensor just made or renewed: its secret is shown this once.
	Fresh *freshSensor
	Name  string // as typed, when it was refused
	Error string
	Token string
	Now   time.Time
}

type sensorView struct {
	control.Sensor
	// Day is the number of events in the last 24 hours, Link leads to them.
	Day  int64
	Link string
	// Foreign says that events of this name exist without a login here: this console's own traps, or a removed sensor.
	Foreign bool
}

type freshSensor struct {
	Name, Secret, URL string
	// Loopback says that URL is an address of this machine only, Clear that the secret would travel unencrypted.
	Loopback, Clear bool
}

func (s *Site) sensorsPage(w http.ResponseWriter, r *http.Request, v *visitor) {
	s.showSensors(w, r, v, http.StatusOK, sensorsBody{})
}

func (s *Site) showSensors(w http.ResponseWriter, r *http.Request, v *visitor, status int, body sensorsBody) {
	body.Token, body.Now = formToken(v.token), s.cfg.Now()
	counts, err := s.cfg.Store.Sensors(r.Context(), body.Now.Add(-24*time.Hour))
	if err != nil {
		s.fail(w, r, v, http.StatusInternalServerError, "The console cannot count events by sensor.", err)
		return
	}
	day := map[string]store.SensorCount{}
	for _, c := range counts {
		day[c.Sensor] = c
	}
	for _, sensor := range s.cfg.Control.Sensors() {
		body.Sensors = append(body.Sensors, sensorView{Sensor: sensor, Day: day[sensor.Name].Events, Link: with(&store.Filter{}, "sensor", sensor.Name)})
		delete(day, sensor.Name)
	}
	for _, c := range counts {
		if _, left := day[c.Sensor]; left {
			body.Sensors = append(body.Sensors, sensorView{Sensor: control.Sensor{Name: c.Sensor}, Day: c.Events, Link: with(&store.Filter{}, "sensor", c.Sensor), Foreign: true})
		}
	}
	s.render(w, r, v, status, "sensors", "Sensors", body)
}

func (s *Site) addSensor(w http.ResponseWriter, r *http.Request, v *visitor) {
	name := r.PostFormValue("name")
	secret, err := s.cfg.Control.AddSensor(r.Context(), name)
	s.afterSensor(w, r, v, name, secret, err)
}

func (s *Site) renewSensor(w http.ResponseWriter, r *http.Request, v *visitor) {
	name := r.PathValue("name")
	secret, err := s.cfg.Control.RenewSensor(r.Context(), name)
	s.afterSensor(w, r, v, name, secret, err)
}

// afterSensor shows the secret on the answer to the form itself: a redirect would need it kept somewhere.
func (s *Site) afterSensor(w http.ResponseWriter, r *http.Request, v *visitor, name, secret string, err error) {
	switch {
	case errors.Is(err, control.ErrName), errors.Is(err, control.ErrSensorExists), errors.Is(err, control.ErrNoSensor):
		s.showSensors(w, r, v, http.StatusUnprocessableEntity, sensorsBody{Name: brief(64, name), Error: err.Error()})
	case err != nil:
		s.fail(w, r, v, http.StatusInternalServerError, "The console cannot write its sensors.", err)
	default:
		fresh := &freshSensor{Name: name, Secret: secret, URL: s.baseURL(r)}
		if u, err := url.Parse(fresh.URL); err == nil {
			address, _ := netip.ParseAddr(u.Hostname())
			fresh.Loopback = u.Hostname() == "localhost" || address.IsLoopback()
			fresh.Clear = u.Scheme == "http" && !fresh.Loopback
		}
		s.showSensors(w, r, v, http.StatusOK, sensorsBody{Fresh: fresh})
	}
}

func (s *Site) removeSensor(w http.ResponseWriter, r *http.Request, v *visitor) {
	err := s.cfg.Control.RemoveSensor(r.Context(), r.PathValue("name"))
	if err != nil && !errors.Is(err, control.ErrNoSensor) {
		s.fail(w, r, v, http.StatusInternalServerError, "The console cannot write its sensors.", err)
		return
	}
	http.Redirect(w, r, "/sensors", http.StatusSeeOther)
}
