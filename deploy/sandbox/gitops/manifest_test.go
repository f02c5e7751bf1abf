package gitops

import (
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	objects, err := parse([]file{{"b.yaml", []byte(`
apiVersion: argoproj.io/v1alpha1
kind: Rollout
metadata: {name: checkout}
spec: {strange: {deep: [1, two]}}
---
# only a comment
---
apiVersion: v1
kind: Service
metadata: {name: checkout}
`)}, {"c.yml", []byte(`
apiVersion: v1
kind: List
items:
- {apiVersion: v1, kind: Namespace, metadata: {name: shop}}
- {apiVersion: v1, kind: Pod, metadata: {name: p}}
`)}}, "abc")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, o := range objects {
		got = append(got, o.GetKind())
		if revision := o.GetAnnotations()[revisionAnnotation]; (revision == "abc") != (o.GetKind() == "Rollout") {
			t.Errorf("%s has revision %q", o.GetKind(), revision)
		}
	}
	if want := "Namespace Service Rollout Pod"; strings.Join(got, " ") != want {
		t.Errorf("order %v, want %s", got, want)
	}
	for _, bad := range []string{"kind: Pod\nmetadata: {name: x}", "apiVersion: v1\nkind: Pod", "a: [", "just text"} {
		if _, err := parse([]file{{"bad.yaml", []byte(bad)}}, "abc"); err == nil || !strings.Contains(err.Error(), "bad.yaml") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}
