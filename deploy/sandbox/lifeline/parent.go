// Package lifeline ties processes to the one that must outlive them.
// In: the parent of this process, commands to start. Out: a signal when this process should end, children that the
// kernel kills with it, and the removal of whatever carries a mark. Touches only processes with the given mark.
package lifeline

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// parentPoll is how often the parent is looked at. A parent-death signal for this process itself would be wrong: it
// fires when the *thread* that started us ends, and test harnesses start processes from short-lived threads.
const parentPoll = 200 * time.Millisecond

// Context ends on SIGINT, SIGTERM or SIGHUP and when the parent process is gone. A process that starts without a
// parent (pid 1) has only the signals.
func Context() (context.Context, context.CancelFunc) {
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	parent := os.Getppid()
	if parent == 1 {
		return ctx, cancel
	}
	go func() {
		tick := time.NewTicker(parentPoll)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				if os.Getppid() != parent {
					cancel()
					return
				}
			}
		}
	}()
	return ctx, cancel
}
