// Package node is the process kubelet: it registers a node and runs the pods bound to it as local process groups.
// In: pods, ConfigMaps and Secrets from the API server. Out: processes with the sandbox's mark, pod status, the
// journal, the list of Prometheus targets and bounded log files. It listens on nothing and writes only to its folder.
package node

import (
	"context"
	"fmt"
	"os"
	"sync"
	"time"

	coordination "k8s.io/api/coordination/v1"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"

	"sandbox/address"
	"sandbox/journal"
)

const (
	// heartbeat and lease are what a kubelet does by default.
	heartbeat    = 10 * time.Second
	leaseSeconds = 40
	// retryPause is the wait before an API call that failed is tried again.
	retryPause = 200 * time.Millisecond
	// stopLimit is how long Stop waits for killed processes to be reaped.
	stopLimit = 3 * time.Second
)

// Config is what one kubelet needs.
type Config struct {
	Cluster, Node string
	Block         int    // the N of this node's addresses
	ID            string // the mark of the sandbox
	Self          string // path of this binary, for the demo image
	Dir           string // for logs and working directories
	BackoffBase   time.Duration
	// Instant pods run on paper only.
	Instant bool
	Client  kubernetes.Interface
	Journal *journal.Journal
	Targets *journal.Targets
}

// Kubelet runs the pods of one node.
type Kubelet struct {
	Config
	pool  *address.Pool
	ctx   context.Context
	paper *paper // if pods run on paper
	// second is what pod specs call a second; tests make it short.
	second time.Duration

	mu   sync.Mutex
	pods map[types.UID]*podRun
}

// New makes a kubelet; Register and Handler bring it to life, the context's end kills its pods.
func New(ctx context.Context, c Config) *Kubelet {
	k := &Kubelet{Config: c, pool: address.NewPool(c.Block), ctx: ctx, second: time.Second, pods: map[types.UID]*podRun{}}
	if c.Instant {
		k.pool, k.paper = address.NewPaperPool(c.Block), newPaper(k)
	}
	return k
}

func (k *Kubelet) seconds(n int64) time.Duration { return time.Duration(n) * k.second }

// room is how many pods the node takes.
func (k *Kubelet) room() int64 {
	if k.paper != nil {
		return address.PaperPodsPerNode
	}
	return address.PodsPerNode
}

func (k *Kubelet) hostIP() string { return address.Pod(k.Block, address.Host) }

// Register creates the node object and keeps its lease.
func (k *Kubelet) Register() error {
	now := metav1.Now()
	capacity := v1.ResourceList{
		v1.ResourceCPU: resource.MustParse("10k"), v1.ResourceMemory: resource.MustParse("64Ti"),
		v1.ResourceEphemeralStorage: resource.MustParse("4Ti"), v1.ResourcePods: *resource.NewQuantity(k.room(), resource.DecimalSI),
	}
	node := &v1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: k.Node, Labels: map[string]string{
			v1.LabelHostname: k.Node, v1.LabelOSStable: "linux", v1.LabelArchStable: "amd64", v1.LabelTopologyRegion: k.Cluster, v1.LabelTopologyZone: k.Cluster,
		}},
		Status: v1.NodeStatus{
			Capacity: capacity, Allocatable: capacity,
			Addresses: []v1.NodeAddress{{Type: v1.NodeInternalIP, Address: k.hostIP()}, {Type: v1.NodeHostName, Address: k.Node}},
			Conditions: []v1.NodeCondition{{
				Type: v1.NodeReady, Status: v1.ConditionTrue, Reason: "KubeletReady", Message: "process kubelet is running",
				LastHeartbeatTime: now, LastTransitionTime: now,
			}},
			NodeInfo: v1.NodeSystemInfo{KubeletVersion: "v1.36.3-sandbox", ContainerRuntimeVersion: "process://1", OperatingSystem: "linux", Architecture: "amd64"},
		},
	}
	if _, err := k.Client.CoreV1().Nodes().Create(k.ctx, node, metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("register node %s: %w", k.Node, err)
	}
	go k.beat()
	return nil
}

