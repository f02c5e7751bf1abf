package node

import (
	"context"
	"slices"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func command(script string) *v1.LifecycleHandler {
	return &v1.LifecycleHandler{Exec: &v1.ExecAction{Command: []string{"/bin/sh", "-c", script}}}
}

func TestPostStartComesBeforeRunning(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	pod := idle("p")
	pod.Spec.Containers[0].Lifecycle = &v1.Lifecycle{PostStart: command(`cd; echo hook >>said; while ! [ -f go ]; do sleep 0.02; done`)}
	s.run(pod)
	s.text("p", "said", 1)
	held := s.until("p", "held", func(p *v1.Pod) bool { return p.Status.Phase == v1.PodPending })
	if c := first(held); c.State.Waiting == nil || c.State.Waiting.Reason != "ContainerCreating" || c.Ready {
		t.Errorf("during its hook: %+v", c)
	}
	touch(t, s.home("p", "go"))
	pod = s.until("p", "ready", is(v1.PodReady, v1.ConditionTrue))
	if c := first(pod); c.State.Running == nil || c.RestartCount != 0 || c.ContainerID == "" {
		t.Errorf("after its hook: %+v", c)
	}
}

func TestAFailedPostStartRestarts(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	pod := idle("p")
	pod.Spec.Containers[0].Lifecycle = &v1.Lifecycle{
		PostStart: command(`cd; echo start >>said; [ $(wc -l <said) -gt 1 ]`), PreStop: command(`cd; echo stop >>said`),
	}
	s.run(pod)
	pod = s.until("p", "ready at the second try", is(v1.PodReady, v1.ConditionTrue))
	if c := first(pod); c.RestartCount != 1 || c.LastTerminationState.Terminated.ExitCode != 143 {
		t.Errorf("%+v", c)
	}
	if said := s.text("p", "said", 3); !slices.Equal(said, []string{"start", "stop", "start"}) {
		t.Errorf("hooks: %v", said)
	}
}

func TestPreStopComesBeforeSIGTERM(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	pod := shell("p", polite)
	pod.Spec.Containers[0].Lifecycle = &v1.Lifecycle{PreStop: command(`cd; echo hook >>said; sleep 0.1; echo over >>said`)}
	s.run(pod)
	s.until("p", "ready", is(v1.PodReady, v1.ConditionTrue))
	s.up("p")
	s.remove("p", 1000)
	s.gone("p")
	if said := s.text("p", "said", 3); !slices.Equal(said, []string{"hook", "over", "term"}) {
		t.Errorf("order: %v", said)
	}
	if got, want := s.events(), []string{"started", "ready", "unready", "stopped"}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestAnyAnswerToAHookWillDo(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	start, stop := newDoctor(t, 500), newDoctor(t, 404)
	pod := idle("p")
	pod.Spec.Containers[0].Lifecycle = &v1.Lifecycle{
		PostStart: &v1.LifecycleHandler{HTTPGet: start.get()}, PreStop: &v1.LifecycleHandler{HTTPGet: stop.get()},
	}
	s.run(pod)
	s.until("p", "ready", is(v1.PodReady, v1.ConditionTrue))
	if len(start.times()) != 1 || len(stop.times()) != 0 {
		t.Errorf("asked %d and %d times", len(start.times()), len(stop.times()))
	}
	s.remove("p", 1000)
	s.gone("p")
	if len(start.times()) != 1 || len(stop.times()) != 1 {
		t.Errorf("asked %d and %d times", len(start.times()), len(stop.times()))
	}
}

// The grace covers the preStop hook; SIGTERM is followed by SIGKILL after what the hook left, two seconds at least.
func TestPreStopSpendsTheGrace(t *testing.T) {
	for _, c := range []struct {
		name     string
		sleep    int64
		grace    int
		from, to time.Duration
	}{
		{"a part of it", 3, 8, 8 * tick, soon / 3},
		{"all of it", 1000, 4, 6 * tick, soon / 3},
		{"no hook and hardly a grace", 0, 1, 2 * tick, soon / 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			pod := shell("p", deaf)
			if c.sleep > 0 {
				pod.Spec.Containers[0].Lifecycle = &v1.Lifecycle{PreStop: &v1.LifecycleHandler{Sleep: &v1.SleepAction{Seconds: c.sleep}}}
			}
			s.run(pod)
			s.until("p", "ready", is(v1.PodReady, v1.ConditionTrue))
			s.up("p")
			s.remove("p", c.grace)
			s.gone("p")
			if said := s.text("p", "said", 1); !slices.Equal(said, []string{"term"}) {
				t.Errorf("heard %v", said)
			}
			within(t, "from unready to stopped", s.at("stopped", 1).Sub(s.at("unready", 1)), c.from, c.to)
			if code := s.lines()[3].ExitCode; code != 137 {
				t.Errorf("ended with %d", code)
			}
		})
	}
}

func TestAStatusIsReportedWhileThePodEnds(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	pod := idle("p")
	pod.Spec.Containers[0].Lifecycle = &v1.Lifecycle{PreStop: command(`while ! [ -f ~/go ]; do sleep 0.02; done`)}
	s.run(pod)
	s.until("p", "ready", is(v1.PodReady, v1.ConditionTrue))
	s.remove("p", 1000)
	pod = s.until("p", "unready", is(v1.PodReady, v1.ConditionFalse))
	if !running(pod) {
		t.Errorf("%+v", first(pod))
	}
	touch(t, s.home("p", "go"))
	s.gone("p")
}

func TestADeletionWithoutGraceWaitsForNothing(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	pod := shell("p", deaf)
	pod.Spec.Containers[0].Lifecycle = &v1.Lifecycle{PreStop: command(`sleep 1000`)}
	s.run(pod)
	s.until("p", "ready", is(v1.PodReady, v1.ConditionTrue))
	if err := s.client.CoreV1().Pods("shop").Delete(context.Background(), "p", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	s.wait("stopped", func() (bool, string) { return slices.Contains(s.events(), "stopped"), "" })
}
