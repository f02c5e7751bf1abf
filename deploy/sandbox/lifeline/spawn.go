package lifeline

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Mark is the environment variable that every process of one sandbox carries.
const Mark = "SANDBOX_ID"

// Command is a process to start, always as the leader of its own process group.
type Command struct {
	Path   string
	Args   []string // Args[0] is the program's name
	Env    []string
	Dir    string
	Output *os.File // standard output and error; nil is /dev/null
	Stdin  *os.File // nil is /dev/null
	// Survives leaves the child alive when this process dies, in a session of its own: for the reaper only.
	Survives bool
}

// Process is a started command. It must be waited for exactly once.
type Process struct {
	Pid   int
	pidfd *os.File
	mu    sync.Mutex
	gone  bool
}

type request struct {
	command Command
	reply   chan result
}

type result struct {
	process *Process
	err     error
}

var (
	spawnOnce sync.Once
	requests  chan request
)

// Start runs a command. All starts go through one OS thread that never ends: the kernel sends the parent-death signal
// when the thread that forked is gone, not the process.
func Start(c Command) (*Process, error) {
	spawnOnce.Do(func() {
		requests = make(chan request)
		go func() {
			runtime.LockOSThread()
			for r := range requests {
				p, err := fork(r.command)
				r.reply <- result{p, err}
			}
		}()
	})
	reply := make(chan result, 1)
	requests <- request{c, reply}
	r := <-reply
	return r.process, r.err
}

func fork(c Command) (*Process, error) {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", c.Path, err)
	}
	defer null.Close()
	in, out := null, null
	if c.Stdin != nil {
		in = c.Stdin
	}
	if c.Output != nil {
		out = c.Output
	}
	pidfd := -1
	sys := &syscall.SysProcAttr{PidFD: &pidfd}
	if c.Survives {
		sys.Setsid = true
	} else {
		sys.Setpgid = true
		sys.Pdeathsig = syscall.SIGKILL
	}
	pid, _, err := syscall.StartProcess(c.Path, c.Args, &syscall.ProcAttr{
		Dir: c.Dir, Env: c.Env, Files: []uintptr{in.Fd(), out.Fd(), out.Fd()}, Sys: sys,
	})
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", c.Path, err)
	}
	if pidfd < 0 {
		_ = syscall.Kill(-pid, syscall.SIGKILL)
		return nil, errors.New("this kernel has no pidfd (Linux 5.4 or newer is needed)")
	}
	// Non-blocking, so that waiting parks a goroutine in the poller and not one thread for each process.
	if err := unix.SetNonblock(pidfd, true); err != nil {
		_ = syscall.Kill(-pid, syscall.SIGKILL)
		return nil, fmt.Errorf("start %s: %w", c.Path, err)
	}
	return &Process{Pid: pid, pidfd: os.NewFile(uintptr(pidfd), "pidfd")}, nil
}

// Wait blocks until the process has ended, then kills what is left of its group (a container ends with its first
// process) and returns the exit code; death by signal is 128 plus the signal, as shells and kubelets report it.
func (p *Process) Wait() (int, error) {
	conn, err := p.pidfd.SyscallConn()
	if err != nil {
		return 0, fmt.Errorf("wait for process %d: %w", p.Pid, err)
	}
	if err := conn.Read(ended); err != nil {
		return 0, fmt.Errorf("wait for process %d: %w", p.Pid, err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.gone = true // before reaping: afterwards the number may belong to someone else
	_ = syscall.Kill(-p.Pid, syscall.SIGKILL)
	var status syscall.WaitStatus
	for {
		_, err = syscall.Wait4(p.Pid, &status, 0, nil)
		if err != syscall.EINTR {
			break
		}
	}
	_ = p.pidfd.Close()
	if err != nil {
		return 0, fmt.Errorf("reap process %d: %w", p.Pid, err)
	}
	if status.Signaled() {
		return 128 + int(status.Signal()), nil
	}
	return status.ExitStatus(), nil
}

// ended is true when the process behind the descriptor has ended.
func ended(fd uintptr) bool {
	set := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	n, err := unix.Poll(set, 0)
	return err == nil && n > 0
}

// Signal sends a signal to the whole process group; it does nothing once the process has been reaped.
func (p *Process) Signal(s syscall.Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.gone {
		_ = syscall.Kill(-p.Pid, s)
	}
}

// WaitAll blocks until every channel is closed or the time is over.
func WaitAll(limit time.Duration, done ...<-chan struct{}) bool {
	over := time.After(limit)
	for _, d := range done {
		select {
		case <-d:
		case <-over:
			return false
		}
	}
	return true
}
