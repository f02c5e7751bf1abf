package node

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
)

// gather is how long the status writer waits for more changes of the same moment: most pods go from nothing to
// running in one write.
const gather = 10 * time.Millisecond

// touch asks for a status write.
func (r *podRun) touch() {
	if r.k.paper != nil {
		r.k.paper.queue.Add(r.uid)
		return
	}
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
		case <-r.settled:
			return
		case <-r.dirty:
		}
		select {
		case <-r.settled:
			return
		case <-time.After(gather):
		}
		err := r.patch(r.status())
		if err == nil || r.force.Err() != nil || errors.IsNotFound(err) || errors.IsConflict(err) {
			continue // written, or the pod is gone, or another one has its name: the watch will say so
		}
		r.k.warn("status of pod %s/%s: %v", r.namespace, r.name, err)
		pause(r.doomed, retryPause)
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
	if r.late {
		s.Reason, s.Message = "DeadlineExceeded", errDeadline.Error()
	}
	s.Conditions = r.judge(s.Phase, unready, uninit)
	return s
}

// phase follows the kubelet's rule: a container that never ran keeps the pod Pending; one that will be restarted keeps it Running.
func (r *podRun) phase() v1.PodPhase {
	if r.late {
		return v1.PodFailed
	}
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
