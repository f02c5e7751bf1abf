package node

import (
	"testing"

	v1 "k8s.io/api/core/v1"
)

func TestGatesDecideReadiness(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	pod := shell("p", once("exec sleep 1000"))
	pod.Spec.ReadinessGates = []v1.PodReadinessGate{{ConditionType: "example.com/one"}, {ConditionType: "example.com/two"}}
	pod.Status.Conditions = []v1.PodCondition{{Type: v1.PodScheduled, Status: v1.ConditionTrue}}
	s.run(pod)
	gate := func(name, status string) {
		s.patch("p", "status", `{"status":{"conditions":[{"type":"example.com/`+name+`","status":"`+status+`","reason":"Told"}]}}`)
	}
	gate("two", "True")
	says := func(message string) {
		t.Helper()
		pod := s.until("p", message, func(p *v1.Pod) bool { return condition(p, v1.PodReady).Message == message })
		ready := condition(pod, v1.PodReady)
		if ready.Status != v1.ConditionFalse || ready.Reason != "ReadinessGatesNotReady" || condition(pod, v1.ContainersReady).Status != v1.ConditionTrue {
			t.Errorf("%+v", pod.Status.Conditions)
		}
	}
	says(`corresponding condition of pod readiness gate "example.com/one" does not exist.`)
	gate("one", "False")
	says(`the status of pod readiness gate "example.com/one" is not "True", but False`)
	gate("one", "True")
	s.until("p", "ready", is(v1.PodReady, v1.ConditionTrue))
	gate("two", "Unknown")
	says(`the status of pod readiness gate "example.com/two" is not "True", but Unknown`)
	gate("two", "True")
	pod = s.until("p", "ready again", is(v1.PodReady, v1.ConditionTrue))
	for kind, reason := range map[v1.PodConditionType]string{v1.PodScheduled: "", "example.com/one": "Told", "example.com/two": "Told"} {
		if c := condition(pod, kind); c.Status != v1.ConditionTrue || c.Reason != reason {
			t.Errorf("after all these writes %s is %+v", kind, c)
		}
	}
}

func TestTheActiveDeadline(t *testing.T) {
	lasting := func(seconds int64) *int64 { return &seconds }
	late := func(p *v1.Pod) bool { return p.Status.Phase == v1.PodFailed && p.Status.Reason == "DeadlineExceeded" }
	t.Run("ends what runs, for good", func(t *testing.T) {
		t.Parallel()
		s := newSite(t)
		pod := shell("p", polite)
		pod.Spec.RestartPolicy, pod.Spec.ActiveDeadlineSeconds = v1.RestartPolicyAlways, lasting(10)
		s.run(pod)
		pod = s.until("p", "late", late)
		if c := first(pod); c.State.Terminated == nil || c.RestartCount != 0 || condition(pod, v1.PodReady).Reason != "PodFailed" {
			t.Errorf("%+v", pod.Status)
		}
		if pod.Status.Message != "Pod was active on the node longer than the specified deadline" {
			t.Error(pod.Status.Message)
		}
		within(t, "it was active", s.at("stopped", 1).Sub(s.at("started", 1)), 5*tick, soon)
		s.remove("p", 1)
		s.gone("p")
	})
	t.Run("also of a pod that never ran", func(t *testing.T) {
		t.Parallel()
		s := newSite(t)
		pod := idle("p")
		pod.Spec.Containers[0].Image = "nginx:1"
		pod.Spec.ActiveDeadlineSeconds = lasting(3)
		s.run(pod)
		s.until("p", "late", late)
	})
	t.Run("may be set later", func(t *testing.T) {
		t.Parallel()
		s := newSite(t)
		s.run(idle("p"))
		s.until("p", "ready", is(v1.PodReady, v1.ConditionTrue))
		s.patch("p", "", `{"spec":{"activeDeadlineSeconds":1}}`)
		s.until("p", "late", late)
	})
	t.Run("says nothing of a pod that has ended", func(t *testing.T) {
		t.Parallel()
		s := newSite(t)
		pod := shell("p", "exit 0")
		pod.Spec.RestartPolicy, pod.Spec.ActiveDeadlineSeconds = v1.RestartPolicyNever, lasting(4)
		s.run(pod)
		s.until("p", "done", func(p *v1.Pod) bool { return p.Status.Phase == v1.PodSucceeded })
		run := s.k.run(pod.UID)
		s.wait("the deadline is past", func() (bool, string) { return run.life.Err() != nil, "it is not" })
		if status := run.status(); status.Phase != v1.PodSucceeded || status.Reason != "" {
			t.Errorf("%+v", status)
		}
	})
}
