// Package witness writes down what an API server says happened, independent of the programs under test.
// In: a kubeconfig. Out: one JSON line for each event of Rollouts, ReplicaSets and Pods in all namespaces, appended to
// a file. It only reads from the API server.
package witness

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"sync"
	"time"

	kerrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/tools/clientcmd"

	"sandbox/lifeline"
)

const (
	// lookAgain is the wait while a kind is not there yet, and after a watch has broken.
	lookAgain = 200 * time.Millisecond
	// watchSeconds is when a watch is renewed, so that a connection that died unnoticed is found.
	watchSeconds = 300
)

// kinds are what is watched. The definition of Rollouts may come after the witness has started.
var kinds = []schema.GroupVersionResource{
	{Group: "argoproj.io", Version: "v1alpha1", Resource: "rollouts"},
	{Group: "apps", Version: "v1", Resource: "replicasets"},
	{Version: "v1", Resource: "pods"},
}

// Witness is the body of `sandbox witness`.
func Witness(args []string) error {
	f := flag.NewFlagSet("sandbox witness", flag.ContinueOnError)
	kubeconfig := f.String("kubeconfig", "", "kubeconfig of the cluster")
	cluster := f.String("cluster", "", "name of the cluster, for the lines")
	file := f.String("out", "", "file to which the events are appended")
	if err := f.Parse(args); err != nil {
		return err
	}
	if *kubeconfig == "" || *file == "" {
		return errors.New("--kubeconfig and --out are required")
	}
	config, err := clientcmd.BuildConfigFromFlags("", *kubeconfig)
	if err != nil {
		return fmt.Errorf("kubeconfig %s: %w", *kubeconfig, err)
	}
	config.UserAgent = "sandbox-witness"
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("kubeconfig %s: %w", *kubeconfig, err)
	}
	out, err := os.OpenFile(*file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("events: %w", err)
	}
	defer out.Close()
	ctx, cancel := lifeline.Context()
	defer cancel()
	w := &writer{cluster: *cluster, out: out, cancel: cancel}
	var all sync.WaitGroup
	for _, kind := range kinds {
		all.Add(1)
		go func() {
			defer all.Done()
			(&follower{client: client.Resource(kind), known: map[string]*unstructured.Unstructured{}, write: w.write}).run(ctx)
		}()
	}
	all.Wait()
	return w.err
}

// follower follows one kind. What it knows lets it tell, after a gap, what was missed.
type follower struct {
	client dynamic.NamespaceableResourceInterface
	known  map[string]*unstructured.Unstructured // by uid
	write  func(watch.EventType, *unstructured.Unstructured)
}

// run lists, then watches, and lists again when the watch's place in history is lost.
func (f *follower) run(ctx context.Context) {
	version := ""
	for ctx.Err() == nil {
		var err error
		if version == "" {
			version, err = f.list(ctx)
		} else {
			version, err = f.watch(ctx, version)
		}
		if err != nil && ctx.Err() == nil {
			if !kerrors.IsNotFound(err) { // not there yet is no news
				fmt.Fprintf(os.Stderr, "sandbox witness: %v\n", err)
			}
			select {
			case <-ctx.Done():
			case <-time.After(lookAgain):
			}
		}
	}
}

// list writes what differs from what is known.
func (f *follower) list(ctx context.Context) (string, error) {
	list, err := f.client.List(ctx, metav1.ListOptions{})
	if err != nil {
		return "", err
	}
	there := map[string]bool{}
	for i := range list.Items {
		o := &list.Items[i]
		there[string(o.GetUID())] = true
		before, known := f.known[string(o.GetUID())]
		switch {
		case !known:
			f.take(watch.Added, o)
		case before.GetResourceVersion() != o.GetResourceVersion():
			f.take(watch.Modified, o)
		}
	}
	for uid, o := range f.known {
		if !there[uid] {
			f.take(watch.Deleted, o)
		}
	}
	return list.GetResourceVersion(), nil
}

// watch returns where the next watch goes on, or "" when it must list again.
func (f *follower) watch(ctx context.Context, version string) (string, error) {
	seconds := int64(watchSeconds)
	w, err := f.client.Watch(ctx, metav1.ListOptions{ResourceVersion: version, AllowWatchBookmarks: true, TimeoutSeconds: &seconds})
	if kerrors.IsResourceExpired(err) || kerrors.IsGone(err) || kerrors.IsNotFound(err) {
		return "", err
	}
	if err != nil {
		return version, err
	}
	defer w.Stop()
	for event := range w.ResultChan() {
		o, ok := event.Object.(*unstructured.Unstructured)
		switch event.Type {
		case watch.Added, watch.Modified, watch.Deleted:
			if !ok {
				return "", fmt.Errorf("watch: unexpected object %T", event.Object)
			}
			f.take(event.Type, o)
			version = o.GetResourceVersion()
		case watch.Bookmark:
			if ok {
				version = o.GetResourceVersion()
			}
		case watch.Error:
			status := kerrors.FromObject(event.Object)
			var api kerrors.APIStatus
			if errors.As(status, &api) && api.Status().Code == http.StatusGone {
				return "", nil
			}
			return "", status
		}
	}
	return version, nil
}

func (f *follower) take(event watch.EventType, o *unstructured.Unstructured) {
	uid := string(o.GetUID())
	if event == watch.Deleted {
		delete(f.known, uid)
	} else {
		f.known[uid] = o
	}
	f.write(event, o)
}

// writer appends lines; a file that cannot be written ends the witness.
type writer struct {
	cluster string
	out     *os.File
	cancel  context.CancelFunc

	mu  sync.Mutex
	err error
}

func (w *writer) write(event watch.EventType, o *unstructured.Unstructured) {
	w.mu.Lock()
	defer w.mu.Unlock()
	line, err := json.Marshal(describe(time.Now(), w.cluster, string(event), o))
	if err == nil {
		_, err = w.out.Write(append(line, '\n'))
	}
	if err != nil {
		w.err = fmt.Errorf("events: %w", err)
		w.cancel()
	}
}
