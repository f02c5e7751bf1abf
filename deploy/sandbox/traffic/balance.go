// Package traffic carries requests on loopback: the demo application that answers them, the gateway that spreads them
// over ready endpoints, the load generator that sends them.
// In: HTTP. Out: HTTP and NDJSON files. Nothing here opens a connection that leaves loopback.
package traffic

import (
	"cmp"
	"slices"
	"sync"
)

// backend is one ready endpoint of a Service.
type backend struct {
	address   string // where the process listens
	namespace string
	pod       string
}

// balance spreads requests over the backends of one Service, one after another: any n requests in a row go to n
// different ones of n backends.
type balance struct {
	mu       sync.Mutex
	next     int
	backends []backend
}

// set replaces the backends; the turn goes on from where it was, so that a change of one does not favour the first.
func (b *balance) set(backends []backend) {
	slices.SortFunc(backends, func(x, y backend) int { return cmp.Or(cmp.Compare(x.pod, y.pod), cmp.Compare(x.address, y.address)) })
	b.mu.Lock()
	defer b.mu.Unlock()
	b.backends = backends
}

// take returns the backend whose turn it is.
func (b *balance) take() (backend, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.backends) == 0 {
		return backend{}, false
	}
	b.next %= len(b.backends)
	chosen := b.backends[b.next]
	b.next++
	return chosen, true
}
