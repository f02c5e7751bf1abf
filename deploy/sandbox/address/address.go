// Package address maps the addresses that pods report to the ones their processes listen on.
// In: a block number N and a host number y. Out: 10.244.N.y for the API server (it refuses loopback addresses in
// EndpointSlices) and 127.244.N.y for real sockets. No packet leaves loopback.
package address

import (
	"errors"
	"fmt"
	"net/netip"
	"sync"
)

const (
	podFirst, loopFirst = 10, 127
	second              = 244
	// Host is the y of the node itself; pods get the numbers after it.
	Host = 1
	// firstPod to lastPod are the numbers for pods; .0 and .255 look like network and broadcast addresses.
	firstPod, lastPod = 2, 254
	// PodsPerNode is how many pods one block can address, less a few so that numbers rest before they are used again.
	PodsPerNode = 240
	// MaxBlock is the highest N.
	MaxBlock = 254
)

// Pod is the address that a pod reports.
func Pod(block, y int) string { return fmt.Sprintf("%d.%d.%d.%d", podFirst, second, block, y) }

// Listen is the loopback address on which the process of the pod with this address listens.
func Listen(podIP string) (string, error) {
	a, err := netip.ParseAddr(podIP)
	if err != nil {
		return "", fmt.Errorf("pod address %q: %w", podIP, err)
	}
	if !a.Is4() || a.As4()[0] != podFirst || a.As4()[1] != second {
		return "", fmt.Errorf("pod address %s is outside 10.244.0.0/16", podIP)
	}
	b := a.As4()
	b[0] = loopFirst
	return netip.AddrFrom4(b).String(), nil
}

// ErrFull means that every number of the block is in use.
var ErrFull = errors.New("no free pod address on this node: start the sandbox with more --nodes")

// Pool hands out the pod numbers of one block, the one unused for longest first.
type Pool struct {
	mu    sync.Mutex
	block int
	next  int
	used  map[int]bool
}

// NewPool starts with every number free.
func NewPool(block int) *Pool { return &Pool{block: block, next: firstPod, used: map[int]bool{}} }

// Take returns a free pod address.
func (p *Pool) Take() (string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for range lastPod - firstPod + 1 {
		y := p.next
		if p.next++; p.next > lastPod {
			p.next = firstPod
		}
		if !p.used[y] {
			p.used[y] = true
			return Pod(p.block, y), nil
		}
	}
	return "", ErrFull
}

// Give returns an address to the pool.
func (p *Pool) Give(podIP string) {
	a, err := netip.ParseAddr(podIP)
	if err != nil || !a.Is4() {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.used, int(a.As4()[3]))
}
