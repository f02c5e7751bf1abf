package node

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"sandbox/journal"
	"sandbox/lifeline"
)

const (
	// configRetry is the wait after a container could not be configured, e.g. a missing Secret.
	configRetry = time.Second
	// startFailed is the exit code of a container whose program could not be started.
	startFailed = 128
)

// container is one container of a pod over all its restarts. Its state is guarded by the pod's lock.
type container struct {
	pod  *podRun
	spec *v1.Container
	init bool
	env  map[string]string // of the running process, for exec probes

	state, last v1.ContainerState
	restarts    int32
	ready       bool
	pid         int
	instance    int // counts the runs of the program
	id          string
}

func newContainer(r *podRun, spec *v1.Container, init bool) *container {
	reason := "ContainerCreating"
	if !init && r.inits > 0 {
		reason = "PodInitializing"
	}
	return &container{pod: r, spec: spec, init: init, state: waiting(reason, "")}
}

func waiting(reason, message string) v1.ContainerState {
	return v1.ContainerState{Waiting: &v1.ContainerStateWaiting{Reason: reason, Message: message}}
}

// change alters the state under the pod's lock and has it reported.
func (c *container) change(f func()) {
	c.pod.mu.Lock()
	f()
	c.pod.mu.Unlock()
	c.pod.touch()
}

// status is for callers that hold the pod's lock.
func (c *container) status() v1.ContainerStatus {
	started := c.state.Running != nil
	image := ""
	if c.id != "" {
		image = "sandbox://" + c.spec.Image
	}
	return v1.ContainerStatus{
		Name: c.spec.Name, State: c.state, LastTerminationState: c.last, Ready: c.ready || c.init && c.state.Terminated != nil && c.state.Terminated.ExitCode == 0,
		RestartCount: c.restarts, Image: c.spec.Image, ImageID: image, ContainerID: c.id, Started: &started,
	}
}

func (c *container) journal(event string, pid, code int) { c.record(c.pod.newest(), event, pid, code) }

func (c *container) record(pod *v1.Pod, event string, pid, code int) {
	c.pod.k.Journal.Write(journal.Event{
		Event: event, Namespace: pod.Namespace, Pod: pod.Name, UID: string(pod.UID), Container: c.spec.Name, Image: c.spec.Image,
		Hash: pod.Labels[journal.HashLabel], Pid: pid, ExitCode: code,
	})
}

// run starts the container and starts it again as the pod's policy wants. It returns when the container has ended
// for good or the pod is to be deleted; true means that its last exit was a success.
func (c *container) run() bool {
	life := c.pod.life
	wait := backoff{base: c.pod.k.BackoffBase}
	image, ok := c.pulled(life)
	for ok {
		began := time.Now()
		code, started := c.once(image)
		if !started || life.Err() != nil {
			return false
		}
		if !c.again(code) {
			return code == 0
		}
		if delay := wait.restart(time.Since(began)); delay > 0 {
			c.change(func() {
				c.last, c.state = c.state, waiting("CrashLoopBackOff", fmt.Sprintf("back-off %s restarting failed container=%s pod=%s_%s(%s)",
					delay, c.spec.Name, c.pod.name, c.pod.namespace, c.pod.uid))
			})
			ok = pause(life, delay)
		}
		c.change(func() { c.restarts++ })
	}
	return false
}

// again is true when the restart policy wants another run after this exit code.
func (c *container) again(code int) bool {
	switch c.pod.newest().Spec.RestartPolicy {
	case v1.RestartPolicyNever:
		return false
	case v1.RestartPolicyOnFailure:
		return code != 0
	}
	return !c.init || code != 0
}

// pulled finds the image's program, trying again for ever as a kubelet does.
func (c *container) pulled(life context.Context) (program, bool) {
	wait := backoff{base: c.pod.k.BackoffBase}
	for life.Err() == nil {
		image, err := pull(c.spec.Image, c.pod.k.Self)
		if err == nil {
			return image, true
		}
		c.journal(journal.PullFailed, 0, 0)
		c.change(func() { c.state = waiting("ErrImagePull", err.Error()) })
		delay := wait.pull()
		// Long enough that the first reason is seen by whoever watches.
		if !pause(life, min(delay/2, time.Second)) {
			break
		}
		c.change(func() {
			c.state = waiting("ImagePullBackOff", fmt.Sprintf("Back-off pulling image %q: ErrImagePull: %v", c.spec.Image, err))
		})
		if !pause(life, delay-min(delay/2, time.Second)) {
			break
		}
	}
	return program{}, false
}

// once runs the program to its end. started is false when the pod is to be deleted before a process was there.
func (c *container) once(image program) (code int, started bool) {
	life := c.pod.life
	command, ok := c.configured(life, image)
	if !ok {
		return 0, false
	}
	process, err := c.launch(command)
	if err != nil {
		now := metav1.Now()
		c.journal(journal.Exited, 0, startFailed)
		c.change(func() {
			c.remember()
			c.state = v1.ContainerState{Terminated: &v1.ContainerStateTerminated{ExitCode: startFailed, Reason: "StartError", Message: err.Error(), StartedAt: now, FinishedAt: now}}
		})
		return startFailed, true
	}
	return c.attend(process), true
}

