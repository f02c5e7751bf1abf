package node

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
)

// defaultTag is what an image name without a tag means.
const defaultTag = "latest"

// program is what an image runs: the words before a container's own arguments, and the variables it sets.
type program struct {
	entrypoint []string
	env        map[string]string
}

// errPull says that an image is none of those known here.
type errPull struct{ image string }

func (e errPull) Error() string {
	return fmt.Sprintf("image %q is not known to the sandbox (it has demo, pause and sh with any tag)", e.image)
}

// pull finds the program of an image; self is the path of this binary.
func pull(image, self string) (program, error) {
	name, tag, ok := strings.Cut(image, ":")
	if !ok {
		tag = defaultTag
	}
	if tag == "" || strings.ContainsAny(tag, ":/@") {
		return program{}, errPull{image}
	}
	switch name {
	case "demo":
		return program{[]string{self, "demo-app"}, map[string]string{"VERSION": tag}}, nil
	case "pause":
		// Not this binary: thousands of pause pods must stay cheap.
		return program{[]string{"sleep", "infinity"}, nil}, nil
	case "sh":
		return program{[]string{"/bin/sh"}, nil}, nil
	}
	return program{}, errPull{image}
}

// argv is the command line of a container: command replaces the image's entrypoint, args follow.
func (p program) argv(command, args []string) []string {
	argv := p.entrypoint
	if len(command) > 0 {
		argv = command
	}
	return append(append([]string{}, argv...), args...)
}

// find is the file that a command name means within a search path, as execvp looks it up.
func find(name, path string) (string, error) {
	if strings.Contains(name, "/") {
		return exec.LookPath(name)
	}
	for _, dir := range filepath.SplitList(path) {
		if file, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return file, nil
		}
	}
	return "", fmt.Errorf("exec: %q: executable file not found in $PATH", name)
}
