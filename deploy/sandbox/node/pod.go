package node

import (
	"context"
	"maps"
	"os"
	"path/filepath"
	"sync"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"sandbox/address"
)

// defaultGrace is the grace of a pod that names none.
const defaultGrace = 30 * time.Second

// podRun is one pod on this node from the moment it is seen until its object is gone.
type podRun struct {
	k               *Kubelet
	namespace, name string
	uid             types.UID
	ip              string
	listen          string // where its processes listen
	start           metav1.Time

	// life ends when the pod is to be deleted, force when its processes must go without grace.
	life  context.Context
	die   context.CancelFunc
	force context.Context
	kill  context.CancelFunc
	dirty chan struct{}
	quiet chan struct{} // the status writer has ended
	// finished: nothing of the pod is left
	finished chan struct{}

	written    v1.PodStatus // as the API server last took it; belongs to the status writer, after it to erase
	listing    sync.Mutex
	mu         sync.Mutex
	pod        *v1.Pod // the newest seen
	containers []*container
	inits      int // how many of containers, from the first, are init containers
	ended      bool
	conditions map[v1.PodConditionType]v1.PodCondition
}

func newPodRun(k *Kubelet, pod *v1.Pod) *podRun {
	r := &podRun{
		k: k, pod: pod, namespace: pod.Namespace, name: pod.Name, uid: pod.UID, start: metav1.Now(), inits: len(pod.Spec.InitContainers),
		dirty: make(chan struct{}, 1), quiet: make(chan struct{}), finished: make(chan struct{}),
		conditions: map[v1.PodConditionType]v1.PodCondition{},
	}
	r.force, r.kill = context.WithCancel(k.ctx)
	r.life, r.die = context.WithCancel(r.force)
	for i := range pod.Spec.InitContainers {
		r.containers = append(r.containers, newContainer(r, &pod.Spec.InitContainers[i], true))
	}
	for i := range pod.Spec.Containers {
		r.containers = append(r.containers, newContainer(r, &pod.Spec.Containers[i], false))
	}
	if pod.DeletionTimestamp != nil {
		r.die()
	}
	return r
}

// update takes a newer version of the object.
func (r *podRun) update(pod *v1.Pod) {
	r.mu.Lock()
	relabelled := !maps.Equal(r.pod.Labels, pod.Labels)
	r.pod = pod
	r.mu.Unlock()
	if pod.DeletionTimestamp != nil {
		r.die()
		return
	}
	if relabelled {
		r.list()
	}
	if len(pod.Spec.ReadinessGates) > 0 {
		r.touch()
	}
}

func (r *podRun) newest() *v1.Pod {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.pod
}

// home is the directory in which the pod's programs start.
func (r *podRun) home() string { return filepath.Join(r.k.Dir, "work", r.namespace+"_"+r.name) }

// grace is how long the pod's processes have between SIGTERM and SIGKILL.
func (r *podRun) grace() time.Duration {
	pod := r.newest()
	switch {
	case pod.DeletionGracePeriodSeconds != nil:
		return time.Duration(*pod.DeletionGracePeriodSeconds) * time.Second
	case pod.Spec.TerminationGracePeriodSeconds != nil:
		return time.Duration(*pod.Spec.TerminationGracePeriodSeconds) * time.Second
	}
	return defaultGrace
}

func (r *podRun) run() {
	defer close(r.finished)
	defer r.kill()
	defer r.k.forget(r.uid)
	if err := r.admit(); err != nil {
		r.k.warn("pod %s/%s: %v", r.namespace, r.name, err)
		close(r.quiet)
	} else {
		defer r.k.pool.Give(r.ip)
		defer os.Remove(r.home()) // only if the pod left nothing in it
		go r.report()
		r.touch()
		r.work()
	}
	<-r.life.Done()
	<-r.quiet
	if r.k.ctx.Err() == nil {
		r.erase()
	}
}

// admit gives the pod its address; a pod that gets none has failed, as one that a full node refuses.
func (r *podRun) admit() error {
	ip, err := r.k.pool.Take()
	if err == nil {
		r.ip = ip
		r.listen, err = address.Listen(ip)
	}
	if err == nil {
		return nil
	}
	status := v1.PodStatus{Phase: v1.PodFailed, Reason: "OutOfpods", Message: err.Error(), StartTime: &r.start}
	if perr := r.patch(status); perr != nil {
		r.k.warn("pod %s/%s: %v", r.namespace, r.name, perr)
	}
	return err
}

// work runs the init containers one after another, then the others side by side, until all have ended for good.
func (r *podRun) work() {
	good := true
	for _, c := range r.containers[:r.inits] {
		if good = c.run(); !good {
			break
		}
	}
	if good && r.life.Err() == nil {
		var all sync.WaitGroup
		for _, c := range r.containers[r.inits:] {
			all.Add(1)
			go func() {
				defer all.Done()
				c.run()
			}()
		}
		all.Wait()
	}
	r.k.Targets.Remove(string(r.uid))
	r.mu.Lock()
	r.ended = true
	r.mu.Unlock()
	r.touch()
}

// erase removes the object once no process of it is left. A finalizer's owner wants to see how the pod ended. The
// calls do not hang on force: the watch ends that as soon as the deletion is through, maybe before its answer.
func (r *podRun) erase() {
	pod := r.newest()
	pods := r.k.Client.CoreV1().Pods(r.namespace)
	zero := int64(0)
	for r.force.Err() == nil {
		var err error
		if len(pod.Finalizers) > 0 {
			err = r.patch(r.status())
		}
		if err == nil {
			err = pods.Delete(r.k.ctx, r.name, metav1.DeleteOptions{GracePeriodSeconds: &zero, Preconditions: &metav1.Preconditions{UID: &r.uid}})
		}
		if err == nil || errors.IsNotFound(err) || errors.IsConflict(err) || r.k.ctx.Err() != nil {
			return
		}
		r.k.warn("remove pod %s/%s: %v", r.namespace, r.name, err)
		pause(r.force, retryPause)
	}
}

// pause waits, and is false when the context ended first.
func pause(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
