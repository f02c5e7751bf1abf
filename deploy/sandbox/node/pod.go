package node

import (
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"sync"
	"time"

	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"sandbox/address"
)

// defaultGrace is the grace in seconds of a pod that names none.
const defaultGrace = 30

// errDeadline is why a pod stops that has been active for too long.
var errDeadline = errors.New("Pod was active on the node longer than the specified deadline")

// podRun is one pod on this node from the moment it is seen until its object is gone.
type podRun struct {
	k               *Kubelet
	namespace, name string
	uid             types.UID
	ip              string
	listen          string // where its processes listen
	start           metav1.Time

	// life ends when the pod is to stop, with the reason; doomed when its object is to be deleted; force when its
	// processes must go without grace.
	life, doomed, force context.Context
	die                 context.CancelCauseFunc
	doom, kill          context.CancelFunc
	deadline            *time.Timer
	dirty               chan struct{}
	settled             chan struct{} // the pod is doomed and all its processes are gone
	quiet               chan struct{} // the status writer has ended
	// finished: nothing of the pod is left
	finished chan struct{}

	written    v1.PodStatus // as the API server last took it; belongs to the status writer, after it to erase
	listing    sync.Mutex
	mu         sync.Mutex
	pod        *v1.Pod // the newest seen
	containers []*container
	inits      int // how many of containers, from the first, are init containers
	ended      bool
	late       bool // it ended because of its active deadline
	conditions map[v1.PodConditionType]v1.PodCondition
}

func newPodRun(k *Kubelet, pod *v1.Pod) *podRun {
	r := &podRun{
		k: k, pod: pod, namespace: pod.Namespace, name: pod.Name, uid: pod.UID, start: metav1.Now(), inits: len(pod.Spec.InitContainers),
		dirty: make(chan struct{}, 1), settled: make(chan struct{}), quiet: make(chan struct{}), finished: make(chan struct{}),
		conditions: map[v1.PodConditionType]v1.PodCondition{},
	}
	r.force, r.kill = context.WithCancel(k.ctx)
	r.doomed, r.doom = context.WithCancel(r.force)
	r.life, r.die = context.WithCancelCause(r.doomed)
	for i := range pod.Spec.InitContainers {
		r.containers = append(r.containers, newContainer(r, &pod.Spec.InitContainers[i], true))
	}
	for i := range pod.Spec.Containers {
		r.containers = append(r.containers, newContainer(r, &pod.Spec.Containers[i], false))
	}
	if pod.DeletionTimestamp != nil {
		r.doom()
	}
	r.limit(pod)
	return r
}

// limit sets the timer of the pod's active deadline. The kubelet's lock keeps its callers apart.
func (r *podRun) limit(pod *v1.Pod) {
	if r.deadline != nil {
		r.deadline.Stop()
	}
	if seconds := pod.Spec.ActiveDeadlineSeconds; seconds != nil && r.k.paper == nil {
		r.deadline = time.AfterFunc(time.Until(r.start.Add(r.k.seconds(*seconds))), func() { r.die(errDeadline) })
	}
}

// update takes a newer version of the object.
func (r *podRun) update(pod *v1.Pod) {
	r.mu.Lock()
	relabelled := !maps.Equal(r.pod.Labels, pod.Labels)
	r.pod = pod
	r.mu.Unlock()
	r.limit(pod)
	if pod.DeletionTimestamp != nil {
		r.doom()
		r.touch()
		return
	}
	if relabelled && r.k.paper == nil {
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
		return r.k.seconds(*pod.DeletionGracePeriodSeconds)
	case pod.Spec.TerminationGracePeriodSeconds != nil:
		return r.k.seconds(*pod.Spec.TerminationGracePeriodSeconds)
	}
	return r.k.seconds(defaultGrace)
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
	<-r.doomed.Done()
	close(r.settled)
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
	if perr := r.refuse(err); perr != nil {
		r.k.warn("pod %s/%s: %v", r.namespace, r.name, perr)
	}
	return err
}

// refuse writes that the pod has failed for want of room.
func (r *podRun) refuse(why error) error {
	return r.patch(v1.PodStatus{Phase: v1.PodFailed, Reason: "OutOfpods", Message: why.Error(), StartTime: &r.start})
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
	r.ended, r.late = true, context.Cause(r.life) == errDeadline
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
		if err == nil || apierrors.IsNotFound(err) || apierrors.IsConflict(err) || r.k.ctx.Err() != nil {
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
