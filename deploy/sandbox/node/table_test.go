package node

import (
	"context"
	"reflect"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

type objects map[string]map[string]string

func (o objects) get(kind, name string) (map[string]string, error) {
	if data, ok := o[kind+"/"+name]; ok {
		return data, nil
	}
	return nil, errors.NewNotFound(schema.GroupResource{Resource: kind}, name)
}

func (o objects) configMap(_ context.Context, _, name string) (map[string]string, error) {
	return o.get("configmaps", name)
}

func (o objects) secret(_ context.Context, _, name string) (map[string]string, error) {
	return o.get("secrets", name)
}

func TestEnvironment(t *testing.T) {
	yes := true
	ref := func(path string) *v1.EnvVarSource {
		return &v1.EnvVarSource{FieldRef: &v1.ObjectFieldSelector{FieldPath: path}}
	}
	cm := func(name, key string, optional *bool) *v1.EnvVarSource {
		return &v1.EnvVarSource{ConfigMapKeyRef: &v1.ConfigMapKeySelector{LocalObjectReference: v1.LocalObjectReference{Name: name}, Key: key, Optional: optional}}
	}
	secret := func(name, key string, optional *bool) *v1.EnvVarSource {
		return &v1.EnvVarSource{SecretKeyRef: &v1.SecretKeySelector{LocalObjectReference: v1.LocalObjectReference{Name: name}, Key: key, Optional: optional}}
	}
	src := objects{"configmaps/conf": {"a": "1", "b": "2"}, "secrets/keys": {"t": "s3"}}
	pod := &v1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "p", Namespace: "shop", UID: "u-1", Labels: map[string]string{"rollouts-pod-template-hash": "abc", "x/y": "z"}, Annotations: map[string]string{"note": "n"}},
		Spec:       v1.PodSpec{NodeName: "c1-node-1", ServiceAccountName: "sa"},
	}
	image := map[string]string{"VERSION": "v1"}
	for _, c := range []struct {
		name string
		env  []v1.EnvVar
		from []v1.EnvFromSource
		want map[string]string // nil: an error
	}{
		{name: "image default", want: map[string]string{"VERSION": "v1"}},
		{name: "override", env: []v1.EnvVar{{Name: "VERSION", Value: "v9"}}, want: map[string]string{"VERSION": "v9"}},
		{name: "expansion", env: []v1.EnvVar{{Name: "A", Value: "x"}, {Name: "B", Value: "$(A)-$(NO)-$$(A)-$(VERSION)$"}},
			want: map[string]string{"VERSION": "v1", "A": "x", "B": "x-$(NO)-$(A)-v1$"}},
		{name: "fields", env: []v1.EnvVar{
			{Name: "N", ValueFrom: ref("metadata.name")}, {Name: "NS", ValueFrom: ref("metadata.namespace")}, {Name: "U", ValueFrom: ref("metadata.uid")},
			{Name: "H", ValueFrom: ref("metadata.labels['rollouts-pod-template-hash']")}, {Name: "L", ValueFrom: ref("metadata.labels['x/y']")},
			{Name: "A", ValueFrom: ref("metadata.annotations['note']")}, {Name: "NONE", ValueFrom: ref("metadata.labels['no']")},
			{Name: "IP", ValueFrom: ref("status.podIP")}, {Name: "HOST", ValueFrom: ref("status.hostIP")}, {Name: "NODE", ValueFrom: ref("spec.nodeName")},
			{Name: "SA", ValueFrom: ref("spec.serviceAccountName")}},
			want: map[string]string{"VERSION": "v1", "N": "p", "NS": "shop", "U": "u-1", "H": "abc", "L": "z", "A": "n", "NONE": "",
				"IP": "10.244.1.2", "HOST": "10.244.1.1", "NODE": "c1-node-1", "SA": "sa"}},
		{name: "bad field", env: []v1.EnvVar{{Name: "N", ValueFrom: ref("spec.nowhere")}}},
		{name: "keys", env: []v1.EnvVar{{Name: "A", ValueFrom: cm("conf", "a", nil)}, {Name: "T", ValueFrom: secret("keys", "t", nil)}},
			want: map[string]string{"VERSION": "v1", "A": "1", "T": "s3"}},
		{name: "missing config map", env: []v1.EnvVar{{Name: "A", ValueFrom: cm("none", "a", nil)}}},
		{name: "missing key", env: []v1.EnvVar{{Name: "A", ValueFrom: cm("conf", "none", nil)}}},
		{name: "missing secret", env: []v1.EnvVar{{Name: "A", ValueFrom: secret("none", "a", nil)}}},
		{name: "optional", env: []v1.EnvVar{{Name: "A", ValueFrom: cm("none", "a", &yes)}, {Name: "B", ValueFrom: cm("conf", "none", &yes)}, {Name: "C", ValueFrom: secret("none", "c", &yes)}},
			want: map[string]string{"VERSION": "v1"}},
		{name: "env from", from: []v1.EnvFromSource{
			{Prefix: "P_", ConfigMapRef: &v1.ConfigMapEnvSource{LocalObjectReference: v1.LocalObjectReference{Name: "conf"}}},
			{SecretRef: &v1.SecretEnvSource{LocalObjectReference: v1.LocalObjectReference{Name: "keys"}}},
			{ConfigMapRef: &v1.ConfigMapEnvSource{LocalObjectReference: v1.LocalObjectReference{Name: "none"}, Optional: &yes}}},
			env:  []v1.EnvVar{{Name: "P_a", Value: "own"}},
			want: map[string]string{"VERSION": "v1", "P_a": "own", "P_b": "2", "t": "s3"}},
		{name: "env from missing", from: []v1.EnvFromSource{{SecretRef: &v1.SecretEnvSource{LocalObjectReference: v1.LocalObjectReference{Name: "none"}}}}},
	} {
		got, err := environment(context.Background(), src, pod, &v1.Container{Env: c.env, EnvFrom: c.from}, image, "10.244.1.2", "10.244.1.1")
		if !reflect.DeepEqual(got, c.want) || (err != nil) != (c.want == nil) {
			t.Errorf("%s: %v, %v; want %v", c.name, got, err, c.want)
		}
	}
}

