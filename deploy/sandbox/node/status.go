package node

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/strategicpatch"

	"sandbox/journal"
)

// gather is how long the status writer waits for more changes of the same moment: most pods go from nothing to
// running in one write.
const gather = 10 * time.Millisecond

// touch asks for a status write.
func (r *podRun) touch() {
	select {
	case r.dirty <- struct{}{}:
	default:
	}
}

// report writes the status whenever it differs from what was last written.
func (r *podRun) report() {
	defer close(r.quiet)
	for {
		select {
		case <-r.life.Done():
			return
		case <-r.dirty:
		}
		if !pause(r.life, gather) {
			return
		}
		err := r.patch(r.status())
		if err == nil || r.life.Err() != nil || errors.IsNotFound(err) || errors.IsConflict(err) {
			continue // written, or the pod is gone, or another one has its name: the watch will say so
		}
		r.k.warn("status of pod %s/%s: %v", r.namespace, r.name, err)
		pause(r.life, retryPause)
		r.touch()
	}
}

// patch sends the difference to the status written last as a strategic merge, which leaves the conditions of others
// alone. The uid makes the API server refuse it for a later pod of the same name. Not for two goroutines at once.
func (r *podRun) patch(status v1.PodStatus) error {
	before, err := json.Marshal(v1.Pod{Status: r.written})
	if err != nil {
		return fmt.Errorf("encode status: %w", err)
	}
	after, err := json.Marshal(v1.Pod{Status: status})
	if err != nil {
		return fmt.Errorf("encode status: %w", err)
	}
	if bytes.Equal(before, after) {
		return nil
	}
	after, err = json.Marshal(v1.Pod{ObjectMeta: metav1.ObjectMeta{UID: r.uid}, Status: status})
	if err != nil {
		return fmt.Errorf("encode status: %w", err)
	}
	body, err := strategicpatch.CreateTwoWayMergePatch(before, after, v1.Pod{})
	if err != nil {
		return fmt.Errorf("compare status: %w", err)
	}
	_, err = r.k.Client.CoreV1().Pods(r.namespace).Patch(r.k.ctx, r.name, types.StrategicMergePatchType, body, metav1.PatchOptions{}, "status")
	if err == nil {
		r.written = status
	}
	return err
}

// status is the pod's status as of now.
func (r *podRun) status() v1.PodStatus {
	r.mu.Lock()
	defer r.mu.Unlock()
	host := r.k.hostIP()
	s := v1.PodStatus{
		ObservedGeneration: r.pod.Generation, Phase: r.phase(), StartTime: &r.start,
		HostIP: host, HostIPs: []v1.HostIP{{IP: host}}, PodIP: r.ip, PodIPs: []v1.PodIP{{IP: r.ip}}, QOSClass: r.pod.Status.QOSClass,
	}
	var unready, uninit []string
	for i, c := range r.containers {
		if i < r.inits {
			s.InitContainerStatuses = append(s.InitContainerStatuses, c.status())
			if t := c.state.Terminated; t == nil || t.ExitCode != 0 {
				uninit = append(uninit, c.spec.Name)
			}
			continue
		}
		s.ContainerStatuses = append(s.ContainerStatuses, c.status())
		if !c.ready {
			unready = append(unready, c.spec.Name)
		}
	}
	s.Conditions = r.judge(s.Phase, unready, uninit)
	return s
}

// phase follows the kubelet's rule: a container that never ran keeps the pod Pending; one that will be restarted keeps it Running.
func (r *podRun) phase() v1.PodPhase {
	failed := false
	for i, c := range r.containers {
		switch t := c.state.Terminated; {
		case i < r.inits && (t == nil || t.ExitCode != 0):
			if r.ended {
				return v1.PodFailed
			}
			return v1.PodPending
		case i >= r.inits && c.state.Waiting != nil && c.last.Terminated == nil:
			return v1.PodPending
		case t != nil && t.ExitCode != 0:
			failed = true
		}
	}
	switch {
	case !r.ended:
		return v1.PodRunning
	case failed:
		return v1.PodFailed
	}
	return v1.PodSucceeded
}

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
	gates := r.closedGates()
	containers := set(v1.ContainersReady, all, reason, message)
	if all && len(gates) > 0 {
		reason, message = "ReadinessGatesNotReady", "corresponding condition of pod readiness gate is not true: ["+strings.Join(gates, " ")+"]"
	}
	return []v1.PodCondition{
		set(v1.PodReadyToStartContainers, true, "", ""),
		set(v1.PodInitialized, len(uninit) == 0, "ContainersNotInitialized", "containers with incomplete status: ["+strings.Join(uninit, " ")+"]"),
		containers,
		set(v1.PodReady, all && len(gates) == 0, reason, message),
	}
}

// closedGates are the pod's readiness gates that nobody has opened yet.
func (r *podRun) closedGates() []string {
	var closed []string
	for _, gate := range r.pod.Spec.ReadinessGates {
		open := false
		for _, c := range r.pod.Status.Conditions {
			open = open || c.Type == gate.ConditionType && c.Status == v1.ConditionTrue
		}
		if !open {
			closed = append(closed, string(gate.ConditionType))
		}
	}
	return closed
}

// list puts the pod on Prometheus' list when all its containers are ready and takes it off when not.
func (r *podRun) list() {
	r.listing.Lock() // the last look is the last word
	defer r.listing.Unlock()
	r.mu.Lock()
	pod := r.pod
	ready := r.life.Err() == nil
	for _, c := range r.containers[r.inits:] {
		ready = ready && c.ready
	}
	r.mu.Unlock()
	port := metricsPort(&pod.Spec)
	if !ready || port == 0 {
		r.k.Targets.Remove(string(pod.UID))
		return
	}
	r.k.Targets.Set(string(pod.UID), journal.Target{
		Address: fmt.Sprintf("%s:%d", r.listen, port), Namespace: pod.Namespace, Pod: pod.Name, Labels: pod.Labels,
	})
}

// metricsPort is the port named http, else the first one, else 0.
func metricsPort(spec *v1.PodSpec) int32 {
	first := int32(0)
	for _, c := range spec.Containers {
		for _, p := range c.Ports {
			if p.Name == "http" {
				return p.ContainerPort
			}
			if first == 0 {
				first = p.ContainerPort
			}
		}
	}
	return first
}
