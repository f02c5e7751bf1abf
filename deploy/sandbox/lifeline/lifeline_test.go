package lifeline

import (
	"fmt"
	"os"
	"slices"
	"syscall"
	"testing"
)

func shell(t *testing.T, id, script string, out *os.File) *Process {
	t.Helper()
	p, err := Start(Command{Path: "/bin/sh", Args: []string{"sh", "-c", script}, Env: []string{"PATH=" + os.Getenv("PATH"), Mark + "=" + id}, Dir: "/", Output: out})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestExitCodes(t *testing.T) {
	for script, want := range map[string]int{"exit 0": 0, "exit 7": 7, "kill -9 $$": 137, "kill -15 $$": 143} {
		if got, err := shell(t, "t", script, nil).Wait(); err != nil || got != want {
			t.Errorf("%s: %d, %v; want %d", script, got, err, want)
		}
	}
	if _, err := Start(Command{Path: "/nonexistent", Args: []string{"x"}, Dir: "/"}); err == nil {
		t.Error("a program that does not exist was started")
	}
}

// A process that left its group is found by the mark.
func TestSweep(t *testing.T) {
	id := fmt.Sprintf("test-%d", os.Getpid())
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	p := shell(t, id, "setsid sleep 1000 & echo started; sleep 1000", w)
	_ = w.Close()
	if _, err := r.Read(make([]byte, 64)); err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(Marked(id), p.Pid) {
		t.Fatalf("process %d is not among %v", p.Pid, Marked(id))
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if code, err := p.Wait(); err != nil || code != 128+int(syscall.SIGKILL) {
			t.Errorf("swept process: %d, %v", code, err)
		}
	}()
	if err := Sweep(id); err != nil {
		t.Fatal(err)
	}
	<-done
	if left := Marked(id); len(left) > 0 {
		t.Errorf("left over: %v", left)
	}
	p.Signal(syscall.SIGKILL) // after the end: nothing happens
	if err := Sweep(""); err == nil {
		t.Error("a sweep without a mark was done")
	}
}
