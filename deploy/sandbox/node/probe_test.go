package node

import (
	"net"
	"os"
	"slices"
	"testing"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

func TestTally(t *testing.T) {
	for _, c := range []struct {
		name              string
		failures, success int32
		results, want     string // + - of each probe; + - . of what is told
	}{
		{"single", 1, 1, "-+-", "-+-"},
		{"defaults", 0, 0, "--+---", "..+..-"},
		{"failures in a row", 3, 1, "+--+---+", "+..+..-+"},
		{"successes in a row", 1, 2, "+-++-+", ".-.+-."},
		{"goes on telling", 2, 2, "----++++", ".---.+++"},
	} {
		var count tally
		got := ""
		for _, r := range c.results {
			good, sure := count.add(r == '+', &v1.Probe{FailureThreshold: c.failures, SuccessThreshold: c.success})
			switch {
			case !sure:
				got += "."
			case good:
				got += "+"
			default:
				got += "-"
			}
		}
		if got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

func TestReadinessFollowsItsThresholds(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	// ready at the 4th, unready at the 8th, ready at the 12th; with lower thresholds it would change more often.
	d := newDoctor(t, 200, 500, 200, 200, 500, 200, 500, 500, 200, 500, 200, 200)
	pod := idle("p")
	pod.Spec.Containers[0].ReadinessProbe = d.probe(func(p *v1.Probe) { p.FailureThreshold, p.SuccessThreshold = 2, 2 })
	s.run(pod)
	s.until("p", "asked more often than there are answers", func(*v1.Pod) bool { return len(d.times()) > 14 })
	if got, want := s.events(), []string{"started", "ready", "unready", "ready"}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	pod = s.until("p", "ready", is(v1.PodReady, v1.ConditionTrue))
	if c := first(pod); !c.Ready || c.RestartCount != 0 || !*c.Started {
		t.Errorf("%+v", c)
	}
}

func TestAProbeKeepsItsTimes(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	d := newDoctor(t, 200)
	pod := idle("p")
	pod.Spec.Containers[0].LivenessProbe = d.probe(func(p *v1.Probe) { p.InitialDelaySeconds, p.PeriodSeconds = 5, 3 })
	s.run(pod)
	s.until("p", "asked thrice", func(*v1.Pod) bool { return len(d.times()) >= 3 })
	times := d.times()
	if wait := times[0].Sub(s.at("started", 1)); wait < 4*tick {
		t.Errorf("first asked after %v", wait)
	}
	// A late request and a prompt one are closer together than their period.
	if span := times[2].Sub(times[0]); span < 4*tick {
		t.Errorf("three times in %v", span)
	}
}

func TestStartupHoldsTheOthersBack(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	startup, liveness, readiness := newDoctor(t, 500), newDoctor(t, 200), newDoctor(t, 200)
	pod := idle("p")
	c := &pod.Spec.Containers[0]
	c.StartupProbe = startup.probe(func(p *v1.Probe) { p.FailureThreshold = 100_000 })
	c.LivenessProbe, c.ReadinessProbe = liveness.probe(nil), readiness.probe(nil)
	s.run(pod)
	before := s.until("p", "running, startup asked", func(p *v1.Pod) bool { return running(p) && len(startup.times()) > 3 })
	if c := first(before); *c.Started || c.Ready || len(liveness.times()) > 0 || len(readiness.times()) > 0 {
		t.Errorf("before its startup: %+v", c)
	}
	startup.say(200)
	after := s.until("p", "ready", is(v1.PodReady, v1.ConditionTrue))
	if c := first(after); !*c.Started || c.RestartCount != 0 {
		t.Errorf("after its startup: %+v", c)
	}
	asked := len(startup.times())
	s.until("p", "liveness and readiness asked", func(*v1.Pod) bool { return len(liveness.times()) > 2 && len(readiness.times()) > 2 })
	if now := len(startup.times()); now != asked {
		t.Errorf("startup asked %d times more", now-asked)
	}
}

func TestAFailedStartupRestarts(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	startup, liveness := newDoctor(t, 500, 500, 200), newDoctor(t, 200)
	pod := idle("p")
	pod.Spec.Containers[0].StartupProbe = startup.probe(func(p *v1.Probe) { p.FailureThreshold = 2 })
	pod.Spec.Containers[0].LivenessProbe = liveness.probe(nil)
	s.run(pod)
	pod = s.until("p", "started at the second try", func(p *v1.Pod) bool { return first(p).Started != nil && *first(p).Started })
	if c := first(pod); c.RestartCount != 1 || c.LastTerminationState.Terminated.ExitCode != 143 {
		t.Errorf("%+v", c)
	}
	if asked := liveness.times(); len(asked) > 0 && asked[0].Before(startup.times()[2]) {
		t.Error("liveness was asked before the startup was through")
	}
}

func TestLiveness(t *testing.T) {
	for _, c := range []struct {
		name, script string
		policy       v1.RestartPolicy
		phase        v1.PodPhase
		restarts     int32
		code         int32
	}{
		{"always", polite, v1.RestartPolicyAlways, v1.PodRunning, 1, 0},
		{"on failure, though it ends well", polite, v1.RestartPolicyOnFailure, v1.PodRunning, 1, 0},
		{"never", deaf, v1.RestartPolicyNever, v1.PodFailed, 0, 137},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			d := newDoctor(t, 200)
			grace := int64(1)
			pod := shell("p", c.script)
			pod.Spec.RestartPolicy, pod.Spec.TerminationGracePeriodSeconds = c.policy, &grace
			pod.Spec.Containers[0].LivenessProbe = d.probe(func(p *v1.Probe) { p.FailureThreshold = 2 })
			s.run(pod)
			s.up("p")
			d.say(500, 200, 500, 500, 200)
			pod = s.until("p", string(c.phase), func(p *v1.Pod) bool {
				return p.Status.Phase == c.phase && first(p).RestartCount == c.restarts && (running(p) || c.phase == v1.PodFailed)
			})
			end := first(pod).LastTerminationState.Terminated
			if c.phase == v1.PodFailed {
				end = first(pod).State.Terminated
			}
			if end == nil || end.ExitCode != c.code || len(d.times()) < 4 {
				t.Errorf("ended as %+v after %d probes", end, len(d.times()))
			}
		})
	}
}

func TestAnUnansweredProbeFails(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	d := newDoctor(t, 0)
	pod := idle("p")
	pod.Spec.Containers[0].LivenessProbe = d.probe(func(p *v1.Probe) { p.TimeoutSeconds = 2 })
	s.run(pod)
	s.until("p", "restarted", func(p *v1.Pod) bool { return first(p).RestartCount > 0 })
	if wait := s.at("exited", 1).Sub(d.times()[0]); wait < tick {
		t.Errorf("given up after %v", wait)
	}
}

func TestTheProbesOwnGrace(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	d := newDoctor(t, 200)
	grace, long := int64(1), int64(100_000)
	pod := shell("p", deaf)
	pod.Spec.TerminationGracePeriodSeconds = &long
	pod.Spec.Containers[0].LivenessProbe = d.probe(func(p *v1.Probe) { p.TerminationGracePeriodSeconds = &grace })
	s.run(pod)
	s.up("p")
	d.say(500, 200)
	pod = s.until("p", "restarted", func(p *v1.Pod) bool { return first(p).RestartCount == 1 && running(p) })
	if code := first(pod).LastTerminationState.Terminated.ExitCode; code != 137 {
		t.Errorf("ended with %d", code)
	}
}

func TestProbesByCommandAndSocket(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	pod := idle("p")
	pod.Spec.Containers = append(pod.Spec.Containers, *pod.Spec.Containers[0].DeepCopy())
	pod.Spec.Containers[1].Name = "socket"
	pod.Spec.Containers[0].ReadinessProbe = &v1.Probe{
		ProbeHandler:  v1.ProbeHandler{Exec: &v1.ExecAction{Command: []string{"test", "-f", s.home("p", "ok")}}},
		PeriodSeconds: 1, TimeoutSeconds: 100, FailureThreshold: 1,
	}
	pod.Spec.Containers[1].ReadinessProbe = &v1.Probe{
		ProbeHandler:  v1.ProbeHandler{TCPSocket: &v1.TCPSocketAction{Host: "127.0.0.1", Port: intstr.FromInt(listener.Addr().(*net.TCPAddr).Port)}},
		PeriodSeconds: 1, TimeoutSeconds: 100, FailureThreshold: 1,
	}
	s.run(pod)
	ready := func(one, other bool) func(*v1.Pod) bool {
		return func(p *v1.Pod) bool {
			all := p.Status.ContainerStatuses
			return len(all) == 2 && all[0].Ready == one && all[1].Ready == other
		}
	}
	s.until("p", "only the socket", ready(false, true))
	touch(t, s.home("p", "ok"))
	s.until("p", "both", ready(true, true))
	_ = listener.Close()
	s.until("p", "only the file", ready(true, false))
	if err := os.Remove(s.home("p", "ok")); err != nil {
		t.Fatal(err)
	}
	s.until("p", "none", ready(false, false))
}

func TestNoProbeLeavesLoopback(t *testing.T) {
	i := &instance{c: &container{pod: &podRun{listen: "127.244.9.2"}}}
	for _, c := range []struct{ name, want string }{
		{"", "127.244.9.2"}, {"10.244.9.7", "127.244.9.7"}, {"127.0.0.1", "127.0.0.1"}, {"localhost", "localhost"},
		{"10.245.0.1", ""}, {"192.0.2.1", ""}, {"example.com", ""}, {"::1", ""},
	} {
		got, err := i.host(c.name)
		if got != c.want || (err != nil) != (c.want == "") {
			t.Errorf("host(%q) = %q, %v", c.name, got, err)
		}
	}
}
