//go:build peers

package crs

// tolerated tells why a request matches other rules in mod_security2 2.9.7.
func tolerated(name string) string {
	switch name {
	case "920170-4", "920180-1", "920640-5":
		return "what follows the request is a second, malformed one; httpd refuses it before any rule, ours see it"
	case "920181-1", "920620-1":
		return "httpd hides one of the two headers, see exceptions.txt"
	case "920100-4":
		return "httpd puts the target of CONNECT in place of the Host header"
	case "920201-2", "920202-2":
		return "httpd has not decoded the path yet when phase 1 sees REQUEST_BASENAME"
	case "920400-1":
		return "the body is shorter than Content-Length; httpd gives up after phase 1"
	case "920240-4", "920420-10":
		return "mod_security2 answers 500 to a malformed XML body and runs no rule of phase 2"
	case "922130-1", "922130-2", "922130-4", "922130-7":
		return "2.9.8 and later refuse the part header, as we do; 2.9.7 reads on"
	case "930140-13":
		return "the @pm of mod_security2 misses .env in /.a0proj/secrets.env"
	case "933100-34":
		return "mod_security2 gives all elements of a JSON array one name, which 921180 takes for parameter pollution"
	case "942560-1":
		return "another version of libinjection"
	}
	return ""
}

// verdictTolerated tells why a request gets another answer.
func verdictTolerated(name string) string {
	switch name {
	case "920240-4", "920420-10":
		return "mod_security2 answers 500 to a malformed XML body, rule 200002 says 400"
	case "920430-5":
		return "an answer in HTTP/0.9 has no status"
	case "922130-1", "922130-2", "922130-4", "922130-7":
		return "2.9.8 and later refuse the part header, as we do, and 200002 says 400; 2.9.7 reads on and CRS says 403"
	}
	return ""
}

// gateTolerated tells why the real site matches other rules than the bytes alone do.
func gateTolerated(name string) string {
	if name == "920430-5" {
		return "a request line without a protocol ends the head of HTTP/0.9; the site refuses the head with the headers that came with it"
	}
	return ""
}

// trapTolerated tells why a honeytrap port matches other rules than the bytes alone do.
func trapTolerated(name string) string {
	if name == "920430-5" {
		return "what follows the request line of HTTP/0.9 is the next request of the port"
	}
	return ""
}
