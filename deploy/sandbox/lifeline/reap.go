package lifeline

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

const (
	// sweepPause is the time between two looks at /proc while something is still dying.
	sweepPause = 20 * time.Millisecond
	// sweepLimit ends a sweep that cannot succeed (a process in uninterruptible sleep).
	sweepLimit = 30 * time.Second
)

// Reap is the body of `sandbox reap`: it waits for the end of its standard input, a pipe whose other end only the
// watched process holds, and then removes every process with the mark.
func Reap(id string) error {
	signal.Ignore(syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	_, _ = io.Copy(io.Discard, os.Stdin)
	return Sweep(id)
}

// Sweep kills every process marked with id until none is left.
func Sweep(id string) error {
	if id == "" {
		return fmt.Errorf("sweep needs the mark of a sandbox")
	}
	limit := time.Now().Add(sweepLimit)
	for {
		left := Marked(id)
		if len(left) == 0 {
			return nil
		}
		for _, pid := range left {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		if time.Now().After(limit) {
			return fmt.Errorf("sandbox %s: processes %v do not die", id, left)
		}
		time.Sleep(sweepPause)
	}
}

// Marked lists the processes that carry the mark, this one excepted.
func Marked(id string) []int {
	want := []byte(Mark + "=" + id)
	files, _ := filepath.Glob("/proc/[0-9]*/environ")
	var pids []int
	for _, f := range files {
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(f)))
		if err != nil || pid == os.Getpid() {
			continue
		}
		environ, err := os.ReadFile(f)
		if err != nil {
			continue // not ours, or gone
		}
		for _, variable := range bytes.Split(environ, []byte{0}) {
			if bytes.Equal(variable, want) {
				pids = append(pids, pid)
				break
			}
		}
	}
	return pids
}
