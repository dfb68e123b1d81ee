package main

import "net"

// notifier tells systemd about states (sd_notify(3)); it does nothing when the program was not started by systemd.
func notifier(socket string) func(state string) {
	if socket == "" {
		return func(string) {}
	}
	return func(state string) {
		conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: socket, Net: "unixgram"})
		if err != nil {
			return
		}
		defer conn.Close()
		_, _ = conn.Write([]byte(state))
	}
}
