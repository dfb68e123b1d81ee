package seclang_test

import (
	"fmt"
	"strings"

	"github.com/trapline/trapline/seclang"
)

// benchRequest is one of the five requests that every benchmark of the engine uses.
type benchRequest struct {
	name, method, uri string
	headers           [][2]string
	body              []byte
	answerType        string
	answer            []byte
}

const browser = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36"

func commonHeaders(extra ...[2]string) [][2]string {
	return append([][2]string{
		{"Host", "shop.example.com"},
		{"User-Agent", browser},
		{"Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"},
		{"Accept-Language", "en-US,en;q=0.5"},
		{"Accept-Encoding", "gzip, deflate, br"},
		{"Referer", "https://shop.example.com/items"},
		{"Cookie", "sid=8c1f0a2be77d4b0f9a6c; theme=light"},
	}, extra...)
}

func benchRequests() []benchRequest {
	return []benchRequest{
		{name: "get3", method: "GET", uri: "/shop/items?category=books&page=2&sort=price", headers: commonHeaders()},
		{
			name: "form1k", method: "POST", uri: "/account/address", body: form1k(),
			headers: commonHeaders([2]string{"Content-Type", "application/x-www-form-urlencoded"}),
		},
		{
			name: "json2k", method: "POST", uri: "/api/v1/orders", body: json2k(),
			headers: commonHeaders([2]string{"Content-Type", "application/json"}),
		},
		{
			name: "sqli", method: "GET", headers: commonHeaders(),
			uri: "/shop/items?category=books&id=1%27%20UNION%20SELECT%20username%2Cpassword%20FROM%20users--%20-",
		},
		{
			name: "get3html10k", method: "GET", uri: "/shop/items?category=books&page=2&sort=price", headers: commonHeaders(),
			answerType: "text/html", answer: html10k(),
		},
	}
}

func form1k() []byte {
	f := "first_name=Johanna&last_name=Meyer&email=johanna.meyer%40example.com&phone=%2B49+30+1234567" +
		"&street=Lindenallee+14&city=Berlin&zip=10115&country=DE&company=Example+GmbH&vat=DE123456789&newsletter=1&note="
	for len(f) < 1024 {
		f += "Please+leave+the+parcel+with+the+neighbours+on+the+second+floor+if+nobody+opens%2C+thank+you.+"
	}
	return []byte(f[:1024])
}

func json2k() []byte {
	var b strings.Builder
	b.WriteString(`{"order":{"id":"A-20931","customer":{"name":"Johanna Meyer","email":"johanna.meyer@example.com"},"items":[`)
	for i := 0; b.Len() <= 1950; i++ {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"sku":"SKU-%04d","title":"Garden chair model %d, green","qty":%d,"price":"%d.99","gift":false}`, i, i, i%3+1, 10+i)
	}
	b.WriteString(`],"currency":"EUR"}}`)
	return []byte(b.String())
}

func html10k() []byte {
	var b strings.Builder
	b.WriteString("<!doctype html><html><head><title>Shop</title></head><body><ul>")
	for b.Len() < 10200 {
		b.WriteString("<li><a href=\"/items/42\">Garden chair, green</a><span>10.99 EUR</span></li>\n")
	}
	b.WriteString("</ul></body></html>")
	return []byte(b.String())
}

// drive runs one transaction through all phases, as a server would, and says whether it was interrupted.
func drive(e *seclang.Engine, r *benchRequest) bool {
	tx := e.NewTransaction(conn("192.0.2.7", 443))
	tx.RequestLine(r.method, r.uri, "HTTP/1.1")
	for _, h := range r.headers {
		tx.AddRequestHeader(h[0], h[1])
	}
	if r.body != nil {
		tx.AddRequestHeader("Content-Length", fmt.Sprint(len(r.body)))
	}
	it := tx.RequestHeaders()
	if it == nil {
		if r.body != nil {
			tx.WriteRequestBody(r.body)
		}
		it = tx.RequestBody()
	}
	if it == nil {
		tx.ResponseLine(200, "HTTP/1.1")
		mime := r.answerType
		if mime == "" {
			mime = "application/json"
		}
		tx.AddResponseHeader("Content-Type", mime)
		if it = tx.ResponseHeaders(); it == nil {
			if r.answer != nil && tx.WantsResponseBody() {
				tx.WriteResponseBody(r.answer)
			}
			it = tx.ResponseBody()
		}
	}
	tx.Logging()
	tx.Close()
	return it != nil
}
