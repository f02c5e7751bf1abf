package node

import (
	"fmt"

	v1 "k8s.io/api/core/v1"

	"sandbox/journal"
)

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
