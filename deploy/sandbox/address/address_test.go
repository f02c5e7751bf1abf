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
