package address

import "testing"

func TestListen(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{Pod(7, 2), "127.244.7.2"},
		{"10.244.254.254", "127.244.254.254"},
		{"10.245.1.2", ""},
		{"127.0.0.1", ""},
		{"fd00::1", ""},
		{"", ""},
	} {
		got, err := Listen(c.in)
		if got != c.want || (err != nil) != (c.want == "") {
			t.Errorf("Listen(%q) = %q, %v; want %q", c.in, got, err, c.want)
		}
	}
}

func TestPoolRestsNumbersAndFills(t *testing.T) {
	p := NewPool(3)
	first, err := p.Take()
	if err != nil || first != "10.244.3.2" {
		t.Fatalf("first = %s, %v", first, err)
	}
	p.Give(first)
	seen := map[string]bool{}
	for range lastPod - firstPod + 1 {
		a, err := p.Take()
		if err != nil || seen[a] {
			t.Fatalf("%s taken twice or %v", a, err)
		}
		if len(seen) == 0 && a == first {
			t.Fatal("a number given back is used again at once")
		}
		seen[a] = true
	}
	if _, err := p.Take(); err != ErrFull {
		t.Fatalf("full pool gave %v", err)
	}
	p.Give(first)
	if a, err := p.Take(); err != nil || a != first {
		t.Fatalf("freed number not reused: %s, %v", a, err)
	}
}

func TestPaperAddressesMeetNoOthers(t *testing.T) {
	low, high := NewPaperPool(1), NewPaperPool(MaxBlock)
	for _, c := range []struct {
		pool        *Pool
		first, last string
	}{{low, "10.0.64.1", "10.0.127.255"}, {high, "10.63.128.1", "10.63.191.255"}} {
		seen := map[string]bool{}
		first, last := "", ""
		for range PaperPodsPerNode {
			a, err := c.pool.Take()
			if err != nil || seen[a] {
				t.Fatalf("%q taken twice, or %v", a, err)
			}
			if seen[a] = true; first == "" {
				first = a
			}
			if _, err := Listen(a); err == nil {
				t.Fatalf("a process could listen for %s", a)
			}
		}
		for a, err := c.pool.Take(); err == nil; a, err = c.pool.Take() {
			last = a
		}
		if first != c.first || last != c.last {
			t.Errorf("from %s to %s, want %s to %s", first, last, c.first, c.last)
		}
		c.pool.Give(first)
		if a, err := c.pool.Take(); err != nil || a != first {
			t.Errorf("freed %s, got %q, %v", first, a, err)
		}
	}
}