// beat renews the node's lease.
func (k *Kubelet) beat() {
	leases := k.Client.CoordinationV1().Leases(v1.NamespaceNodeLease)
	tick := time.NewTicker(heartbeat)
	defer tick.Stop()
	seconds := int32(leaseSeconds)
	var lease *coordination.Lease
	for {
		now := metav1.NowMicro()
		var next *coordination.Lease
		var err error // nobody else writes the lease: what we got back is what the next update starts from
		if lease == nil {
			next, err = leases.Create(k.ctx, &coordination.Lease{
				ObjectMeta: metav1.ObjectMeta{Name: k.Node, Namespace: v1.NamespaceNodeLease},
				Spec:       coordination.LeaseSpec{HolderIdentity: &k.Node, LeaseDurationSeconds: &seconds, RenewTime: &now},
			}, metav1.CreateOptions{})
		} else {
			lease.Spec.RenewTime = &now
			next, err = leases.Update(k.ctx, lease, metav1.UpdateOptions{})
		}
		if err == nil {
			lease = next
		}
		if err != nil && k.ctx.Err() == nil {
			k.warn("lease: %v", err)
		}
		select {
		case <-k.ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// Handler takes the cluster's pods from a shared informer; those of other nodes are ignored.
func (k *Kubelet) Handler() cache.ResourceEventHandler {
	return cache.FilteringResourceEventHandler{
		FilterFunc: func(o any) bool {
			if gone, ok := o.(cache.DeletedFinalStateUnknown); ok {
				o = gone.Obj
			}
			pod, ok := o.(*v1.Pod)
			return ok && pod.Spec.NodeName == k.Node
		},
		Handler: cache.ResourceEventHandlerFuncs{
			AddFunc:    func(o any) { k.seen(o.(*v1.Pod)) },
			UpdateFunc: func(_, o any) { k.seen(o.(*v1.Pod)) },
			DeleteFunc: func(o any) {
				if gone, ok := o.(cache.DeletedFinalStateUnknown); ok {
					o = gone.Obj
				}
				k.removed(o.(*v1.Pod))
			},
		},
	}
}

func (k *Kubelet) seen(pod *v1.Pod) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if run, ok := k.pods[pod.UID]; ok {
		run.update(pod)
		return
	}
	if k.ctx.Err() != nil || over(pod) {
		return
	}
	run := newPodRun(k, pod)
	k.pods[pod.UID] = run
	if k.paper != nil {
		run.touch()
		return
	}
	go run.run()
}

func (k *Kubelet) run(uid types.UID) *podRun {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.pods[uid]
}

// over is true for a pod that has ended and only waits for someone to delete it, and for one that has our word that it is gone.
func over(pod *v1.Pod) bool {
	ended := pod.Status.Phase == v1.PodSucceeded || pod.Status.Phase == v1.PodFailed
	gone := pod.DeletionTimestamp != nil && pod.DeletionGracePeriodSeconds != nil && *pod.DeletionGracePeriodSeconds == 0
	return ended && pod.DeletionTimestamp == nil || gone
}

// removed: the object is gone (a forced deletion), so the processes go at once.
func (k *Kubelet) removed(pod *v1.Pod) {
	if run := k.run(pod.UID); run != nil {
		run.kill()
		run.touch()
	}
}

func (k *Kubelet) forget(uid types.UID) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if run := k.pods[uid]; run != nil && run.deadline != nil {
		run.deadline.Stop()
	}
	delete(k.pods, uid)
}

// Stop kills every pod at once and waits until they are reaped.
func (k *Kubelet) Stop() {
	if k.paper != nil {
		k.paper.stop()
		return
	}
	k.mu.Lock()
	runs := make([]*podRun, 0, len(k.pods))
	for _, run := range k.pods {
		runs = append(runs, run)
	}
	k.mu.Unlock()
	for _, run := range runs {
		run.kill()
	}
	limit := time.After(stopLimit)
	for _, run := range runs {
		select {
		case <-run.finished:
		case <-limit:
			return
		}
	}
}

func (k *Kubelet) warn(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "sandbox: kubelet of %s: %s\n", k.Node, fmt.Sprintf(format, args...))
}

// configMap reads one for a variable.
func (k *Kubelet) configMap(ctx context.Context, namespace, name string) (map[string]string, error) {
	o, err := k.Client.CoreV1().ConfigMaps(namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	return o.Data, nil
}

// secret reads one for a variable.
func (k *Kubelet) secret(ctx context.Context, namespace, name string) (map[string]string, error) {
	o, err := k.Client.CoreV1().Secrets(namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	out := make(map[string]string, len(o.Data))
	for key, value := range o.Data {
		out[key] = string(value)
	}
	return out, nil
}

var _ source = (*Kubelet)(nil)
