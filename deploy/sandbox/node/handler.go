package node

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"syscall"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"sandbox/address"
	"sandbox/lifeline"
)

// client follows no redirects and keeps no connections, so that each probe is a fresh one. Certificates do not matter to probes.
var client = &http.Client{
	Transport:     &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

var (
	errNoCommand = errors.New("exec without a command")
	errCut       = errors.New("it was cut short")
)

// handle runs a lifecycle hook. As in a kubelet, any answer to an HTTP request will do.
func (i *instance) handle(ctx context.Context, hook *v1.LifecycleHandler) error {
	switch {
	case hook.Exec != nil:
		return i.exec(ctx, hook.Exec)
	case hook.HTTPGet != nil:
		_, err := i.get(ctx, hook.HTTPGet)
		return err
	case hook.Sleep != nil:
		if !pause(ctx, i.c.pod.k.seconds(hook.Sleep.Seconds)) {
			return errCut
		}
		return nil
	}
	return errors.New("this kind of hook is not supported in the sandbox")
}

// exec runs a command beside the container's program, in its environment.
func (i *instance) exec(ctx context.Context, action *v1.ExecAction) error {
	if len(action.Command) == 0 {
		return errNoCommand
	}
	file, err := find(action.Command[0], i.env["PATH"])
	if err != nil {
		return err
	}
	process, err := lifeline.Start(lifeline.Command{Path: file, Args: action.Command, Env: pairs(i.env), Dir: i.env["HOME"]})
	if err != nil {
		return err
	}
	over := context.AfterFunc(ctx, func() { process.Signal(syscall.SIGKILL) })
	defer over()
	code, err := process.Wait()
	switch {
	case err != nil:
		return err
	case ctx.Err() != nil:
		return errCut
	case code != 0:
		return fmt.Errorf("command ended with %d", code)
	}
	return nil
}

// get sends a request to the container and returns the status of the answer.
func (i *instance) get(ctx context.Context, get *v1.HTTPGetAction) (int, error) {
	port, err := i.port(get.Port)
	if err != nil {
		return 0, err
	}
	host, err := i.host(get.Host)
	if err != nil {
		return 0, err
	}
	scheme := "http"
	if get.Scheme == v1.URISchemeHTTPS {
		scheme = "https"
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("%s://%s:%d/", scheme, host, port), nil)
	if err != nil {
		return 0, err
	}
	path, err := request.URL.Parse(get.Path)
	if err != nil {
		return 0, err
	}
	request.URL.Path, request.URL.RawQuery = path.Path, path.RawQuery
	for _, h := range get.HTTPHeaders {
		if http.CanonicalHeaderKey(h.Name) == "Host" {
			request.Host = h.Value
		}
		request.Header.Add(h.Name, h.Value)
	}
	answer, err := client.Do(request)
	if err != nil {
		return 0, err
	}
	return answer.StatusCode, answer.Body.Close()
}

// dial opens a connection to the container.
func (i *instance) dial(ctx context.Context, socket *v1.TCPSocketAction) error {
	port, err := i.port(socket.Port)
	if err != nil {
		return err
	}
	host, err := i.host(socket.Host)
	if err != nil {
		return err
	}
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", fmt.Sprintf("%s:%d", host, port))
	if err != nil {
		return err
	}
	return conn.Close()
}

// host is where a handler's host really is: without one the pod itself; never one off loopback.
func (i *instance) host(name string) (string, error) {
	if name == "" {
		return i.c.pod.listen, nil
	}
	if pod, err := address.Listen(name); err == nil {
		return pod, nil
	}
	if a, err := netip.ParseAddr(name); name == "localhost" || err == nil && a.Is4() && a.IsLoopback() {
		return name, nil
	}
	return "", fmt.Errorf("host %q is neither a pod of the sandbox nor loopback", name)
}

// port resolves a handler's port, which may be the name of one of the container's.
func (i *instance) port(p intstr.IntOrString) (int, error) {
	if p.Type == intstr.Int {
		return p.IntValue(), nil
	}
	for _, declared := range i.c.spec.Ports {
		if declared.Name == p.StrVal {
			return int(declared.ContainerPort), nil
		}
	}
	if n := p.IntValue(); n > 0 {
		return n, nil
	}
	return 0, fmt.Errorf("port %q is not a port of container %s", p.StrVal, i.c.spec.Name)
}
