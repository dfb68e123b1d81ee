package main

import "os"

// reloads never delivers: Windows has no SIGHUP; restart the service instead.
func reloads() <-chan os.Signal { return nil }
