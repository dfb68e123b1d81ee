// Package slowloris holds thousands of half-sent requests open at trapline and at Apache with mod_security2 under the same
// limits, and asks meanwhile from another address (build tag peers).
package slowloris
