// Package cluster brings up whole clusters and takes them down again.
// In: the flags of `sandbox up`. Out: for each cluster the components' processes, the process kubelets and the gateway
// (both in this process), and the files that others find them by, all under one folder.
package cluster

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"sandbox/journal"
	"sandbox/lifeline"
	"sandbox/node"
	"sandbox/traffic"
	"sandbox/usage"
)

const (
	// readyPoll and readyLimit: a control plane is up after seconds; a loaded machine may need a minute or two.
	readyPoll  = 25 * time.Millisecond
	readyLimit = 3 * time.Minute
	// endLimit is how long killed components may take to be reaped.
	endLimit = 3 * time.Second
	// marker is the file by which a cluster's folder is known as one that may be wiped.
	marker = ".sandbox"
)

// Options are what `sandbox up` was asked for.
type Options struct {
	Nodes       int
	BackoffBase time.Duration
	// QPS is the limit of the controller manager, and of the scheduler, on itself.
	QPS         float64
	InstantPods bool
	// AuditPolicy is the file of a policy; without one there is no audit log.
	AuditPolicy string
}

func (o Options) burst() int { return max(int(2*o.QPS), 1) }

// Cluster is one cluster of a sandbox.
type Cluster struct {
	name, dir, id, self string
	options             Options
	fail                func(error) // reports that the cluster cannot go on

	blocks   []block
	ports    ports
	pki      pki
	gone     []<-chan struct{}
	kubelets []*node.Kubelet
	journal  *journal.Journal
	up       atomic.Bool
}

func (c *Cluster) file(name string) string { return filepath.Join(c.dir, name) }

// prepare takes addresses and ports and lays out an empty folder.
func (c *Cluster) prepare() error {
	if err := c.wipe(); err != nil {
		return err
	}
	for range c.options.Nodes {
		b, err := takeBlock()
		if err != nil {
			return err
		}
		c.blocks = append(c.blocks, b)
	}
	c.ports = c.blocks[0].ports()
	var err error
	if c.pki, err = newPKI(c.file("pki")); err != nil {
		return err
	}
	server := "https://" + local(c.ports.apiserver)
	users, err := c.pki.tokens("admin", manager, scheduler, "kubelet")
	if err != nil {
		return err
	}
	for _, id := range users[1:] {
		if err := c.pki.kubeconfig(c.pki.path(id.user+".kubeconfig"), c.name, server, id); err != nil {
			return err
		}
	}
	if err := c.pki.kubeconfig(c.file("kubeconfig"), c.name, server, users[0]); err != nil {
		return err
	}
	lines := map[string]string{"apiserver": server, "gateway": local(c.ports.gateway), "etcd-client": "http://" + local(c.ports.etcd)}
	for name, line := range lines {
		if err := os.WriteFile(c.file(name), []byte(line+"\n"), 0o644); err != nil {
			return fmt.Errorf("cluster %s: %w", c.name, err)
		}
	}
	return nil
}

// wipe empties the folder, if it is one that a sandbox made.
func (c *Cluster) wipe() error {
	entries, err := os.ReadDir(c.dir)
	if err == nil && len(entries) > 0 {
		if _, err := os.Stat(c.file(marker)); err != nil {
			return fmt.Errorf("%s is not empty and not made by a sandbox: remove it or choose another --dir", c.dir)
		}
		if err := os.RemoveAll(c.dir); err != nil {
			return fmt.Errorf("wipe %s: %w", c.dir, err)
		}
	}
	for _, sub := range []string{"log", "pods", "tmp"} {
		if err := os.MkdirAll(c.file(sub), 0o755); err != nil {
			return fmt.Errorf("cluster %s: %w", c.name, err)
		}
	}
	if err := os.WriteFile(c.file(marker), []byte(c.id+"\n"), 0o644); err != nil {
		return fmt.Errorf("cluster %s: %w", c.name, err)
	}
	return nil
}

// bringUp returns when the cluster takes work: the API is ready, nodes are registered, the gateway listens, the
// controllers have made the default service account and the metrics API answers.
func (c *Cluster) bringUp(ctx context.Context) error {
	if err := c.start(ctx, etcd, c.etcdArgs()); err != nil {
		return err
	}
	if err := c.start(ctx, apiserver, c.apiserverArgs()); err != nil {
		return err
	}
	config, err := c.config()
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("cluster %s: %w", c.name, err)
	}
	// /livez answers while the bootstrap hooks are still at work; the controllers can start beside them.
	if err := c.await(ctx, "API server", func() bool { return answers(ctx, client, "/livez/ping") }); err != nil {
		return err
	}
	if err := c.start(ctx, manager, c.managerArgs()); err != nil {
		return err
	}
	if err := c.start(ctx, scheduler, c.schedulerArgs()); err != nil {
		return err
	}
	if err := c.await(ctx, "API server", func() bool { return answers(ctx, client, "/readyz") }); err != nil {
		return err
	}
	if err := c.runNodes(ctx, client); err != nil {
		return err
	}
	err = c.await(ctx, "controller manager", func() bool {
		_, err := client.CoreV1().ServiceAccounts(metav1.NamespaceDefault).Get(ctx, "default", metav1.GetOptions{})
		return err == nil
	})
	if err != nil {
		return err
	}
	// The namespace that it is registered in comes by itself.
	err = c.await(ctx, "metrics API", func() bool {
		return usage.Register(ctx, client, c.ports.usage, c.pki.ca) == nil && usage.Served(ctx, client)
	})
	c.up.Store(err == nil)
	return err
}

