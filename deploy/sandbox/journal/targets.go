package journal

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"sort"
	"strings"
	"sync"
	"time"
)

// targetsPause gathers the changes of a burst into one write of the file.
const targetsPause = 50 * time.Millisecond

// Target is one ready pod for Prometheus' file_sd.
type Target struct {
	Address, Namespace, Pod string
	Labels                  map[string]string
}

// Targets keeps the file_sd list of one cluster.
type Targets struct {
	mu      sync.Mutex
	cluster string
	path    string
	pods    map[string]Target
	dirty   chan struct{}
}

type group struct {
	Targets []string          `json:"targets"`
	Labels  map[string]string `json:"labels"`
}

// OpenTargets writes an empty list and keeps the file current until done is closed.
func OpenTargets(path, cluster string, done <-chan struct{}) (*Targets, error) {
	t := &Targets{cluster: cluster, path: path, pods: map[string]Target{}, dirty: make(chan struct{}, 1)}
	if err := t.write(); err != nil {
		return nil, err
	}
	go t.run(done)
	return t, nil
}

// Set lists a pod, or changes how it is listed.
func (t *Targets) Set(uid string, target Target) {
	t.mu.Lock()
	old, known := t.pods[uid]
	t.pods[uid] = target
	t.mu.Unlock()
	if !known || old.Address != target.Address || !maps.Equal(old.Labels, target.Labels) {
		t.touch()
	}
}

// Remove takes a pod off the list.
func (t *Targets) Remove(uid string) {
	t.mu.Lock()
	_, known := t.pods[uid]
	delete(t.pods, uid)
	t.mu.Unlock()
	if known {
		t.touch()
	}
}

func (t *Targets) touch() {
	select {
	case t.dirty <- struct{}{}:
	default:
	}
}

func (t *Targets) run(done <-chan struct{}) {
	for {
		select {
		case <-done:
			return
		case <-t.dirty:
			time.Sleep(targetsPause)
			if err := t.write(); err != nil {
				fmt.Fprintf(os.Stderr, "sandbox: %v\n", err)
			}
		}
	}
}

// write replaces the file in one step, so that Prometheus never reads half a list.
func (t *Targets) write() error {
	t.mu.Lock()
	groups := make([]group, 0, len(t.pods))
	for _, p := range t.pods {
		groups = append(groups, group{[]string{p.Address}, labels(t.cluster, p)})
	}
	t.mu.Unlock()
	sort.Slice(groups, func(a, b int) bool { return groups[a].Targets[0] < groups[b].Targets[0] })
	data, err := json.MarshalIndent(groups, "", " ")
	if err != nil {
		return fmt.Errorf("targets: %w", err)
	}
	temporary := t.path + ".new"
	if err := os.WriteFile(temporary, append(data, '\n'), 0o644); err != nil {
		return fmt.Errorf("targets: %w", err)
	}
	if err := os.Rename(temporary, t.path); err != nil {
		return fmt.Errorf("targets: %w", err)
	}
	return nil
}

func labels(cluster string, p Target) map[string]string {
	out := map[string]string{}
	for k, v := range p.Labels {
		out[labelName(k)] = v
	}
	out["cluster"], out["namespace"], out["pod"] = cluster, p.Namespace, p.Pod
	return out
}

// labelName makes a Prometheus label name: every other character is an underscore.
func labelName(s string) string {
	name := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '_':
			return r
		}
		return '_'
	}, s)
	if name != "" && name[0] >= '0' && name[0] <= '9' {
		return "_" + name
	}
	return name
}