// remember keeps how the container ended last; for callers that hold the lock.
func (c *container) remember() {
	if c.state.Terminated != nil {
		c.last = c.state
	}
}

// configured resolves the variables and the command line, trying again until what they refer to is there.
func (c *container) configured(life context.Context, image program) (lifeline.Command, bool) {
	for life.Err() == nil {
		command, err := c.command(life, image)
		if err == nil {
			return command, true
		}
		if life.Err() != nil {
			break
		}
		c.change(func() {
			c.remember()
			c.state = waiting("CreateContainerConfigError", err.Error())
		})
		pause(life, configRetry)
	}
	return lifeline.Command{}, false
}

func (c *container) command(ctx context.Context, image program) (lifeline.Command, error) {
	k, pod := c.pod.k, c.pod.newest()
	home := c.pod.home()
	base := map[string]string{
		"PATH": os.Getenv("PATH"), "HOME": home, "HOSTNAME": pod.Name, "BIND_ADDRESS": c.pod.listen, "SANDBOX_CLUSTER": k.Cluster,
	}
	for name, value := range image.env {
		base[name] = value
	}
	env, err := environment(ctx, k, pod, c.spec, base, c.pod.ip, k.hostIP())
	if err != nil {
		return lifeline.Command{}, err
	}
	env[lifeline.Mark] = k.ID // last: nothing may take the mark off
	dir := home
	if filepath.IsAbs(c.spec.WorkingDir) {
		dir = c.spec.WorkingDir
	} else if err := os.MkdirAll(home, 0o755); err != nil {
		return lifeline.Command{}, err
	}
	c.env = env
	return lifeline.Command{Args: image.argv(expandAll(c.spec.Command, env), expandAll(c.spec.Args, env)), Env: pairs(env), Dir: dir}, nil
}

// launch starts the process with its output going to the log file.
func (c *container) launch(command lifeline.Command) (*lifeline.Process, error) {
	file, err := find(command.Args[0], c.env["PATH"])
	if err != nil {
		return nil, err
	}
	command.Path = file
	out, err := logPipe(filepath.Join(c.pod.k.Dir, fmt.Sprintf("%s_%s_%s.log", c.pod.namespace, c.pod.name, c.spec.Name)))
	if err != nil {
		return nil, err
	}
	defer out.Close()
	command.Output = out
	return lifeline.Start(command)
}

// attend follows a running process: probes while it runs, SIGTERM and later SIGKILL when the pod is to be deleted.
func (c *container) attend(process *lifeline.Process) int {
	began := metav1.Now()
	c.journal(journal.Started, process.Pid, 0)
	running, exited := context.WithCancel(c.pod.life)
	gone := make(chan struct{})
	instance := 0
	c.change(func() {
		c.remember()
		instance = c.instance
		c.pid, c.id = process.Pid, fmt.Sprintf("sandbox://%s-%d-%d", c.pod.uid, process.Pid, c.restarts)
		c.state = v1.ContainerState{Running: &v1.ContainerStateRunning{StartedAt: began}}
	})
	go c.watchReadiness(running, instance)
	go c.end(process, instance, gone)
	code, err := process.Wait()
	stopped := c.pod.life.Err() != nil
	exited()
	close(gone)
	if err != nil {
		c.pod.k.warn("%v", err)
	}
	c.setReady(instance, false)
	c.change(func() { c.instance++ }) // a probe still under way speaks of a process that is gone
	event := journal.Exited
	if stopped {
		event = journal.Stopped
	}
	c.journal(event, process.Pid, code)
	reason := "Completed"
	if code != 0 {
		reason = "Error"
	}
	c.change(func() {
		c.state = v1.ContainerState{Terminated: &v1.ContainerStateTerminated{
			ExitCode: int32(code), Reason: reason, StartedAt: began, FinishedAt: metav1.Now(), ContainerID: c.id,
		}}
	})
	return code
}

// end stops the process when the pod is to be deleted.
func (c *container) end(process *lifeline.Process, instance int, gone <-chan struct{}) {
	select {
	case <-gone:
		return
	case <-c.pod.life.Done():
	}
	c.setReady(instance, false)
	process.Signal(syscall.SIGTERM)
	grace := time.NewTimer(c.pod.grace())
	defer grace.Stop()
	select {
	case <-gone:
		return
	case <-c.pod.force.Done():
	case <-grace.C:
	}
	process.Signal(syscall.SIGKILL)
}

// setReady records a change of readiness of one run of the program everywhere it shows. The journal is written
// under the lock, so that its lines are in the order of the changes.
func (c *container) setReady(instance int, ready bool) {
	c.pod.mu.Lock()
	if c.ready == ready || c.instance != instance || ready && c.pod.life.Err() != nil {
		c.pod.mu.Unlock()
		return
	}
	c.ready = ready
	event := journal.Unready
	if ready {
		event = journal.Ready
	}
	c.record(c.pod.pod, event, c.pid, 0)
	c.pod.mu.Unlock()
	c.pod.list()
	c.pod.touch()
}
