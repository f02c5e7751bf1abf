package cluster

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"sandbox/lifeline"
)

// The components' subcommands of this binary, which are also the names of their log files.
const (
	etcd      = "etcd"
	apiserver = "kube-apiserver"
	manager   = "kube-controller-manager"
	scheduler = "kube-scheduler"
)

// controllers is the light set that runs: workloads, endpoints, service accounts, garbage. No node life cycle: the
// process kubelet's nodes are ready or the sandbox is down.
var controllers = []string{
	"namespace-controller", "serviceaccount-controller", "serviceaccount-token-controller", "root-ca-certificate-publisher-controller",
	"endpoints-controller", "endpointslice-controller", "replicaset-controller", "deployment-controller", "statefulset-controller",
	"job-controller", "cronjob-controller", "ttl-after-finished-controller", "garbage-collector-controller", "pod-garbage-collector-controller",
	"disruption-controller", "horizontal-pod-autoscaler-controller", "clusterrole-aggregation-controller",
}

// etcdArgs: no fsync, for the data is wiped at the next start anyway.
func (c *Cluster) etcdArgs() []string {
	client, peer := "http://"+local(c.ports.etcd), "http://"+local(c.ports.peer)
	return []string{
		"--name=" + c.name, "--data-dir=" + c.file("etcd"), "--unsafe-no-fsync", "--log-level=warn",
		"--listen-client-urls=" + client, "--advertise-client-urls=" + client, "--listen-peer-urls=" + peer,
		"--initial-advertise-peer-urls=" + peer, "--initial-cluster=" + c.name + "=" + peer,
		"--quota-backend-bytes=4294967296", "--max-request-bytes=10485760",
	}
}

// apiserverArgs: ServiceAccount admission would mount tokens that no process can see; TaintNodesByCondition would keep
// pods off nodes until a controller that does not run here removes the taint.
func (c *Cluster) apiserverArgs() []string {
	args := []string{
		"--etcd-servers=http://" + local(c.ports.etcd), "--bind-address=127.0.0.1", "--advertise-address=127.0.0.1",
		fmt.Sprintf("--secure-port=%d", c.ports.apiserver), "--cert-dir=" + c.pki.dir,
		"--tls-cert-file=" + c.pki.path("apiserver.crt"), "--tls-private-key-file=" + c.pki.path("apiserver.key"),
		"--token-auth-file=" + c.pki.path("tokens.csv"), "--authorization-mode=RBAC",
		"--disable-admission-plugins=ServiceAccount,TaintNodesByCondition", "--endpoint-reconciler-type=none",
		"--service-account-issuer=https://kubernetes.default.svc", "--service-account-key-file=" + c.pki.path("sa.pub"),
		"--service-account-signing-key-file=" + c.pki.path("sa.key"), "--service-cluster-ip-range=10.96.0.0/16", "--allow-privileged=true",
		"--requestheader-client-ca-file=" + c.pki.path("ca.crt"), "--requestheader-allowed-names=aggregator",
		"--requestheader-username-headers=X-Remote-User", "--requestheader-group-headers=X-Remote-Group",
		"--requestheader-extra-headers-prefix=X-Remote-Extra-", "--proxy-client-cert-file=" + c.pki.path("aggregator.crt"),
		"--proxy-client-key-file=" + c.pki.path("aggregator.key"), "--profiling=false",
	}
	if c.options.AuditPolicy == "" {
		return args
	}
	// A request is answered only after its line is in the file: nothing is missing from it, and it needs no end.
	return append(args, "--audit-policy-file="+c.options.AuditPolicy, "--audit-log-path="+c.file("audit.log"), "--audit-log-mode=blocking")
}

// managerArgs: an autoscaler looks every second and believes a pod as soon as it is ready, where it would otherwise take
// minutes.
func (c *Cluster) managerArgs() []string {
	return []string{
		"--kubeconfig=" + c.pki.path(manager+".kubeconfig"), "--controllers=" + strings.Join(controllers, ","), "--leader-elect=false",
		"--secure-port=0", "--service-account-private-key-file=" + c.pki.path("sa.key"), "--root-ca-file=" + c.pki.path("ca.crt"),
		fmt.Sprintf("--kube-api-qps=%g", c.options.QPS), fmt.Sprintf("--kube-api-burst=%d", c.options.burst()),
		"--concurrent-replicaset-syncs=20", "--concurrent-gc-syncs=20", "--horizontal-pod-autoscaler-sync-period=1s",
		"--horizontal-pod-autoscaler-cpu-initialization-period=1s", "--horizontal-pod-autoscaler-initial-readiness-delay=1s",
		"--profiling=false",
	}
}

func (c *Cluster) schedulerArgs() []string {
	return []string{
		"--kubeconfig=" + c.pki.path(scheduler+".kubeconfig"), "--leader-elect=false", "--secure-port=0",
		fmt.Sprintf("--kube-api-qps=%g", c.options.QPS), fmt.Sprintf("--kube-api-burst=%d", c.options.burst()),
		"--profiling=false",
	}
}

// startTries is how often a component is begun before the cluster is up: controllers and scheduler end when the API server is
// not healthy within ten seconds, for which a busy machine may need longer. A kubelet would start them again, too.
const startTries = 4

// start runs one component; its unexpected end is the end of the sandbox.
func (c *Cluster) start(ctx context.Context, name string, args []string) error {
	log, err := os.OpenFile(filepath.Join(c.dir, "log", name+".log"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("%s of %s: %w", name, c.name, err)
	}
	process, err := c.launch(name, args, log)
	if err != nil {
		log.Close()
		return err
	}
	gone := make(chan struct{})
	c.gone = append(c.gone, gone)
	go func() {
		defer close(gone)
		defer log.Close()
		for tries := 1; ; tries++ {
			stop := context.AfterFunc(ctx, func() { process.Signal(syscall.SIGKILL) }) // nothing of it is kept
			code, err := process.Wait()
			stop()
			if ctx.Err() != nil {
				return
			}
			ended := fmt.Errorf("%s of %s ended with code %d (%v): %s: see %s", name, c.name, code, err, lastLine(log.Name()), log.Name())
			if tries == startTries || c.up.Load() {
				c.fail(ended)
				return
			}
			if process, err = c.launch(name, args, log); err != nil {
				c.fail(err)
				return
			}
		}
	}()
	return nil
}

func (c *Cluster) launch(name string, args []string, log *os.File) (*lifeline.Process, error) {
	process, err := lifeline.Start(lifeline.Command{
		Path: c.self, Args: append([]string{c.self, name}, args...), Dir: c.dir, Output: log,
		Env: []string{"PATH=" + os.Getenv("PATH"), "HOME=" + c.dir, "TMPDIR=" + c.file("tmp"), lifeline.Mark + "=" + c.id},
	})
	if err != nil {
		return nil, fmt.Errorf("%s of %s: %w", name, c.name, err)
	}
	return process, nil
}

// lastLine is what a log ends with: the log itself is gone with its folder when somebody reads of it.
func lastLine(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return lines[len(lines)-1]
}
