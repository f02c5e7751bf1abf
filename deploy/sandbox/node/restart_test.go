package node

import (
	"context"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestAgain(t *testing.T) {
	for _, c := range []struct {
		policy                v1.RestartPolicy
		init, unhealthy, want bool
		code                  int
	}{
		{policy: v1.RestartPolicyAlways, code: 0, want: true},
		{policy: v1.RestartPolicyAlways, code: 1, want: true},
		{policy: v1.RestartPolicyAlways, init: true, code: 0, want: false},
		{policy: v1.RestartPolicyAlways, init: true, code: 1, want: true},
		{policy: v1.RestartPolicyOnFailure, code: 0, want: false},
		{policy: v1.RestartPolicyOnFailure, code: 1, want: true},
		{policy: v1.RestartPolicyOnFailure, code: 0, unhealthy: true, want: true},
		{policy: v1.RestartPolicyOnFailure, init: true, code: 1, want: true},
		{policy: v1.RestartPolicyNever, code: 1, want: false},
		{policy: v1.RestartPolicyNever, code: 1, unhealthy: true, want: false},
		{policy: "", code: 0, want: true}, // the API server says Always
	} {
		if got := again(c.policy, c.init, ending{c.code, c.unhealthy}); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
}

// once fails at its first run and then does what it is told.
func once(then string) string { return `[ -f run ] || { >run; exit 3; }; ` + then }

func TestRestarts(t *testing.T) {
	waits := func(reason string) func(*v1.Pod) bool {
		return func(p *v1.Pod) bool { w := first(p).State.Waiting; return w != nil && w.Reason == reason }
	}
	phase := func(phase v1.PodPhase) func(*v1.Pod) bool {
		return func(p *v1.Pod) bool { return p.Status.Phase == phase }
	}
	for _, c := range []struct {
		name, script string
		policy       v1.RestartPolicy
		until        func(*v1.Pod) bool
		phase        v1.PodPhase
		restarts     int32
		last, code   int32 // of the run before and of this one
		reason       string
	}{
		{"always, after a failure", once("exec sleep 1000"), v1.RestartPolicyAlways, running, v1.PodRunning, 1, 3, 0, ""},
		{"always, again and again", "exit 3", v1.RestartPolicyAlways, waits("CrashLoopBackOff"), v1.PodRunning, 1, 3, 0, ""},
		{"always, though it ends well", "exit 0", v1.RestartPolicyAlways, waits("CrashLoopBackOff"), v1.PodRunning, 1, 0, 0, ""},
		{"on failure, until it is well", once("exit 0"), v1.RestartPolicyOnFailure, phase(v1.PodSucceeded), v1.PodSucceeded, 1, 3, 0, "Completed"},
		{"never", "exit 5", v1.RestartPolicyNever, phase(v1.PodFailed), v1.PodFailed, 0, 0, 5, "Error"},
		{"never, well", "exit 0", v1.RestartPolicyNever, phase(v1.PodSucceeded), v1.PodSucceeded, 0, 0, 0, "Completed"},
		{"killed as if out of memory", "kill -s KILL $$$$", v1.RestartPolicyNever, phase(v1.PodFailed), v1.PodFailed, 0, 0, 137, "Error"},
		{"terminated", "kill -s TERM $$$$", v1.RestartPolicyNever, phase(v1.PodFailed), v1.PodFailed, 0, 0, 143, "Error"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			pod := shell("p", c.script)
			pod.Spec.RestartPolicy = c.policy
			s.run(pod)
			pod = s.until("p", c.name, func(p *v1.Pod) bool { return c.until(p) && first(p).RestartCount >= c.restarts })
			status := first(pod)
			if pod.Status.Phase != c.phase || status.RestartCount != c.restarts {
				t.Errorf("phase %s after %d restarts", pod.Status.Phase, status.RestartCount)
			}
			if last := status.LastTerminationState.Terminated; (last != nil) != (c.restarts > 0) || last != nil && last.ExitCode != c.last {
				t.Errorf("last state %+v", last)
			}
			if now := status.State.Terminated; now != nil && (now.ExitCode != c.code || now.Reason != c.reason || now.FinishedAt.Before(&now.StartedAt)) {
				t.Errorf("state %+v", now)
			}
		})
	}
}

func TestACrashLoopSaysHowLongItWaits(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.run(shell("p", "exit 1"))
	for _, wait := range []string{"back-off 1s ", "back-off 2s ", "back-off 4s "} {
		s.until("p", wait, func(p *v1.Pod) bool {
			w := first(p).State.Waiting
			return w != nil && w.Reason == "CrashLoopBackOff" && strings.HasPrefix(w.Message, wait+"restarting failed container=app pod=p_shop(uid-p)")
		})
	}
}

func TestWhatKeepsAContainerFromStarting(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	waits := func(reason, says string) func(*v1.Pod) bool {
		return func(p *v1.Pod) bool {
			w := first(p).State.Waiting
			return p.Status.Phase == v1.PodPending && w != nil && w.Reason == reason && strings.Contains(w.Message, says)
		}
	}
	image := idle("image")
	image.Spec.Containers[0].Image = "nginx:1"
	s.run(image)
	s.until("image", "refused", waits("ErrImagePull", `image "nginx:1"`))
	s.until("image", "waits", waits("ImagePullBackOff", `Back-off pulling image "nginx:1": ErrImagePull: `))

	program := idle("program")
	program.Spec.RestartPolicy = v1.RestartPolicyNever
	program.Spec.Containers[0].Command = []string{"/no/such/program"}
	s.run(program)
	failed := s.until("program", "failed", func(p *v1.Pod) bool { return p.Status.Phase == v1.PodFailed })
	if end := first(failed).State.Terminated; end == nil || end.ExitCode != 128 || end.Reason != "StartError" {
		t.Errorf("%+v", first(failed))
	}

	secret := idle("secret")
	secret.Spec.Containers[0].Env = []v1.EnvVar{{Name: "T", ValueFrom: &v1.EnvVarSource{SecretKeyRef: &v1.SecretKeySelector{
		LocalObjectReference: v1.LocalObjectReference{Name: "keys"}, Key: "t"}}}}
	s.run(secret)
	s.until("secret", "waits", waits("CreateContainerConfigError", "keys"))
	keys := &v1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "keys", Namespace: "shop"}, Data: map[string][]byte{"t": []byte("x")}}
	if _, err := s.client.CoreV1().Secrets("shop").Create(context.Background(), keys, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	s.until("secret", "runs", running)
}

