package node

import (
	"context"
	"fmt"
	"testing"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"sandbox/address"
)

func TestInstantPodsAreReadyWithoutAProcess(t *testing.T) {
	t.Parallel()
	const count = 300 // more than a node with processes can address
	s := newSite(t, func(c *Config) { c.Instant = true })
	if s.k.room() != address.PaperPodsPerNode || newSite(t).k.room() != address.PodsPerNode {
		t.Error("the wrong room for pods")
	}
	addresses := map[string]bool{}
	for n := range count {
		pod := shell(fmt.Sprintf("p%d", n), "exit 1")
		pod.Spec.Containers[0].Image = "nginx:1"
		pod.Spec.InitContainers = []v1.Container{{Name: "before", Image: "nginx:1"}}
		s.run(pod)
		pod = s.until(fmt.Sprintf("p%d", n), "ready", is(v1.PodReady, v1.ConditionTrue))
		c := first(pod)
		if pod.Status.Phase != v1.PodRunning || !c.Ready || !*c.Started || !running(pod) || !pod.Status.InitContainerStatuses[0].Ready {
			t.Fatalf("%+v", pod.Status)
		}
		addresses[pod.Status.PodIP] = true
	}
	if len(addresses) != count {
		t.Errorf("%d addresses for %d pods", len(addresses), count)
	}
	for n := range count {
		s.remove(fmt.Sprintf("p%d", n), 30)
		s.gone(fmt.Sprintf("p%d", n))
	}
	verbs := map[string]int{}
	for _, action := range s.client.Actions() {
		verbs[action.GetVerb()+" "+action.GetSubresource()]++
	}
	// The patches without subresource are this test's own.
	if verbs["patch status"] != count || verbs["delete "] != count {
		t.Errorf("requests: %v", verbs)
	}
	for _, e := range s.lines() {
		if e.Pid != 0 {
			t.Fatalf("a process: %+v", e)
		}
	}
	s.wait("forgotten", func() (bool, string) {
		s.k.mu.Lock()
		defer s.k.mu.Unlock()
		return len(s.k.pods) == 0, fmt.Sprint(len(s.k.pods))
	})
}

func TestInstantPodsKnowGatesAndForce(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(c *Config) { c.Instant = true })
	pod := idle("p")
	pod.Spec.ReadinessGates = []v1.PodReadinessGate{{ConditionType: "example.com/one"}}
	s.run(pod)
	s.until("p", "closed", func(p *v1.Pod) bool { return condition(p, v1.PodReady).Reason == "ReadinessGatesNotReady" })
	s.patch("p", "status", `{"status":{"conditions":[{"type":"example.com/one","status":"True"}]}}`)
	s.until("p", "open", is(v1.PodReady, v1.ConditionTrue))
	if err := s.client.CoreV1().Pods("shop").Delete(context.Background(), "p", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	s.wait("forgotten", func() (bool, string) { return s.k.run(pod.UID) == nil, "it is known" })
}
