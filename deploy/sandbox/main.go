// Command sandbox runs real Kubernetes clusters on one machine, for demos, tests and benchmarks.
// In: a subcommand and its flags. Out: its exit code. Every program of the sandbox is a subcommand, so that one binary
// is enough.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"

	"sandbox/cluster"
	"sandbox/controlplane"
	"sandbox/gitops"
	"sandbox/lifeline"
	"sandbox/traffic"
	"sandbox/witness"
)

const help = `sandbox runs real Kubernetes clusters on this machine, with pods as local processes.

It is a tool for demos, tests and benchmarks and is never installed anywhere.
There is no DNS and no ClusterIP: reach Services through the cluster's gateway by the
header Host: <service>.<namespace>. Everything listens on loopback only, and no traffic
leaves it: a pod that reports 10.244.N.y listens on 127.244.N.y (BIND_ADDRESS). Images are
demo:<tag>, pause:<tag> and sh:<tag>; any other image fails to pull. Pods have no volumes,
no isolation from this machine and no kubectl logs or exec: their output is in
<dir>/<cluster>/pods. Hooks, probes (but gRPC), readiness gates, deadlines and back-off are
a kubelet's; there are no sidecar init containers and no Events of the kubelet. What pods
use is not measured: the data of a ConfigMap named sandbox-usage (cpu: 800m, memory: 1Gi)
says what the ready pods of its namespace use together, for autoscalers. Nothing is written
outside --dir, and nothing outlives the sandbox.

  sandbox up --dir D [--clusters N | --names a,b] [--nodes 1] [--backoff-base 10s]
             [--kube-api-qps 1000] [--instant-pods] [--audit-policy FILE]
      runs clusters until Ctrl-C; prints a kubeconfig for each, then "ready"; instant pods
      are Running and Ready at once, whatever their image, and never end by themselves:
      they have no process, so that thousands of them cost little
  sandbox load --gateway ADDR --host checkout.shop --rate 50 --cluster NAME --out FILE
      sends requests at a steady rate and writes one line for each answer
  sandbox applier --repo PATH --branch main --cluster NAME=KUBECONFIG=PATH_IN_REPO ...
      applies each commit of a local Git repository to all clusters at once
  sandbox witness --kubeconfig F --cluster NAME --out FILE
      writes one line for each event of Rollouts, ReplicaSets and Pods
  sandbox demo-app
      the HTTP service that the demo image runs
`

func main() {
	if len(os.Args) < 2 {
		fmt.Fprint(os.Stderr, help)
		os.Exit(2)
	}
	name, args := os.Args[1], os.Args[2:]
	if code, ok := controlplane.Run(name, args); ok {
		os.Exit(code)
	}
	if err := run(name, args); err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintf(os.Stderr, "sandbox %s: %v\n", name, err)
			os.Exit(1)
		}
	}
}

func run(name string, args []string) error {
	switch name {
	case "up":
		return cluster.Up(args)
	case "demo-app":
		return traffic.DemoApp()
	case "load":
		return traffic.Load(args)
	case "applier":
		return gitops.Applier(args)
	case "witness":
		return witness.Witness(args)
	case "reap":
		if len(args) != 1 {
			return errors.New("it wants the mark of a sandbox")
		}
		return lifeline.Reap(args[0])
	case "help", "--help", "-h":
		fmt.Print(help)
		return nil
	}
	return errors.New("no such subcommand: see sandbox --help")
}
