package traffic

import (
	"fmt"
	"net"
	"net/netip"
)

// Loopback refuses an address that is not host:port with a host on this machine's loopback. Names are not looked up:
// only localhost is taken, and means 127.0.0.1.
func Loopback(hostport string) error {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		return fmt.Errorf("address %q: %w", hostport, err)
	}
	if host == "localhost" {
		return nil
	}
	a, err := netip.ParseAddr(host)
	if err != nil || !a.IsLoopback() {
		return fmt.Errorf("address %s is not on loopback: the sandbox sends no traffic anywhere else", hostport)
	}
	return nil
}
