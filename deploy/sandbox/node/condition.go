package node

import (
	"fmt"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// judge computes the conditions that belong to the kubelet, keeping the time of the last change of each.
func (r *podRun) judge(phase v1.PodPhase, unready, uninit []string) []v1.PodCondition {
	set := func(kind v1.PodConditionType, ok bool, reason, message string) v1.PodCondition {
		c := v1.PodCondition{Type: kind, Status: v1.ConditionTrue, ObservedGeneration: r.pod.Generation, Reason: reason, Message: message}
		if !ok {
			c.Status = v1.ConditionFalse
		} else if phase != v1.PodSucceeded {
			c.Reason, c.Message = "", ""
		}
		if old, known := r.conditions[kind]; known && old.Status == c.Status {
			c.LastTransitionTime = old.LastTransitionTime
		} else {
			c.LastTransitionTime = metav1.Now()
		}
		r.conditions[kind] = c
		return c
	}
	reason, message := "ContainersNotReady", "containers with unready status: ["+strings.Join(unready, " ")+"]"
	switch phase {
	case v1.PodSucceeded:
		reason, message = "PodCompleted", ""
	case v1.PodFailed:
		reason, message = "PodFailed", ""
	}
	all := len(unready) == 0 && phase == v1.PodRunning
	gates := closedGates(r.pod)
	containers := set(v1.ContainersReady, all, reason, message)
	if all && len(gates) > 0 {
		reason, message = "ReadinessGatesNotReady", strings.Join(gates, ", ")
	}
	return []v1.PodCondition{
		set(v1.PodReadyToStartContainers, true, "", ""),
		set(v1.PodInitialized, len(uninit) == 0, "ContainersNotInitialized", "containers with incomplete status: ["+strings.Join(uninit, " ")+"]"),
		containers,
		set(v1.PodReady, all && len(gates) == 0, reason, message),
	}
}

// closedGates says of each readiness gate of the pod that nobody has opened why it is closed.
func closedGates(pod *v1.Pod) []string {
	var closed []string
	for _, gate := range pod.Spec.ReadinessGates {
		said := slices.IndexFunc(pod.Status.Conditions, func(c v1.PodCondition) bool { return c.Type == gate.ConditionType })
		if said < 0 {
			closed = append(closed, fmt.Sprintf("corresponding condition of pod readiness gate %q does not exist.", gate.ConditionType))
		} else if status := pod.Status.Conditions[said].Status; status != v1.ConditionTrue {
			closed = append(closed, fmt.Sprintf("the status of pod readiness gate %q is not \"True\", but %s", gate.ConditionType, status))
		}
	}
	return closed
}
