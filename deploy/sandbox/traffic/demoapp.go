package traffic

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"
	"time"

	"sandbox/lifeline"
)

const (
	defaultPort = "8080"
	// lastOrders is how long the application goes on answering after SIGTERM: gateways learn a little later than the
	// application that it is leaving.
	lastOrders = 500 * time.Millisecond
	// drainLimit is how long answers under way may take after SIGTERM.
	drainLimit = 5 * time.Second
	// million: a rate is kept as parts per million, so that spreading failures is exact integer arithmetic.
	million = 1_000_000
)

// buckets are the upper bounds of the duration histogram, in seconds.
var buckets = []float64{0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5}

// failures spreads a share of failures evenly: of any n requests in a row floor or ceil of rate*n fail.
type failures struct {
	perMillion, carried uint64
}

// next tells whether this request fails.
func (f *failures) next() bool {
	f.carried += f.perMillion
	if f.carried < million {
		return false
	}
	f.carried -= million
	return true
}

// app is one demo application, described by its environment.
type app struct {
	version, pod, cluster, hash string
	delay                       time.Duration
	ready                       bool

	mu        sync.Mutex
	failures  failures
	ok, wrong uint64
	seconds   float64
	counts    []uint64 // per bucket, not cumulated; the last is +Inf
}

// newApp reads VERSION, ERROR_RATE, DELAY_MS, READY, POD_HASH and the names that the kubelet gives.
func newApp(env func(string) string) (*app, error) {
	a := &app{
		version: env("VERSION"), pod: env("POD_NAME"), cluster: env("SANDBOX_CLUSTER"), hash: env("POD_HASH"),
		ready: env("READY") != "false", counts: make([]uint64, len(buckets)+1),
	}
	if a.pod == "" {
		a.pod = env("HOSTNAME")
	}
	if s := env("ERROR_RATE"); s != "" {
		rate, err := strconv.ParseFloat(s, 64)
		if err != nil || rate < 0 || rate > 1 {
			return nil, fmt.Errorf("ERROR_RATE is %q, not a number from 0 to 1", s)
		}
		a.failures.perMillion = uint64(rate*million + 0.5)
	}
	if s := env("DELAY_MS"); s != "" {
		ms, err := strconv.Atoi(s)
		if err != nil || ms < 0 {
			return nil, fmt.Errorf("DELAY_MS is %q, not a number of milliseconds", s)
		}
		a.delay = time.Duration(ms) * time.Millisecond
	}
	return a, nil
}

// DemoApp is the body of `sandbox demo-app`.
func DemoApp() error {
	a, err := newApp(os.Getenv)
	if err != nil {
		return err
	}
	host, port := os.Getenv("BIND_ADDRESS"), os.Getenv("PORT")
	if host == "" {
		host = "127.0.0.1"
	}
	if port == "" {
		port = defaultPort
	}
	if err := Loopback(net.JoinHostPort(host, port)); err != nil {
		return err
	}
	ctx, cancel := lifeline.Context()
	defer cancel()
	l, err := net.Listen("tcp", net.JoinHostPort(host, port))
	if err != nil {
		return err
	}
	fmt.Printf("version %s listens on %s\n", a.version, l.Addr())
	server := &http.Server{Handler: a.routes(), ReadHeaderTimeout: 10 * time.Second}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(l) }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	select {
	case err := <-failed:
		return err
	case <-time.After(lastOrders):
	}
	limit, done := context.WithTimeout(context.Background(), drainLimit)
	defer done()
	return server.Shutdown(limit)
}

func (a *app) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/", a.answer)
	mux.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) {
		if !a.ready {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	mux.HandleFunc("/metrics", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		a.metrics(w)
	})
	return mux
}

// answer is the application's one page.
func (a *app) answer(w http.ResponseWriter, r *http.Request) {
	began := time.Now()
	if a.delay > 0 {
		select {
		case <-r.Context().Done():
		case <-time.After(a.delay):
		}
	}
	status := a.count(began)
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set(headerVersion, a.version)
	h.Set(headerPod, a.pod)
	if a.hash != "" {
		h.Set(headerHash, a.hash)
	}
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"version": a.version, "pod": a.pod, "cluster": a.cluster})
}

// count decides one answer and books it.
func (a *app) count(began time.Time) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	seconds := time.Since(began).Seconds()
	a.seconds += seconds
	i := 0
	for i < len(buckets) && seconds > buckets[i] {
		i++
	}
	a.counts[i]++
	if a.failures.next() {
		a.wrong++
		return http.StatusInternalServerError
	}
	a.ok++
	return http.StatusOK
}

// metrics writes Prometheus' text format; both codes are there from the start, so that a rate never lacks a series.
func (a *app) metrics(w io.Writer) {
	a.mu.Lock()
	defer a.mu.Unlock()
	version := strconv.Quote(a.version)
	fmt.Fprintf(w, "# HELP http_requests_total Answers by status code.\n# TYPE http_requests_total counter\n")
	fmt.Fprintf(w, "http_requests_total{code=\"200\",version=%s} %d\n", version, a.ok)
	fmt.Fprintf(w, "http_requests_total{code=\"500\",version=%s} %d\n", version, a.wrong)
	fmt.Fprintf(w, "# HELP http_request_duration_seconds Time to answer.\n# TYPE http_request_duration_seconds histogram\n")
	sum := uint64(0)
	for i, n := range a.counts {
		sum += n
		le := "+Inf"
		if i < len(buckets) {
			le = strconv.FormatFloat(buckets[i], 'g', -1, 64)
		}
		fmt.Fprintf(w, "http_request_duration_seconds_bucket{version=%s,le=%q} %d\n", version, le, sum)
	}
	fmt.Fprintf(w, "http_request_duration_seconds_sum{version=%s} %g\n", version, a.seconds)
	fmt.Fprintf(w, "http_request_duration_seconds_count{version=%s} %d\n", version, sum)
}
