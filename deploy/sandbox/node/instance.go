package node

import (
	"context"
	"fmt"
	"syscall"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"sandbox/journal"
	"sandbox/lifeline"
)

// lastSeconds is what a program has to end after SIGTERM even when its preStop hook has used up the whole grace.
const lastSeconds = 2

// instance is one run of a container's program, from the start of its process until that has been reaped.
type instance struct {
	c       *container
	number  int
	process *lifeline.Process
	env     map[string]string
	id      string
	began   metav1.Time

	// running ends with the process; wanted ends with it too, and before that when the pod is to stop.
	running, wanted context.Context
	over            context.CancelFunc
	condemned       chan sentence
}

// sentence has an instance ended although its pod goes on.
type sentence struct {
	grace     time.Duration
	unhealthy bool // by a probe
}

func newInstance(c *container, process *lifeline.Process, env map[string]string) *instance {
	i := &instance{c: c, process: process, env: env, began: metav1.Now(), condemned: make(chan sentence, 1)}
	running, gone := context.WithCancel(context.Background())
	wanted, unwanted := context.WithCancel(c.pod.life)
	i.running, i.wanted = running, wanted
	i.over = func() { gone(); unwanted() }
	c.pod.mu.Lock()
	defer c.pod.mu.Unlock()
	i.number, c.pid = c.instance, process.Pid
	i.id = fmt.Sprintf("sandbox://%s-%d-%d", c.pod.uid, process.Pid, c.restarts)
	return i
}

// attend follows the process to its end.
func (i *instance) attend() ending {
	c := i.c
	c.journal(journal.Started, i.process.Pid, 0)
	unhealthy := make(chan bool, 1)
	go i.live()
	go func() { unhealthy <- i.end() }()
	code, err := i.process.Wait()
	stopped := c.pod.life.Err() != nil
	i.over()
	if err != nil {
		c.pod.k.warn("%v", err)
	}
	i.setReady(false)
	event := journal.Exited
	if stopped {
		event = journal.Stopped
	}
	c.journal(event, i.process.Pid, code)
	reason := "Completed"
	if code != 0 {
		reason = "Error"
	}
	c.change(func() {
		c.instance++ // a probe still under way speaks of a process that is gone
		c.started, c.id = false, i.id
		c.become(v1.ContainerState{Terminated: &v1.ContainerStateTerminated{
			ExitCode: int32(code), Reason: reason, StartedAt: i.began, FinishedAt: metav1.Now(), ContainerID: i.id,
		}})
	})
	return ending{code: code, unhealthy: <-unhealthy}
}

// live runs the postStart hook, before whose end the container does not count as running, and then the probes.
func (i *instance) live() {
	if hooks := i.c.spec.Lifecycle; hooks != nil && hooks.PostStart != nil {
		if err := i.handle(i.wanted, hooks.PostStart); err != nil {
			if i.wanted.Err() == nil {
				i.c.pod.k.warn("postStart hook of %s: %v", i.c.place(), err)
				i.condemn(sentence{grace: i.c.pod.grace()})
			}
			return
		}
	}
	if i.now(func(c *container) {
		c.id = i.id
		c.become(v1.ContainerState{Running: &v1.ContainerStateRunning{StartedAt: i.began}})
	}) {
		i.probe()
	}
}

// now changes the container's state, unless this run of it is over.
func (i *instance) now(f func(*container)) bool {
	current := false
	i.c.change(func() {
		if current = i.c.instance == i.number; current {
			f(i.c)
		}
	})
	return current
}

// condemn has the process ended; the first word counts.
func (i *instance) condemn(s sentence) {
	select {
	case i.condemned <- s:
	default:
	}
}

// end stops the process when it is condemned or its pod is to stop. It returns with the process, and is true when a
// probe wanted that end.
func (i *instance) end() bool {
	select {
	case <-i.running.Done():
	case s := <-i.condemned:
		i.stop(s.grace)
		return s.unhealthy
	case <-i.c.pod.life.Done():
		i.setReady(false)
		i.stop(i.c.pod.grace())
	}
	return false
}

// stop runs the preStop hook, sends SIGTERM and, after what is left of the grace, SIGKILL.
func (i *instance) stop(grace time.Duration) {
	pod := i.c.pod
	limit := time.Now().Add(grace)
	if hooks := i.c.spec.Lifecycle; hooks != nil && hooks.PreStop != nil && grace > 0 && pod.force.Err() == nil {
		ctx, done := context.WithTimeout(i.running, grace)
		forced := context.AfterFunc(pod.force, done)
		err := i.handle(ctx, hooks.PreStop)
		forced()
		done()
		if err != nil && i.running.Err() == nil && pod.force.Err() == nil {
			pod.k.warn("preStop hook of %s: %v", i.c.place(), err)
		}
	}
	i.process.Signal(syscall.SIGTERM)
	left := time.NewTimer(max(time.Until(limit), pod.k.seconds(lastSeconds)))
	defer left.Stop()
	select {
	case <-i.running.Done():
		return
	case <-pod.force.Done():
	case <-left.C:
	}
	i.process.Signal(syscall.SIGKILL)
	<-i.running.Done()
}

// setReady records a change of readiness of this run of the program everywhere it shows. The journal is written under
// the lock, so that its lines are in the order of the changes.
func (i *instance) setReady(ready bool) {
	c, pod := i.c, i.c.pod
	pod.mu.Lock()
	if c.ready == ready || c.instance != i.number || ready && i.wanted.Err() != nil {
		pod.mu.Unlock()
		return
	}
	c.ready = ready
	event := journal.Unready
	if ready {
		event = journal.Ready
	}
	c.record(pod.pod, event, c.pid, 0)
	pod.mu.Unlock()
	pod.list()
	pod.touch()
}

// place names the container for messages.
func (c *container) place() string {
	return fmt.Sprintf("container %s of pod %s/%s", c.spec.Name, c.pod.namespace, c.pod.name)
}