// config is for the kubelets and the gateway: no rate limit of our own, protobuf.
func (c *Cluster) config() (*rest.Config, error) {
	config, err := clientcmd.BuildConfigFromFlags("", c.pki.path("kubelet.kubeconfig"))
	if err != nil {
		return nil, fmt.Errorf("cluster %s: %w", c.name, err)
	}
	config.QPS = -1
	config.ContentType = "application/vnd.kubernetes.protobuf"
	config.UserAgent = "sandbox-kubelet"
	return config, nil
}

func answers(ctx context.Context, client kubernetes.Interface, path string) bool {
	status := 0
	client.Discovery().RESTClient().Get().AbsPath(path).Do(ctx).StatusCode(&status)
	return status == http.StatusOK
}

func (c *Cluster) await(ctx context.Context, what string, ready func() bool) error {
	limit := time.Now().Add(readyLimit)
	for !ready() {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if time.Now().After(limit) {
			return fmt.Errorf("cluster %s: %s not ready after %v: see %s", c.name, what, readyLimit, c.file("log"))
		}
		time.Sleep(readyPoll)
	}
	return nil
}

// runNodes starts the kubelets and the gateway, which share their watches.
func (c *Cluster) runNodes(ctx context.Context, client kubernetes.Interface) error {
	var err error
	if c.journal, err = journal.Open(c.file("journal.ndjson"), c.name); err != nil {
		return err
	}
	targets, err := journal.OpenTargets(c.file("targets.json"), c.name, ctx.Done())
	if err != nil {
		return err
	}
	factory := informers.NewSharedInformerFactory(client, 0)
	for i, b := range c.blocks {
		k := node.New(ctx, node.Config{
			Cluster: c.name, Node: fmt.Sprintf("%s-node-%d", c.name, i+1), Block: b.number, ID: c.id, Self: c.self, Dir: c.file("pods"),
			BackoffBase: c.options.BackoffBase, Instant: c.options.InstantPods, Client: client, Journal: c.journal, Targets: targets,
		})
		if err := k.Register(); err != nil {
			return err
		}
		c.kubelets = append(c.kubelets, k)
		if _, err := factory.Core().V1().Pods().Informer().AddEventHandler(k.Handler()); err != nil {
			return fmt.Errorf("cluster %s: %w", c.name, err)
		}
	}
	gateway, err := traffic.NewGateway(factory)
	if err != nil {
		return err
	}
	figures := usage.New(client, factory.Core().V1().Pods().Lister())
	own, err := tls.LoadX509KeyPair(c.pki.path("usage.crt"), c.pki.path("usage.key"))
	if err != nil {
		return fmt.Errorf("certificate of %s: %w", c.name, err)
	}
	factory.Start(ctx.Done())
	factory.WaitForCacheSync(ctx.Done())
	err = c.serve(c.ports.gateway, func(l net.Listener) error { return gateway.Serve(ctx, l) })
	if err != nil {
		return err
	}
	return c.serve(c.ports.usage, func(l net.Listener) error { return figures.Serve(ctx, l, own, c.pki.ca) })
}

// serve runs a server beside the others; its failure is the end of the sandbox.
func (c *Cluster) serve(port int, server func(net.Listener) error) error {
	listener, err := net.Listen("tcp", local(port))
	if err != nil {
		return fmt.Errorf("cluster %s: %w", c.name, err)
	}
	go func() {
		if err := server(listener); err != nil {
			c.fail(fmt.Errorf("cluster %s: %w", c.name, err))
		}
	}()
	return nil
}

// takeDown waits until nothing runs any more; the context that the cluster was started with has ended.
func (c *Cluster) takeDown() {
	for _, k := range c.kubelets {
		k.Stop()
	}
	lifeline.WaitAll(endLimit, c.gone...)
	if c.journal != nil {
		c.journal.Close()
	}
	for _, b := range c.blocks {
		_ = b.lock.Close()
	}
}
