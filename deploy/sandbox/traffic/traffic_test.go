package traffic

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestRoundRobinIsEven(t *testing.T) {
	var b balance
	if _, ok := b.take(); ok {
		t.Fatal("an empty balance gave a backend")
	}
	b.set([]backend{{pod: "c"}, {pod: "a"}, {pod: "e"}, {pod: "b"}, {pod: "d"}})
	for round := range 20 {
		seen := map[string]bool{}
		for range 5 {
			chosen, _ := b.take()
			seen[chosen.pod] = true
		}
		if len(seen) != 5 {
			t.Fatalf("round %d reached only %v", round, seen)
		}
	}
	b.set([]backend{{pod: "a"}})
	for range 3 {
		if chosen, ok := b.take(); !ok || chosen.pod != "a" {
			t.Fatalf("one backend left, got %v", chosen)
		}
	}
}

func TestFailuresAreSpread(t *testing.T) {
	for _, c := range []struct {
		rate        string
		requests    int
		want        int
		consecutive int // the longest row of failures
	}{
		{"", 100, 0, 0}, {"0", 100, 0, 0}, {"1", 100, 100, 100}, {"0.2", 100, 20, 1}, {"0.5", 10, 5, 1}, {"0.05", 1000, 50, 1},
		{"0.333333", 3000, 999, 1}, {"0.8", 50, 40, 4},
	} {
		a, err := newApp(func(name string) string { return map[string]string{"ERROR_RATE": c.rate}[name] })
		if err != nil {
			t.Fatal(err)
		}
		failed, row, longest := 0, 0, 0
		for i := range c.requests {
			if a.count(time.Now()) == 200 {
				row = 0
				continue
			}
			failed, row = failed+1, row+1
			longest = max(longest, row)
			if c.rate == "0.2" && i%5 != 4 {
				t.Errorf("rate 0.2 fails request %d", i)
			}
		}
		if failed != c.want || longest != c.consecutive {
			t.Errorf("rate %q: %d of %d failed, %d in a row; want %d and %d", c.rate, failed, c.requests, longest, c.want, c.consecutive)
		}
	}
}

func TestBadEnvironment(t *testing.T) {
	for name, value := range map[string]string{"ERROR_RATE": "1.5", "DELAY_MS": "-1"} {
		if _, err := newApp(func(n string) string { return map[string]string{name: value}[n] }); err == nil {
			t.Errorf("%s=%s was taken", name, value)
		}
	}
}

func TestMetrics(t *testing.T) {
	a, _ := newApp(func(n string) string { return map[string]string{"VERSION": "v2"}[n] })
	var out strings.Builder
	a.metrics(&out)
	a.count(time.Now())
	a.metrics(&out)
	for _, want := range []string{
		`http_requests_total{code="200",version="v2"} 0`, `http_requests_total{code="500",version="v2"} 0`, `http_requests_total{code="200",version="v2"} 1`,
		`http_request_duration_seconds_bucket{version="v2",le="+Inf"} 1`, `http_request_duration_seconds_count{version="v2"} 1`,
	} {
		if !strings.Contains(out.String(), want+"\n") {
			t.Errorf("metrics lack %s", want)
		}
	}
}

func TestLoopback(t *testing.T) {
	for address, ok := range map[string]bool{
		"127.0.0.1:80": true, "127.244.3.4:8080": true, "[::1]:80": true, "localhost:80": true,
		"10.0.0.1:80": false, "example.com:80": false, "0.0.0.0:80": false, "127.0.0.1": false, "": false,
	} {
		if err := Loopback(address); (err == nil) != ok {
			t.Errorf("%s: %v", address, fmt.Sprint(err))
		}
	}
}
