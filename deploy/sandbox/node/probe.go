package node

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	v1 "k8s.io/api/core/v1"
)

// The API server fills in the periods and thresholds of a probe; these are for what it leaves at zero.
const (
	defaultPeriod           = 10
	defaultTimeout          = 1
	defaultSuccessThreshold = 1
	defaultFailureThreshold = 3
)

// eager is the period of network readiness probes until the first success: a process that is up after 100 ms need not
// wait out a whole period. Failures before the first success change nothing.
const eager = 100 * time.Millisecond

// probe follows the container's health while it is wanted: the startup probe first, then the two others side by side.
func (i *instance) probe() {
	spec := i.c.spec
	if i.c.init {
		return
	}
	if spec.StartupProbe != nil && !i.starts(spec.StartupProbe) {
		return
	}
	if !i.now(func(c *container) { c.started = true }) {
		return
	}
	if spec.LivenessProbe != nil {
		go i.watchLiveness(spec.LivenessProbe)
	}
	if spec.ReadinessProbe == nil {
		i.setReady(true)
		return
	}
	i.watchReadiness(spec.ReadinessProbe)
}

// starts is true once the startup probe has succeeded; one that fails has the container ended.
func (i *instance) starts(p *v1.Probe) bool {
	through := false
	i.watch(p, false, func(good bool) bool {
		through = good
		if !good {
			i.unhealthy("startup", p)
		}
		return false
	})
	return through
}

func (i *instance) watchLiveness(p *v1.Probe) {
	i.watch(p, false, func(good bool) bool {
		if !good {
			i.unhealthy("liveness", p)
		}
		return good
	})
}

func (i *instance) watchReadiness(p *v1.Probe) {
	i.watch(p, p.Exec == nil, func(good bool) bool {
		i.setReady(good)
		return true
	})
}

// unhealthy has the container ended, with the grace of the probe if that names one.
func (i *instance) unhealthy(kind string, p *v1.Probe) {
	i.c.pod.k.warn("%s failed its %s probe", i.c.place(), kind)
	grace := i.c.pod.grace()
	if p.TerminationGracePeriodSeconds != nil {
		grace = i.c.pod.k.seconds(*p.TerminationGracePeriodSeconds)
	}
	i.condemn(sentence{grace: grace, unhealthy: true})
}

// watch probes while the container is wanted and tells each result that a threshold confirms, until that wants no more.
func (i *instance) watch(p *v1.Probe, hasty bool, heed func(good bool) bool) {
	k := i.c.pod.k
	if !pause(i.wanted, k.seconds(int64(p.InitialDelaySeconds))-time.Since(i.began.Time)) {
		return
	}
	period := k.seconds(int64(or(p.PeriodSeconds, defaultPeriod)))
	var count tally
	for {
		err := i.check(i.wanted, p)
		if i.wanted.Err() != nil {
			return
		}
		if good, sure := count.add(err == nil, p); sure && !heed(good) {
			return
		}
		wait := period
		if hasty && !count.once {
			wait = min(wait, eager)
		}
		if !pause(i.wanted, wait) {
			return
		}
	}
}

// tally counts probe results in a row.
type tally struct {
	good, bad int32
	once      bool // there was a success
}

// add takes one result; sure is true when its threshold has been reached.
func (t *tally) add(ok bool, p *v1.Probe) (good, sure bool) {
	if ok {
		t.good, t.bad, t.once = t.good+1, 0, true
		return true, t.good >= or(p.SuccessThreshold, defaultSuccessThreshold)
	}
	t.good, t.bad = 0, t.bad+1
	return false, t.bad >= or(p.FailureThreshold, defaultFailureThreshold)
}

// check does one probe.
func (i *instance) check(ctx context.Context, p *v1.Probe) error {
	ctx, cancel := context.WithTimeout(ctx, i.c.pod.k.seconds(int64(or(p.TimeoutSeconds, defaultTimeout))))
	defer cancel()
	switch {
	case p.HTTPGet != nil:
		status, err := i.get(ctx, p.HTTPGet)
		if err == nil && (status < http.StatusOK || status >= http.StatusBadRequest) {
			err = fmt.Errorf("status %d", status)
		}
		return err
	case p.TCPSocket != nil:
		return i.dial(ctx, p.TCPSocket)
	case p.Exec != nil:
		return i.exec(ctx, p.Exec)
	}
	return errors.New("this kind of probe is not supported in the sandbox")
}

// or is n unless that is not set.
func or(n, otherwise int32) int32 {
	if n > 0 {
		return n
	}
	return otherwise
}
