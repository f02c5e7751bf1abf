// Package address maps the addresses that pods report to the ones their processes listen on.
// In: a block number N and a host number y. Out: 10.244.N.y for the API server (it refuses loopback addresses in
// EndpointSlices) and 127.244.N.y for real sockets. No packet leaves loopback.
package address

import (
	"encoding/binary"
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
	// paperBits of an address are for the pods of one node that run on paper only; with MaxBlock nodes they stay within
	// 10.0.0.0/10, clear of the pods with processes and of the cluster addresses of Services.
	paperBits = 14
	// PaperPodsPerNode is how many such pods a node takes, well below what it can address.
	PaperPodsPerNode = 10_000
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
	base        uint32 // the address of number 0
	first, last uint32

	mu   sync.Mutex
	next uint32
	used map[uint32]bool
}

// NewPool starts with every number of the block free.
func NewPool(block int) *Pool {
	base := [4]byte{podFirst, second, byte(block), 0}
	return newPool(binary.BigEndian.Uint32(base[:]), firstPod, lastPod)
}

// NewPaperPool has addresses on which nothing can listen, many for each block.
func NewPaperPool(block int) *Pool {
	return newPool(podFirst<<24|uint32(block)<<paperBits, 1, 1<<paperBits-1)
}

func newPool(base, first, last uint32) *Pool {
	return &Pool{base: base, first: first, last: last, next: first, used: map[uint32]bool{}}
}

// Take returns a free pod address.
func (p *Pool) Take() (string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for range p.last - p.first + 1 {
		n := p.next
		if p.next++; p.next > p.last {
			p.next = p.first
		}
		if !p.used[n] {
			p.used[n] = true
			var b [4]byte
			binary.BigEndian.PutUint32(b[:], p.base+n)
			return netip.AddrFrom4(b).String(), nil
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
	b := a.As4()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.used, binary.BigEndian.Uint32(b[:])-p.base)
}
