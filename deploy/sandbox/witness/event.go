package witness

import (
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// hashLabel tells which pod template an object was made from.
const hashLabel = "rollouts-pod-template-hash"

// Event is one line: the facts of an object that the tests count by. Numbers that an object does not have are 0.
type Event struct {
	Time              string   `json:"time"`
	Cluster           string   `json:"cluster"`
	Event             string   `json:"event"`
	Kind              string   `json:"kind"`
	Namespace         string   `json:"namespace"`
	Name              string   `json:"name"`
	UID               string   `json:"uid"`
	ResourceVersion   string   `json:"resourceVersion"`
	Generation        int64    `json:"generation"`
	Hash              string   `json:"hash"`
	SpecReplicas      int64    `json:"specReplicas"`
	StatusReplicas    int64    `json:"statusReplicas"`
	ReadyReplicas     int64    `json:"readyReplicas"`
	AvailableReplicas int64    `json:"availableReplicas"`
	Phase             string   `json:"phase"`
	Message           string   `json:"message"`
	Images            []string `json:"images"`
	Deleting          bool     `json:"deleting"`
}

// describe takes the facts out of an object. A Rollout's hash is the one its status names as current.
func describe(now time.Time, cluster, event string, o *unstructured.Unstructured) Event {
	spec := []string{"spec", "template", "spec"}
	if o.GetKind() == "Pod" {
		spec = []string{"spec"}
	}
	hash := o.GetLabels()[hashLabel]
	if o.GetKind() == "Rollout" {
		hash = text(o, "status", "currentPodHash")
	}
	return Event{
		Time: now.UTC().Format(time.RFC3339Nano), Cluster: cluster, Event: event,
		Kind: o.GetKind(), Namespace: o.GetNamespace(), Name: o.GetName(), UID: string(o.GetUID()),
		ResourceVersion: o.GetResourceVersion(), Generation: o.GetGeneration(), Hash: hash,
		SpecReplicas: number(o, "spec", "replicas"), StatusReplicas: number(o, "status", "replicas"),
		ReadyReplicas: number(o, "status", "readyReplicas"), AvailableReplicas: number(o, "status", "availableReplicas"),
		Phase: text(o, "status", "phase"), Message: text(o, "status", "message"),
		Images: images(o, append(spec, "containers")), Deleting: o.GetDeletionTimestamp() != nil,
	}
}

func number(o *unstructured.Unstructured, path ...string) int64 {
	n, _, _ := unstructured.NestedInt64(o.Object, path...)
	return n
}

func text(o *unstructured.Unstructured, path ...string) string {
	s, _, _ := unstructured.NestedString(o.Object, path...)
	return s
}

func images(o *unstructured.Unstructured, path []string) []string {
	containers, _, _ := unstructured.NestedSlice(o.Object, path...)
	out := []string{}
	for _, c := range containers {
		if m, ok := c.(map[string]any); ok {
			if image, ok := m["image"].(string); ok {
				out = append(out, image)
			}
		}
	}
	return out
}
