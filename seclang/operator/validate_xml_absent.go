//go:build !libxml2 || !cgo

package operator

// A build with the tag libxml2 validates XML; this one loads such rules with a warning.

func newValidateSchema(arg string, env Env) (Operator, error) {
	return newAbsent("validateSchema", "this build has no libxml2 (build tag libxml2)")(arg, env)
}

func newValidateDTD(arg string, env Env) (Operator, error) {
	return newAbsent("validateDTD", "this build has no libxml2 (build tag libxml2)")(arg, env)
}
