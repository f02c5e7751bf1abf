// Package gitops stands for a GitOps controller: what a branch of a local Git repository says is applied to clusters.
// In: commits. Out: server-side apply of the manifests in them. It deletes nothing and writes nothing to the repository.
package gitops

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"path"
	"strings"
)

// repository reads a Git repository through its command, without a checkout.
type repository struct{ dir string }

// openRepository finds the repository of a folder, bare or not.
func openRepository(ctx context.Context, folder string) (repository, error) {
	out, err := git(ctx, "-C", folder, "rev-parse", "--absolute-git-dir")
	if err != nil {
		return repository{}, err
	}
	return repository{strings.TrimSpace(string(out))}, nil
}

// git runs the command; the owner of a test's repository is often someone else, which does not matter for reading.
func git(ctx context.Context, args ...string) ([]byte, error) {
	command := exec.CommandContext(ctx, "git", append([]string{"-c", "safe.directory=*"}, args...)...)
	var stderr bytes.Buffer
	command.Stderr = &stderr
	out, err := command.Output()
	if err != nil {
		return nil, fmt.Errorf("git %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(stderr.String()))
	}
	return out, nil
}

// head is the commit that a branch names.
func (r repository) head(ctx context.Context, branch string) (string, error) {
	out, err := git(ctx, "--git-dir", r.dir, "rev-parse", "--verify", "--quiet", "refs/heads/"+branch+"^{commit}")
	return strings.TrimSpace(string(out)), err
}

// file is one manifest file of a commit.
type file struct {
	name string
	text []byte
}

// manifests are the YAML files below a folder at one commit, in the order of their paths.
func (r repository) manifests(ctx context.Context, commit, folder string) ([]file, error) {
	args := []string{"--git-dir", r.dir, "ls-tree", "-r", "-z", "--name-only", "--full-tree", commit}
	if folder = path.Clean(folder); folder != "." && folder != "/" {
		args = append(args, "--", strings.Trim(folder, "/")+"/")
	}
	out, err := git(ctx, args...)
	if err != nil {
		return nil, err
	}
	var files []file
	for _, name := range strings.Split(strings.Trim(string(out), "\x00"), "\x00") {
		if ext := path.Ext(name); ext != ".yaml" && ext != ".yml" {
			continue
		}
		text, err := git(ctx, "--git-dir", r.dir, "cat-file", "blob", commit+":"+name)
		if err != nil {
			return nil, err
		}
		files = append(files, file{name, text})
	}
	return files, nil
}
