package gitops

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/tools/clientcmd"

	"sandbox/lifeline"
)

const (
	// fieldManager owns the fields that Git sets.
	fieldManager = "applier"
	// firstRetry and lastRetry bound the wait after an apply that failed.
	firstRetry = 200 * time.Millisecond
	lastRetry  = 2 * time.Second
)

// target is one cluster and the folder of the repository that it gets.
type target struct {
	name, kubeconfig, folder string
	client                   dynamic.Interface
	mapper                   *restmapper.DeferredDiscoveryRESTMapper
	commits                  chan string // the newest commit to apply; holds one
}

// targets is the flag --cluster, given once for each cluster.
type targets []*target

func (t *targets) String() string { return "" }

func (t *targets) Set(value string) error {
	parts := strings.SplitN(value, "=", 3)
	if len(parts) != 3 || parts[0] == "" || parts[1] == "" || parts[2] == "" {
		return fmt.Errorf("%q is not NAME=KUBECONFIG=PATH_IN_REPO", value)
	}
	*t = append(*t, &target{name: parts[0], kubeconfig: parts[1], folder: parts[2], commits: make(chan string, 1)})
	return nil
}

// Applier is the body of `sandbox applier`.
func Applier(args []string) error {
	f := flag.NewFlagSet("sandbox applier", flag.ContinueOnError)
	folder := f.String("repo", "", "folder of a Git repository, bare or not")
	branch := f.String("branch", "main", "branch to follow")
	interval := f.Duration("interval", 300*time.Millisecond, "how often to look for a new commit")
	var clusters targets
	f.Var(&clusters, "cluster", "NAME=KUBECONFIG=PATH_IN_REPO, once for each cluster")
	if err := f.Parse(args); err != nil {
		return err
	}
	if *folder == "" || len(clusters) == 0 || *interval <= 0 {
		return errors.New("--repo, at least one --cluster and an --interval above 0 are required")
	}
	ctx, cancel := lifeline.Context()
	defer cancel()
	repo, err := openRepository(ctx, *folder)
	if err != nil {
		return err
	}
	for _, t := range clusters {
		if err := t.connect(); err != nil {
			return err
		}
	}
	var all sync.WaitGroup
	for _, t := range clusters {
		all.Add(1)
		go func() {
			defer all.Done()
			t.follow(ctx, repo)
		}()
	}
	follow(ctx, repo, *branch, *interval, clusters)
	all.Wait()
	return nil
}

func (t *target) connect() error {
	config, err := clientcmd.BuildConfigFromFlags("", t.kubeconfig)
	if err != nil {
		return fmt.Errorf("cluster %s: %w", t.name, err)
	}
	config.QPS = -1 // the API server's own limits are enough
	config.UserAgent = "sandbox-applier"
	if t.client, err = dynamic.NewForConfig(config); err != nil {
		return fmt.Errorf("cluster %s: %w", t.name, err)
	}
	disco, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return fmt.Errorf("cluster %s: %w", t.name, err)
	}
	t.mapper = restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(disco))
	return nil
}

// follow hands each new commit of the branch to all clusters at once. A branch that does not exist yet is waited for.
func follow(ctx context.Context, repo repository, branch string, interval time.Duration, clusters targets) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	seen := ""
	for {
		if commit, err := repo.head(ctx, branch); err == nil && commit != seen {
			seen = commit
			for _, t := range clusters {
				t.offer(commit)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// offer replaces a commit that has not been taken up yet. Only one goroutine offers.
func (t *target) offer(commit string) {
	select {
	case <-t.commits:
	default:
	}
	t.commits <- commit
}

// follow applies commits one after another; while one fails it is tried again, until a newer one takes its place.
func (t *target) follow(ctx context.Context, repo repository) {
	commit, wait := "", firstRetry
	var retry <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case commit = <-t.commits:
			wait = firstRetry
		case <-retry:
		}
		retry = nil
		err := t.apply(ctx, repo, commit)
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			fmt.Printf("applied %s %s\n", commit, t.name)
			continue
		}
		fmt.Fprintf(os.Stderr, "sandbox applier: %s to %s, next try in %v: %v\n", commit, t.name, wait, err)
		retry = time.After(wait)
		wait = min(2*wait, lastRetry)
	}
}

// apply sends every object of the commit, also after one has failed, and returns all errors.
func (t *target) apply(ctx context.Context, repo repository, commit string) error {
	files, err := repo.manifests(ctx, commit, t.folder)
	if err != nil {
		return err
	}
	objects, err := parse(files, commit)
	if err != nil {
		return err
	}
	var failed []error
	for _, o := range objects {
		if err := t.applyOne(ctx, o); err != nil {
			failed = append(failed, fmt.Errorf("%s %s/%s: %w", o.GetKind(), o.GetNamespace(), o.GetName(), err))
		}
	}
	return errors.Join(failed...)
}

func (t *target) applyOne(ctx context.Context, o *unstructured.Unstructured) error {
	kind := o.GroupVersionKind()
	mapping, err := t.mapper.RESTMapping(kind.GroupKind(), kind.Version)
	if meta.IsNoMatchError(err) {
		t.mapper.Reset() // its definition may have come since
		mapping, err = t.mapper.RESTMapping(kind.GroupKind(), kind.Version)
	}
	if err != nil {
		return err
	}
	var client dynamic.ResourceInterface = t.client.Resource(mapping.Resource)
	if mapping.Scope.Name() == meta.RESTScopeNameNamespace {
		if o.GetNamespace() == "" {
			o.SetNamespace(metav1.NamespaceDefault)
		}
		client = t.client.Resource(mapping.Resource).Namespace(o.GetNamespace())
	}
	_, err = client.Apply(ctx, o.GetName(), o, metav1.ApplyOptions{FieldManager: fieldManager, Force: true})
	return err
}
