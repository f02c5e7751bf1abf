// Package controlplane runs the four programs of a Kubernetes control plane inside this binary.
// In: the name of a component and the flags of the original program. Out: the component's exit code. Each runs in a
// process of its own: they share global flags and metrics registries and cannot live together in one.
package controlplane

import (
	"os"

	"go.etcd.io/etcd/server/v3/etcdmain"
	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/logs/json/register"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	manager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
)

// The components' subcommands, which are also the names of their log files.
const (
	Etcd      = "etcd"
	APIServer = "kube-apiserver"
	Manager   = "kube-controller-manager"
	Scheduler = "kube-scheduler"
)

// Run is the body of one component's process; ok is false when name is none of them.
func Run(name string, args []string) (code int, ok bool) {
	os.Args = append([]string{name}, args...)
	switch name {
	case Etcd:
		etcdmain.Main(os.Args)
		return 0, true
	case APIServer:
		return cli.Run(apiserver.NewAPIServerCommand()), true
	case Manager:
		return cli.Run(manager.NewControllerManagerCommand()), true
	case Scheduler:
		return cli.Run(scheduler.NewSchedulerCommand()), true
	}
	return 0, false
}