func TestBackoff(t *testing.T) {
	const s = time.Second
	b := backoff{base: 10 * s}
	for i, want := range []time.Duration{0, 10 * s, 20 * s, 40 * s, 80 * s, 160 * s, 300 * s, 300 * s} {
		if got := b.restart(s); got != want {
			t.Errorf("restart %d waits %v, want %v", i, got, want)
		}
	}
	if got := b.restart(11 * time.Minute); got != 0 {
		t.Errorf("after a long run the wait is %v", got)
	}
	p := backoff{base: s}
	for i, want := range []time.Duration{s, 2 * s, 4 * s, 8 * s, 16 * s, 30 * s, 30 * s} {
		if got := p.pull(); got != want {
			t.Errorf("pull %d waits %v, want %v", i, got, want)
		}
	}
}

func TestImages(t *testing.T) {
	for _, c := range []struct {
		image   string
		command []string
		args    []string
		want    []string // nil: cannot be pulled
	}{
		{"demo:v1", nil, nil, []string{"/self", "demo-app"}},
		{"demo", nil, []string{"-x"}, []string{"/self", "demo-app", "-x"}},
		{"demo:v1", []string{"false"}, nil, []string{"false"}},
		{"pause:3", nil, nil, []string{"sleep", "infinity"}},
		{"sh:1", []string{"/bin/sh", "-c"}, []string{"exit 3"}, []string{"/bin/sh", "-c", "exit 3"}},
		{"sh:1", nil, []string{"-c", "true"}, []string{"/bin/sh", "-c", "true"}},
		{"nginx:1", nil, nil, nil},
		{"registry.example.com/demo:v1", nil, nil, nil},
		{"demo:", nil, nil, nil},
		{"", nil, nil, nil},
	} {
		p, err := pull(c.image, "/self")
		if (err != nil) != (c.want == nil) {
			t.Errorf("pull(%q): %v", c.image, err)
			continue
		}
		if got := p.argv(c.command, c.args); err == nil && !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %v, want %v", c.image, got, c.want)
		}
	}
	if p, _ := pull("demo:v7", "/self"); p.env["VERSION"] != "v7" {
		t.Errorf("demo:v7 has version %q", p.env["VERSION"])
	}
}
