package config

import (
	_ "embed"
)

//go:embed default.conf
var defaultText string

// Default is the text of the trapline.conf that is used when no file is given, and that "trapline init" writes.
func Default() string { return defaultText }
