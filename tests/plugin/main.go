// Command kubectl-argo-rollouts is the published kubectl plugin of Argo Rollouts, built from its Go module so that the
// end-to-end tests drive the agent with what its users have. In: the plugin's arguments. Out: its output and exit code.
// Nothing of it is changed here.
package main

import (
	"os"

	"github.com/argoproj/argo-rollouts/pkg/kubectl-argo-rollouts/cmd"
	"github.com/argoproj/argo-rollouts/pkg/kubectl-argo-rollouts/options"
	"k8s.io/cli-runtime/pkg/genericiooptions"
)

func main() {
	streams := genericiooptions.IOStreams{In: os.Stdin, Out: os.Stdout, ErrOut: os.Stderr}
	if cmd.NewCmdArgoRollouts(options.NewArgoRolloutsOptions(streams)).Execute() != nil {
		os.Exit(1)
	}
}
