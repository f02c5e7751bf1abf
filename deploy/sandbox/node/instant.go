package node

import (
	"sync"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"

	"sandbox/journal"
)

// paperWorkers is how many pods are worked on at once: enough that the API server and not the kubelet is what takes time.
const paperWorkers = 16

// paper runs pods on paper: each is Running and Ready at once and stays so until it is deleted. It costs two API
// requests and no process, so that thousands of them fit on one machine.
type paper struct {
	k     *Kubelet
	queue workqueue.TypedDelayingInterface[types.UID]
	done  sync.WaitGroup
}

func newPaper(k *Kubelet) *paper {
	p := &paper{k: k, queue: workqueue.NewTypedDelayingQueue[types.UID]()}
	for range paperWorkers {
		p.done.Add(1)
		go func() {
			defer p.done.Done()
			for p.next() {
			}
		}()
	}
	return p
}

// stop waits until no pod is being worked on.
func (p *paper) stop() {
	p.queue.ShutDown()
	p.done.Wait()
}

// next works on the pod whose turn it is; no other worker has it meanwhile.
func (p *paper) next() bool {
	uid, closed := p.queue.Get()
	if closed {
		return false
	}
	defer p.queue.Done(uid)
	if run := p.k.run(uid); run != nil && p.k.ctx.Err() == nil {
		if err := p.work(run); err != nil && p.k.ctx.Err() == nil {
			p.k.warn("pod %s/%s: %v", run.namespace, run.name, err)
			p.queue.AddAfter(uid, retryPause)
		}
	}
	return true
}

// work writes the pod's status, or removes the pod when it is to be deleted.
func (p *paper) work(r *podRun) error {
	if r.doomed.Err() != nil {
		r.erase()
		for _, c := range r.containers[r.inits:] {
			if c.ready {
				c.journal(journal.Stopped, 0, 0)
			}
		}
		p.k.pool.Give(r.ip)
		p.k.forget(r.uid)
		r.kill()
		return nil
	}
	if r.ip == "" {
		ip, err := p.k.pool.Take()
		if err != nil {
			return r.refuse(err)
		}
		r.ip = ip
		r.pretend()
	}
	if err := r.patch(r.status()); err != nil && !errors.IsNotFound(err) && !errors.IsConflict(err) {
		return err
	}
	return nil
}

// pretend has every container do what it was made for.
func (r *podRun) pretend() {
	now := metav1.Now()
	for i, c := range r.containers {
		r.mu.Lock()
		c.id = "sandbox://" + string(r.uid) + "-" + c.spec.Name
		if i < r.inits {
			c.state = v1.ContainerState{Terminated: &v1.ContainerStateTerminated{Reason: "Completed", StartedAt: now, FinishedAt: now, ContainerID: c.id}}
		} else {
			c.state = v1.ContainerState{Running: &v1.ContainerStateRunning{StartedAt: now}}
			c.started, c.ready = true, true
		}
		r.mu.Unlock()
		if i >= r.inits {
			c.journal(journal.Started, 0, 0)
			c.journal(journal.Ready, 0, 0)
		}
	}
}
