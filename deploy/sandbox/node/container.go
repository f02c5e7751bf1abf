package node

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
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

	state, last v1.ContainerState
	restarts    int32
	started     bool // its startup probe, if any, is through
	ready       bool
	pid         int
	instance    int // counts the runs of the program
	id          string
}

func newContainer(r *podRun, spec *v1.Container, init bool) *container {
	reason := "ContainerCreating"
	if r.inits > 0 {
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

// become replaces the state, keeping how the container ended last; for callers that hold the pod's lock.
func (c *container) become(state v1.ContainerState) {
	if c.state.Terminated != nil {
		c.last = c.state
	}
	c.state = state
}

// status is for callers that hold the pod's lock.
func (c *container) status() v1.ContainerStatus {
	started, image := c.started, ""
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
// for good or the pod is to stop; true means that its last exit was a success.
func (c *container) run() bool {
	life := c.pod.life
	wait := backoff{base: c.pod.k.BackoffBase}
	image, ok := c.pulled(life)
	for ok {
		began := time.Now()
		end, started := c.once(image)
		if !started || life.Err() != nil {
			return false
		}
		if !again(c.pod.newest().Spec.RestartPolicy, c.init, end) {
			return end.code == 0
		}
		if delay := wait.restart(time.Since(began)); delay > 0 {
			c.change(func() {
				c.become(waiting("CrashLoopBackOff", fmt.Sprintf("back-off %s restarting failed container=%s pod=%s_%s(%s)",
					delay, c.spec.Name, c.pod.name, c.pod.namespace, c.pod.uid)))
			})
			ok = pause(life, delay)
		}
		c.change(func() { c.restarts++ })
	}
	return false
}

// ending is how one run of a program ended.
type ending struct {
	code      int
	unhealthy bool // a probe had it ended
}

// again is true when the restart policy wants another run. An unhealthy container was ended in order to be started again,
// whatever code it makes of that.
func again(policy v1.RestartPolicy, init bool, end ending) bool {
	switch policy {
	case v1.RestartPolicyNever:
		return false
	case v1.RestartPolicyOnFailure:
		return end.unhealthy || end.code != 0
	}
	return !init || end.code != 0
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

// once runs the program to its end. started is false when the pod is to stop before a process was there.
func (c *container) once(image program) (end ending, started bool) {
	command, env, ok := c.configured(c.pod.life, image)
	if !ok {
		return ending{}, false
	}
	process, err := c.launch(command, env)
	if err != nil {
		now := metav1.Now()
		c.journal(journal.Exited, 0, startFailed)
		c.change(func() {
			c.become(v1.ContainerState{Terminated: &v1.ContainerStateTerminated{ExitCode: startFailed, Reason: "StartError", Message: err.Error(), StartedAt: now, FinishedAt: now}})
		})
		return ending{code: startFailed}, true
	}
	return newInstance(c, process, env).attend(), true
}

// configured resolves the variables and the command line, trying again until what they refer to is there.
func (c *container) configured(life context.Context, image program) (lifeline.Command, map[string]string, bool) {
	for life.Err() == nil {
		command, env, err := c.command(life, image)
		if err == nil {
			return command, env, true
		}
		if life.Err() != nil {
			break
		}
		c.change(func() { c.become(waiting("CreateContainerConfigError", err.Error())) })
		pause(life, configRetry)
	}
	return lifeline.Command{}, nil, false
}

func (c *container) command(ctx context.Context, image program) (lifeline.Command, map[string]string, error) {
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
		return lifeline.Command{}, nil, err
	}
	env[lifeline.Mark] = k.ID // last: nothing may take the mark off
	dir := home
	if filepath.IsAbs(c.spec.WorkingDir) {
		dir = c.spec.WorkingDir
	} else if err := os.MkdirAll(home, 0o755); err != nil {
		return lifeline.Command{}, nil, err
	}
	return lifeline.Command{Args: image.argv(expandAll(c.spec.Command, env), expandAll(c.spec.Args, env)), Env: pairs(env), Dir: dir}, env, nil
}

// launch starts the process with its output going to the log file.
func (c *container) launch(command lifeline.Command, env map[string]string) (*lifeline.Process, error) {
	file, err := find(command.Args[0], env["PATH"])
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