func TestInitContainersComeFirst(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	pod := shell("p", `cat said; exec sleep 1000`)
	init := func(name, script string) v1.Container {
		return v1.Container{Name: name, Image: "sh:1", Args: []string{"-c", script}}
	}
	pod.Spec.InitContainers = []v1.Container{init("one", once("echo one >>said")), init("two", "while ! [ -f go ]; do sleep 0.02; done; echo two >>said")}
	s.run(pod)
	pod = s.until("p", "one is through", func(p *v1.Pod) bool {
		return condition(p, v1.PodInitialized).Message == "containers with incomplete status: [two]"
	})
	if one := pod.Status.InitContainerStatuses[0]; pod.Status.Phase != v1.PodPending || one.RestartCount != 1 || !one.Ready {
		t.Errorf("phase %s, %+v", pod.Status.Phase, one)
	}
	if w := first(pod).State.Waiting; w == nil || w.Reason != "PodInitializing" {
		t.Errorf("%+v", first(pod))
	}
	touch(t, s.home("p", "go"))
	s.until("p", "ready", is(v1.PodReady, v1.ConditionTrue))

	bad := idle("bad")
	bad.Spec.RestartPolicy = v1.RestartPolicyNever
	bad.Spec.InitContainers = []v1.Container{init("one", "exit 4")}
	s.run(bad)
	bad = s.until("bad", "failed", func(p *v1.Pod) bool { return p.Status.Phase == v1.PodFailed })
	if one := bad.Status.InitContainerStatuses[0].State.Terminated; one == nil || one.ExitCode != 4 || running(bad) {
		t.Errorf("%+v", bad.Status)
	}
}
