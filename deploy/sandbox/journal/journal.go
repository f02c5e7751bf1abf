// Package journal is the process kubelet's witness of what ran when.
// In: events of containers. Out: one JSON line each, appended and never rewritten. A line is one write, so that a
// SIGKILL leaves whole lines.
package journal

import (
	"encoding/json"
	"fmt"
	"os"
	"sync"
	"time"
)

// The events of a container.
const (
	Started    = "started"
	Ready      = "ready"
	Unready    = "unready"
	Exited     = "exited"  // by itself
	Stopped    = "stopped" // because the pod was deleted
	PullFailed = "pullFailed"
)

// HashLabel tells which pod template a pod was made from.
const HashLabel = "rollouts-pod-template-hash"

// Event is one line.
type Event struct {
	Time      string `json:"time"`
	Cluster   string `json:"cluster"`
	Event     string `json:"event"`
	Namespace string `json:"namespace"`
	Pod       string `json:"pod"`
	UID       string `json:"uid"`
	Container string `json:"container"`
	Image     string `json:"image"`
	Hash      string `json:"hash"`
	Pid       int    `json:"pid"`
	ExitCode  int    `json:"exitCode"`
}

// Journal is an open journal file.
type Journal struct {
	mu      sync.Mutex
	cluster string
	file    *os.File
}

// Open appends to the file, which it makes if need be.
func Open(path, cluster string) (*Journal, error) {
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	return &Journal{cluster: cluster, file: f}, nil
}

// Write stamps and appends one event. The lock makes the order of lines the order of times.
func (j *Journal) Write(e Event) {
	j.mu.Lock()
	defer j.mu.Unlock()
	e.Cluster = j.cluster
	e.Time = time.Now().UTC().Format(time.RFC3339Nano)
	line, err := json.Marshal(e)
	if err == nil {
		_, err = j.file.Write(append(line, '\n'))
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "sandbox: journal of %s: %v\n", j.cluster, err)
	}
}

// Close closes the file.
func (j *Journal) Close() { _ = j.file.Close() }
