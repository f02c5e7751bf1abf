package cluster

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"time"

	"sandbox/lifeline"
)

const (
	// maxClusters and maxNodes keep a typing error from filling the machine; blocks end at 254 anyway.
	maxClusters = 50
	maxNodes    = 100
	// reapLimit is how long the reaper may take after everything has been stopped in order.
	reapLimit = 5 * time.Second
)

// clusterName is a DNS label: it becomes a part of node names and of paths.
var clusterName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,40}[a-z0-9])?$`)

// sandbox is everything that one `sandbox up` runs.
type sandbox struct {
	id, dir, self string
	clusters      []*Cluster
	lock          *os.File
	lifeline      *os.File // the reaper acts when this closes
	reaper        *lifeline.Process
	reaped        chan struct{}
	failed        chan error
}

// Up is the body of `sandbox up`: it returns when the sandbox is down again.
func Up(args []string) error {
	names, dir, options, err := parse(args)
	if err != nil {
		return err
	}
	ctx, cancel := lifeline.Context()
	defer cancel()
	s, err := open(dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		c := &Cluster{name: name, dir: filepath.Join(s.dir, name), id: s.id, self: s.self, options: options, fail: s.fail}
		s.clusters = append(s.clusters, c)
	}
	err = s.run(ctx)
	if cerr := s.close(); err == nil {
		err = cerr
	}
	return err
}

func parse(args []string) (names []string, dir string, options Options, err error) {
	f := flag.NewFlagSet("sandbox up", flag.ContinueOnError)
	count := f.Int("clusters", 1, "how many clusters, named c1, c2, …")
	list := f.String("names", "", "names of the clusters, separated by commas (instead of --clusters)")
	f.StringVar(&dir, "dir", "", "folder for everything the sandbox writes; the clusters' folders in it are wiped")
	f.IntVar(&options.Nodes, "nodes", 1, "nodes of each cluster; one holds up to 240 pods")
	f.DurationVar(&options.BackoffBase, "backoff-base", 10*time.Second, "first wait before a crashed container is restarted, doubling up to 30 times that")
	f.Float64Var(&options.QPS, "kube-api-qps", 1000, "API requests a second of the controller manager, and of the scheduler; twice as many in a burst")
	f.BoolVar(&options.InstantPods, "instant-pods", false, "pods run on paper: Running and Ready at once, without a process; a node holds 10000")
	f.StringVar(&options.AuditPolicy, "audit-policy", "", "audit policy of the API servers; their logs are <dir>/<cluster>/audit.log")
	if err := f.Parse(args); err != nil {
		return nil, "", options, err
	}
	if options.AuditPolicy != "" {
		if options.AuditPolicy, err = filepath.Abs(options.AuditPolicy); err != nil {
			return nil, "", options, fmt.Errorf("--audit-policy: %w", err)
		}
	}
	if f.NArg() > 0 {
		return nil, "", options, fmt.Errorf("unexpected argument %q", f.Arg(0))
	}
	if dir == "" {
		return nil, "", options, errors.New("--dir is required")
	}
	if *count < 1 || *count > maxClusters || options.Nodes < 1 || options.Nodes > maxNodes {
		return nil, "", options, fmt.Errorf("--clusters must be 1 to %d, --nodes 1 to %d", maxClusters, maxNodes)
	}
	if options.BackoffBase <= 0 || options.QPS <= 0 {
		return nil, "", options, errors.New("--backoff-base and --kube-api-qps must be above 0")
	}
	if *list == "" {
		for i := range *count {
			names = append(names, fmt.Sprintf("c%d", i+1))
		}
		return names, dir, options, nil
	}
	seen := map[string]bool{}
	for _, name := range strings.Split(*list, ",") {
		if !clusterName.MatchString(name) || seen[name] {
			return nil, "", options, fmt.Errorf("cluster name %q is not a DNS label, or is there twice", name)
		}
		seen[name] = true
		names = append(names, name)
	}
	return names, dir, options, nil
}

// open takes the folder for this sandbox alone, removes what a former one may have left running, and starts the reaper.
func open(dir string) (*sandbox, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("folder %s: %w", dir, err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("folder: %w", err)
	}
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("own path: %w", err)
	}
	random := make([]byte, 8)
	if _, err := rand.Read(random); err != nil {
		return nil, fmt.Errorf("mark: %w", err)
	}
	s := &sandbox{id: "groundswell-" + hex.EncodeToString(random), dir: dir, self: self, failed: make(chan error, 1), reaped: make(chan struct{})}
	file := filepath.Join(dir, marker)
	if s.lock, err = os.OpenFile(file, os.O_CREATE|os.O_RDWR, 0o644); err != nil {
		return nil, fmt.Errorf("folder: %w", err)
	}
	if err := syscall.Flock(int(s.lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, fmt.Errorf("%s belongs to a sandbox that is running: end it or choose another --dir", dir)
	}
	former, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("folder: %w", err)
	}
	if id := strings.TrimSpace(string(former)); id != "" {
		if err := lifeline.Sweep(id); err != nil {
			return nil, err
		}
	}
	if err := os.WriteFile(file, []byte(s.id+"\n"), 0o644); err != nil {
		return nil, fmt.Errorf("folder: %w", err)
	}
	return s, s.watch()
}

// watch starts the reaper, which outlives a SIGKILL of this process.
func (s *sandbox) watch() error {
	r, w, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("reaper: %w", err)
	}
	defer r.Close()
	s.lifeline = w
	s.reaper, err = lifeline.Start(lifeline.Command{
		Path: s.self, Args: []string{s.self, "reap", s.id}, Env: []string{"PATH=" + os.Getenv("PATH")}, Dir: "/", Stdin: r, Survives: true,
	})
	if err != nil {
		return fmt.Errorf("reaper: %w", err)
	}
	go func() {
		_, _ = s.reaper.Wait()
		close(s.reaped)
		s.fail(errors.New("the reaper has ended: without it a SIGKILL would leave processes behind"))
	}()
	return nil
}

// fail keeps the first reason to end.
func (s *sandbox) fail(err error) {
	select {
	case s.failed <- err:
	default:
	}
}

// run brings all clusters up side by side, says so in their order, and waits for the end.
func (s *sandbox) run(parent context.Context) error {
	ctx, cancel := context.WithCancel(parent)
	var all sync.WaitGroup
	defer func() {
		cancel()
		all.Wait()
		for _, c := range s.clusters {
			c.takeDown()
		}
	}()
	for _, c := range s.clusters {
		if err := c.prepare(); err != nil {
			return err
		}
	}
	up := make([]chan struct{}, len(s.clusters))
	for i, c := range s.clusters {
		up[i] = make(chan struct{})
		all.Add(1)
		go func() {
			defer all.Done()
			if err := c.bringUp(ctx); err != nil {
				s.fail(err)
				return
			}
			close(up[i])
		}()
	}
	for i, c := range s.clusters {
		select {
		case <-up[i]:
			fmt.Printf("cluster %s kubeconfig %s\n", c.name, c.file("kubeconfig"))
		case err := <-s.failed:
			return s.reason(parent, err)
		case <-parent.Done():
			return nil
		}
	}
	fmt.Println("ready")
	select {
	case err := <-s.failed:
		return s.reason(parent, err)
	case <-parent.Done():
		return nil
	}
}

// reason: what fails while the sandbox is being ended is no failure.
func (s *sandbox) reason(parent context.Context, err error) error {
	if parent.Err() != nil {
		return nil
	}
	return err
}

// close lets the reaper make sure that nothing is left, also of what pods started in sessions of their own.
func (s *sandbox) close() error {
	_ = s.lifeline.Close()
	if !lifeline.WaitAll(reapLimit, s.reaped) {
		return fmt.Errorf("sandbox %s: some processes do not die", s.id)
	}
	_ = s.lock.Close()
	return nil
}
