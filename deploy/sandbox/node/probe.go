package node

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"syscall"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"sandbox/lifeline"
)

// The API server fills in the periods and thresholds of a probe; these are for what it leaves at zero.
const (
	defaultPeriod  = 10 * time.Second
	defaultTimeout = time.Second
	// eager is the period of network probes until the first success: a process that is up after 100 ms need not wait
	// out a whole period. Failures before the first success change nothing.
	eager = 100 * time.Millisecond
)

// client follows no redirects and keeps no connections, so that each probe is a fresh one. Certificates do not matter to probes.
var client = &http.Client{
	Transport:     &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// watchReadiness sets the container's readiness until the context ends; without a probe it is ready by running.
func (c *container) watchReadiness(running context.Context, instance int) {
	probe := c.spec.ReadinessProbe
	if c.init {
		return
	}
	if probe == nil {
		c.setReady(instance, true)
		return
	}
	if !pause(running, time.Duration(probe.InitialDelaySeconds)*time.Second) {
		return
	}
	period := time.Duration(probe.PeriodSeconds) * time.Second
	if period == 0 {
		period = defaultPeriod
	}
	var verdict verdict
	for {
		err := c.check(running, probe)
		if ready, decided := verdict.count(err == nil, probe); decided {
			c.setReady(instance, ready)
		}
		wait := period
		if !verdict.once && probe.Exec == nil {
			wait = min(wait, eager)
		}
		if !pause(running, wait) {
			return
		}
	}
}

// verdict counts probe results in a row.
type verdict struct {
	good, bad int32
	once      bool // there was a success
}

// count takes one result; decided is true when a threshold has been reached.
func (v *verdict) count(ok bool, p *v1.Probe) (ready, decided bool) {
	if ok {
		v.good, v.bad, v.once = v.good+1, 0, true
		return true, v.good >= max(p.SuccessThreshold, 1)
	}
	v.good, v.bad = 0, v.bad+1
	return false, v.bad >= max(p.FailureThreshold, 1)
}

// check does one probe.
func (c *container) check(ctx context.Context, p *v1.Probe) error {
	timeout := time.Duration(p.TimeoutSeconds) * time.Second
	if timeout == 0 {
		timeout = defaultTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	switch {
	case p.HTTPGet != nil:
		return c.checkHTTP(ctx, p.HTTPGet)
	case p.TCPSocket != nil:
		return c.checkTCP(ctx, p.TCPSocket)
	case p.Exec != nil:
		return c.checkExec(ctx, p.Exec)
	}
	return fmt.Errorf("this kind of probe is not supported in the sandbox")
}

func (c *container) checkHTTP(ctx context.Context, get *v1.HTTPGetAction) error {
	port, err := c.port(get.Port)
	if err != nil {
		return err
	}
	scheme := "http"
	if get.Scheme == v1.URISchemeHTTPS {
		scheme = "https"
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("%s://%s:%d/", scheme, c.pod.listen, port), nil)
	if err != nil {
		return err
	}
	path, err := request.URL.Parse(get.Path)
	if err != nil {
		return err
	}
	request.URL.Path, request.URL.RawQuery = path.Path, path.RawQuery
	for _, h := range get.HTTPHeaders {
		if http.CanonicalHeaderKey(h.Name) == "Host" {
			request.Host = h.Value
		}
		request.Header.Set(h.Name, h.Value)
	}
	answer, err := client.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode < http.StatusOK || answer.StatusCode >= http.StatusBadRequest {
		return fmt.Errorf("probe of %s: status %d", request.URL, answer.StatusCode)
	}
	return nil
}

func (c *container) checkTCP(ctx context.Context, socket *v1.TCPSocketAction) error {
	port, err := c.port(socket.Port)
	if err != nil {
		return err
	}
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", fmt.Sprintf("%s:%d", c.pod.listen, port))
	if err != nil {
		return err
	}
	return conn.Close()
}

func (c *container) checkExec(ctx context.Context, action *v1.ExecAction) error {
	if len(action.Command) == 0 {
		return fmt.Errorf("probe without a command")
	}
	file, err := find(action.Command[0], c.env["PATH"])
	if err != nil {
		return err
	}
	process, err := lifeline.Start(lifeline.Command{Path: file, Args: action.Command, Env: pairs(c.env), Dir: c.env["HOME"]})
	if err != nil {
		return err
	}
	over := context.AfterFunc(ctx, func() { process.Signal(syscall.SIGKILL) })
	defer over()
	code, err := process.Wait()
	if err == nil && code != 0 {
		err = fmt.Errorf("probe command ended with %d", code)
	}
	return err
}

// port resolves a probe's port, which may be the name of one of the container's.
func (c *container) port(p intstr.IntOrString) (int, error) {
	if p.Type == intstr.Int {
		return p.IntValue(), nil
	}
	for _, declared := range c.spec.Ports {
		if declared.Name == p.StrVal {
			return int(declared.ContainerPort), nil
		}
	}
	if n := p.IntValue(); n > 0 {
		return n, nil
	}
	return 0, fmt.Errorf("probe port %q is not a port of container %s", p.StrVal, c.spec.Name)
}
