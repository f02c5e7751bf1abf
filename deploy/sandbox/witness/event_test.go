package witness

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic/fake"
)

func object(text string) *unstructured.Unstructured {
	o := &unstructured.Unstructured{}
	if err := o.UnmarshalJSON([]byte(text)); err != nil {
		panic(err)
	}
	return o
}

func TestDescribe(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"rollout", `{"apiVersion":"argoproj.io/v1alpha1","kind":"Rollout","metadata":{"name":"r","namespace":"s","uid":"u","resourceVersion":"9","generation":3},
			"spec":{"replicas":5,"template":{"spec":{"containers":[{"image":"demo:v2"}]}}},"status":{"replicas":6,"readyReplicas":5,"availableReplicas":4,"phase":"Paused","message":"m","currentPodHash":"abc"}}`,
			`{"time":"1970-01-01T00:00:00Z","cluster":"c1","event":"MODIFIED","kind":"Rollout","namespace":"s","name":"r","uid":"u","resourceVersion":"9","generation":3,"hash":"abc","specReplicas":5,"statusReplicas":6,"readyReplicas":5,"availableReplicas":4,"phase":"Paused","message":"m","images":["demo:v2"],"deleting":false}`},
		{"pod", `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p","namespace":"s","uid":"u","resourceVersion":"9","labels":{"rollouts-pod-template-hash":"h"},"deletionTimestamp":"2026-01-01T00:00:00Z"},
			"spec":{"containers":[{"image":"a:1"},{"image":"b:2"}]},"status":{"phase":"Running"}}`,
			`{"time":"1970-01-01T00:00:00Z","cluster":"c1","event":"MODIFIED","kind":"Pod","namespace":"s","name":"p","uid":"u","resourceVersion":"9","generation":0,"hash":"h","specReplicas":0,"statusReplicas":0,"readyReplicas":0,"availableReplicas":0,"phase":"Running","message":"","images":["a:1","b:2"],"deleting":true}`},
	} {
		got, _ := json.Marshal(describe(time.Unix(0, 0), "c1", "MODIFIED", object(c.in)))
		if string(got) != c.want {
			t.Errorf("%s:\n%s\nwant\n%s", c.name, got, c.want)
		}
	}
}

// After a gap, the list tells what was missed.
func TestListAfterGap(t *testing.T) {
	pod := func(uid, version string) *unstructured.Unstructured {
		o := object(`{"apiVersion":"v1","kind":"Pod","metadata":{"namespace":"s"}}`)
		o.SetName(uid)
		o.SetUID(types.UID(uid))
		o.SetResourceVersion(version)
		return o
	}
	client := fake.NewSimpleDynamicClient(runtime.NewScheme(), pod("same", "1"), pod("changed", "5"), pod("new", "6"))
	var got []string
	f := &follower{client: client.Resource(kinds[2]), known: map[string]*unstructured.Unstructured{}, write: func(e watch.EventType, o *unstructured.Unstructured) {
		got = append(got, string(e)+" "+o.GetName())
	}}
	for _, o := range []*unstructured.Unstructured{pod("same", "1"), pod("changed", "2"), pod("gone", "3")} {
		f.known[o.GetName()] = o
	}
	if _, err := f.list(context.Background()); err != nil {
		t.Fatal(err)
	}
	want := map[string]bool{"MODIFIED changed": true, "ADDED new": true, "DELETED gone": true}
	if len(got) != len(want) {
		t.Fatalf("events %v", got)
	}
	for _, e := range got {
		if !want[e] {
			t.Errorf("unexpected %s", e)
		}
	}
}
