package traffic

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"sandbox/lifeline"
)

const (
	// defaultMaxRate and defaultMaxTime bound a load that was asked for by mistake or forgotten.
	defaultMaxRate = 500.0
	defaultMaxTime = 20 * time.Minute
	// answerLimit is when an answer counts as missing.
	answerLimit = 10 * time.Second
	// inFlight bounds the requests under way. One that finds no place is written down as failed: an open loop does not wait.
	inFlight = 512
	// flushEvery is how far the file may be behind.
	flushEvery = 100 * time.Millisecond
)

// Answer is one line of the load generator's file. Status 0 means that there was none, for the reason in Error.
type Answer struct {
	Time    string  `json:"time"` // of the answer
	Cluster string  `json:"cluster"`
	Status  int     `json:"status"`
	Version string  `json:"version"`
	Hash    string  `json:"hash"`
	Pod     string  `json:"pod"`
	Ms      float64 `json:"ms"`
	Error   string  `json:"error,omitempty"`
}

// load sends requests at a steady rate, whatever the answers.
type load struct {
	gateway, host, cluster string
	client                 *http.Client

	mu  sync.Mutex
	out *bufio.Writer
}

// Load is the body of `sandbox load`.
func Load(args []string) error {
	f := flag.NewFlagSet("sandbox load", flag.ContinueOnError)
	l := &load{}
	f.StringVar(&l.gateway, "gateway", "", "address of a gateway, on loopback")
	f.StringVar(&l.host, "host", "", "Host header: <service>.<namespace>")
	f.StringVar(&l.cluster, "cluster", "", "name of the cluster, for the lines")
	file := f.String("out", "", "file to which the answers are appended")
	rate := f.Float64("rate", 50, "requests a second")
	duration := f.Duration("duration", 0, "how long; 0 means until ended, at most --max-duration")
	maxRate := f.Float64("max-rate", defaultMaxRate, "the highest --rate that is taken")
	maxTime := f.Duration("max-duration", defaultMaxTime, "the load ends after this in any case")
	if err := f.Parse(args); err != nil {
		return err
	}
	if l.host == "" || *file == "" {
		return errors.New("--gateway, --host and --out are required")
	}
	if err := Loopback(l.gateway); err != nil {
		return err
	}
	if *rate <= 0 || *rate > *maxRate {
		return fmt.Errorf("--rate %g is not above 0 and at most --max-rate %g", *rate, *maxRate)
	}
	if *duration <= 0 || *duration > *maxTime {
		*duration = *maxTime
	}
	out, err := os.OpenFile(*file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("answers: %w", err)
	}
	defer out.Close()
	l.out = bufio.NewWriter(out)
	l.client = &http.Client{
		Timeout: answerLimit,
		Transport: &http.Transport{
			DialContext: (&net.Dialer{Timeout: dialLimit}).DialContext, MaxIdleConns: inFlight, MaxIdleConnsPerHost: inFlight, DisableCompression: true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, // a redirect might leave loopback
	}
	ctx, cancel := lifeline.Context()
	defer cancel()
	ctx, over := context.WithTimeout(ctx, *duration)
	defer over()
	return l.run(ctx, *rate)
}

// run sends each request at its own time, computed from the start, so that the rate does not drift.
func (l *load) run(ctx context.Context, rate float64) error {
	places := make(chan struct{}, inFlight)
	var all sync.WaitGroup
	flushed := make(chan error, 1)
	stop := make(chan struct{})
	go func() { flushed <- l.flush(stop) }()
	began := time.Now()
	for n := 0; ; n++ {
		due := began.Add(time.Duration(float64(n) / rate * float64(time.Second)))
		if !waitUntil(ctx, due) {
			break
		}
		select {
		case places <- struct{}{}:
			all.Add(1)
			go func() {
				defer all.Done()
				l.send(ctx)
				<-places
			}()
		default:
			l.write(Answer{Error: fmt.Sprintf("%d requests are already under way", inFlight)})
		}
	}
	all.Wait()
	close(stop)
	return <-flushed
}

func waitUntil(ctx context.Context, due time.Time) bool {
	t := time.NewTimer(time.Until(due))
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return ctx.Err() == nil
	}
}

// send does one request; one that is cut off by our own end is not written down.
func (l *load) send(ctx context.Context) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+l.gateway+"/", nil)
	if err != nil {
		l.write(Answer{Error: err.Error()})
		return
	}
	request.Host = l.host
	began := time.Now()
	answer, err := l.client.Do(request)
	ms := float64(time.Since(began).Microseconds()) / 1000
	if err != nil {
		if ctx.Err() == nil {
			l.write(Answer{Ms: ms, Error: err.Error()})
		}
		return
	}
	_, _ = io.Copy(io.Discard, answer.Body)
	_ = answer.Body.Close()
	h := answer.Header
	l.write(Answer{Status: answer.StatusCode, Version: h.Get(headerVersion), Hash: h.Get(headerHash), Pod: h.Get(headerPod), Ms: ms, Error: h.Get(headerError)})
}

func (l *load) write(a Answer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	a.Time, a.Cluster = time.Now().UTC().Format(time.RFC3339Nano), l.cluster
	if line, err := json.Marshal(a); err == nil {
		_, _ = l.out.Write(append(line, '\n')) // the writer keeps its first error for the flush
	}
}

// flush keeps the file close behind; an error of the file ends up here.
func (l *load) flush(stop <-chan struct{}) error {
	tick := time.NewTicker(flushEvery)
	defer tick.Stop()
	for {
		last := false
		select {
		case <-stop:
			last = true
		case <-tick.C:
		}
		l.mu.Lock()
		err := l.out.Flush()
		l.mu.Unlock()
		if err != nil {
			fmt.Fprintf(os.Stderr, "sandbox load: answers: %v\n", err)
			return fmt.Errorf("answers: %w", err)
		}
		if last {
			return nil
		}
	}
}
