package journal

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func TestLines(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.ndjson")
	j, err := Open(path, "c1")
	if err != nil {
		t.Fatal(err)
	}
	j.Write(Event{Event: Started, Namespace: "shop", Pod: "p", Hash: "abc", Pid: 7})
	j.Write(Event{Event: Exited, ExitCode: 3})
	j.Close()
	data, _ := os.ReadFile(path)
	lines := strings.Split(strings.TrimSpace(string(data)), "\n")
	if len(lines) != 2 {
		t.Fatalf("%d lines", len(lines))
	}
	var first map[string]any
	if err := json.Unmarshal([]byte(lines[0]), &first); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]any{"cluster": "c1", "event": "started", "pod": "p", "hash": "abc", "pid": 7.0, "exitCode": 0.0} {
		if first[key] != want {
			t.Errorf("%s is %v, want %v", key, first[key], want)
		}
	}
}

func TestTargetsFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "targets.json")
	done := make(chan struct{})
	defer close(done)
	targets, err := OpenTargets(path, "c1", done)
	if err != nil {
		t.Fatal(err)
	}
	targets.Set("u1", Target{Address: "127.244.1.2:8080", Namespace: "shop", Pod: "p", Labels: map[string]string{
		"rollouts-pod-template-hash": "abc", "app.kubernetes.io/name": "x", "9a": "y", "pod": "not this",
	}})
	if err := targets.write(); err != nil {
		t.Fatal(err)
	}
	data, _ := os.ReadFile(path)
	var got []group
	if err := json.Unmarshal(data, &got); err != nil {
		t.Fatal(err)
	}
	want := []group{{[]string{"127.244.1.2:8080"}, map[string]string{
		"cluster": "c1", "namespace": "shop", "pod": "p", "rollouts_pod_template_hash": "abc", "app_kubernetes_io_name": "x", "_9a": "y",
	}}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	targets.Remove("u1")
	if err := targets.write(); err != nil {
		t.Fatal(err)
	}
	if data, _ := os.ReadFile(path); strings.TrimSpace(string(data)) != "[]" {
		t.Errorf("after the removal: %s", data)
	}
}
