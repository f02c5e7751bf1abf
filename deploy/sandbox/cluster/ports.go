package cluster

import (
	"fmt"
	"net"
	"os"

	"sandbox/address"
)

const (
	// portBase is where the blocks of ports begin; all of them stay below the ports the system hands out itself (32768).
	portBase  = 20000
	portsEach = 8
)

// ports are the listeners of one cluster, all on 127.0.0.1.
type ports struct{ etcd, peer, apiserver, gateway, usage int }

// block is a number that this sandbox alone has on this machine: it stands for pod addresses and for ports.
type block struct {
	number int
	lock   net.Listener
}

// takeBlock finds a free block. The lock is an abstract socket: the kernel frees it with its owner, it leaves no file
// and holds between users, exactly as far as loopback ports themselves do.
func takeBlock() (block, error) {
	first := os.Getpid()
	for i := range address.MaxBlock {
		n := (first+i)%address.MaxBlock + 1
		l, err := net.Listen("unix", fmt.Sprintf("@groundswell-sandbox-%d", n))
		if err != nil {
			continue
		}
		b := block{n, l}
		if b.free() {
			return b, nil
		}
		_ = l.Close()
	}
	return block{}, fmt.Errorf("no free block of addresses and ports: end another sandbox first")
}

func (b block) ports() ports {
	p := portBase + b.number*portsEach
	return ports{etcd: p, peer: p + 1, apiserver: p + 2, gateway: p + 3, usage: p + 4}
}

// free is false when something else listens on one of the block's ports.
func (b block) free() bool {
	p := b.ports()
	for _, port := range []int{p.etcd, p.peer, p.apiserver, p.gateway, p.usage} {
		l, err := net.Listen("tcp", local(port))
		if err != nil {
			return false
		}
		_ = l.Close()
	}
	return true
}

func local(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }
