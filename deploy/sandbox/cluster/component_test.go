package cluster

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// begun is a cluster whose components are shell scripts, and what it fails by.
func begun(t *testing.T) (*Cluster, <-chan error) {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"log", "tmp"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	failed := make(chan error, 1)
	fail := func(err error) { failed <- err }
	return &Cluster{name: "one", dir: dir, id: "component-test", self: "/bin/sh", fail: fail}, failed
}

// tries is how often a script was run that notes it.
func tries(c *Cluster) int {
	text, _ := os.ReadFile(c.file("tries"))
	return strings.Count(string(text), "\n")
}

func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	for limit := time.Now().Add(time.Minute); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatalf("%s does not come to pass", what)
		}
	}
}

func TestStartedAgainUntilTheClusterIsUp(t *testing.T) {
	const note = "echo >> tries; "
	for _, test := range []struct {
		name, script string
		up           bool
		tries        int
		says         string
	}{
		{"too early twice", note + "[ $(wc -l < tries) -ge 3 ] && exec sleep 60; echo not healthy; exit 1", false, 3, ""},
		{"never healthy", note + "echo not healthy; exit 1", false, startTries, "ended with code 1 (<nil>): not healthy: see "},
		{"in a cluster that is up", note + "echo at work; echo lost it; exit 3", true, 1, "ended with code 3 (<nil>): lost it: see "},
	} {
		t.Run(test.name, func(t *testing.T) {
			c, failed := begun(t)
			c.up.Store(test.up)
			ctx, end := context.WithCancel(context.Background())
			if err := c.start(ctx, "-c", []string{test.script}); err != nil {
				t.Fatal(err)
			}
			until(t, "the last try", func() bool { return tries(c) == test.tries })
			if test.says != "" {
				select {
				case err := <-failed:
					if !strings.Contains(err.Error(), test.says) {
						t.Errorf("it says %q", err)
					}
				case <-time.After(time.Minute):
					t.Error("nobody is told")
				}
			}
			end()
			<-c.gone[0]
			if len(failed) > 0 || tries(c) != test.tries {
				t.Errorf("%v after %d tries", failed, tries(c))
			}
		})
	}
}
