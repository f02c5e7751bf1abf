package node

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/fake"

	"sandbox/address"
	"sandbox/journal"
)

const (
	// tick is what these tests' pods call a second.
	tick = 100 * time.Millisecond
	// soon is when whatever takes some ticks on an idle machine must have happened.
	soon = 30 * time.Second
	look = 5 * time.Millisecond
)

var blocks atomic.Int32

// site is one kubelet with real processes and an API server in memory.
type site struct {
	t      *testing.T
	k      *Kubelet
	client *fake.Clientset
	dir    string
}

func newSite(t *testing.T, with ...func(*Config)) *site {
	t.Helper()
	s := &site{t: t, client: fake.NewSimpleClientset(), dir: t.TempDir()}
	ctx, cancel := context.WithCancel(context.Background())
	lines, err := journal.Open(s.journal(), "c")
	if err != nil {
		t.Fatal(err)
	}
	targets, err := journal.OpenTargets(filepath.Join(s.dir, "targets.json"), "c", ctx.Done())
	if err != nil {
		t.Fatal(err)
	}
	// Blocks from the top, and a mark of its own: a sandbox beside the tests is not met.
	config := Config{
		Cluster: "c", Node: "n", Block: address.MaxBlock - int(blocks.Add(1)), ID: "groundswell-test-" + strconv.Itoa(os.Getpid()),
		Self: "/nowhere", Dir: filepath.Join(s.dir, "pods"), BackoffBase: 10 * tick, Client: s.client, Journal: lines, Targets: targets,
	}
	if err := os.MkdirAll(config.Dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, f := range with {
		f(&config)
	}
	s.k = New(ctx, config)
	s.k.second = tick
	factory := informers.NewSharedInformerFactory(s.client, 0)
	if _, err := factory.Core().V1().Pods().Informer().AddEventHandler(s.k.Handler()); err != nil {
		t.Fatal(err)
	}
	factory.Start(ctx.Done())
	factory.WaitForCacheSync(ctx.Done())
	t.Cleanup(func() {
		cancel()
		s.k.Stop()
		factory.Shutdown()
		lines.Close()
	})
	return s
}

func (s *site) journal() string { return filepath.Join(s.dir, "journal.ndjson") }

// shell is a pod with one container that runs a script.
func shell(name, script string) *v1.Pod {
	return &v1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "shop", UID: types.UID("uid-" + name)},
		Spec:       v1.PodSpec{Containers: []v1.Container{{Name: "app", Image: "sh:1", Args: []string{"-c", script}}}},
	}
}

const (
	// deaf writes down each SIGTERM and goes on.
	deaf = `trap 'echo term >>said' TERM; echo yes >up; while :; do sleep 0.02; done`
	// polite writes down the SIGTERM and ends well.
	polite = `trap 'echo term >>said; exit 0' TERM; echo yes >up; while :; do sleep 0.02; done`
)

// idle runs until it is told to end; `sleep` alone would be ended by SIGTERM as well.
func idle(name string) *v1.Pod { return shell(name, "exec sleep 1000") }

func (s *site) run(pod *v1.Pod) {
	s.t.Helper()
	pod.Spec.NodeName = s.k.Node
	if _, err := s.client.CoreV1().Pods(pod.Namespace).Create(context.Background(), pod, metav1.CreateOptions{}); err != nil {
		s.t.Fatal(err)
	}
}

// patch changes a pod as someone else than the kubelet does.
func (s *site) patch(name, subresource, body string) {
	s.t.Helper()
	_, err := s.client.CoreV1().Pods("shop").Patch(context.Background(), name, types.StrategicMergePatchType, []byte(body), metav1.PatchOptions{}, subresource)
	if err != nil {
		s.t.Fatal(err)
	}
}

// remove asks for a pod's deletion as the API server notes it.
func (s *site) remove(name string, grace int) {
	s.t.Helper()
	s.patch(name, "", fmt.Sprintf(`{"metadata":{"deletionTimestamp":"2026-01-01T00:00:00Z","deletionGracePeriodSeconds":%d}}`, grace))
}

// until waits for a pod to be as wanted and returns it.
func (s *site) until(name, what string, ok func(*v1.Pod) bool) *v1.Pod {
	s.t.Helper()
	var pod *v1.Pod
	var err error
	s.wait(name+": "+what, func() (bool, string) {
		pod, err = s.client.CoreV1().Pods("shop").Get(context.Background(), name, metav1.GetOptions{})
		if err != nil {
			return false, err.Error()
		}
		status, _ := json.Marshal(pod.Status)
		return ok(pod), string(status)
	})
	return pod
}

func (s *site) gone(name string) {
	s.t.Helper()
	s.wait(name+" is gone", func() (bool, string) {
		_, err := s.client.CoreV1().Pods("shop").Get(context.Background(), name, metav1.GetOptions{})
		return err != nil, "it is there"
	})
}

func (s *site) wait(what string, ok func() (bool, string)) {
	s.t.Helper()
	limit := time.Now().Add(soon)
	for {
		done, seen := ok()
		if done {
			return
		}
		if time.Now().After(limit) {
			s.t.Fatalf("%s: not within %v: %s; journal: %v", what, soon, seen, s.events())
		}
		time.Sleep(look)
	}
}

// lines are the journal's.
func (s *site) lines() []journal.Event {
	s.t.Helper()
	f, err := os.Open(s.journal())
	if err != nil {
		s.t.Fatal(err)
	}
	defer f.Close()
	var out []journal.Event
	for scan := bufio.NewScanner(f); scan.Scan(); {
		var e journal.Event
		if err := json.Unmarshal(scan.Bytes(), &e); err != nil {
			s.t.Fatal(err)
		}
		out = append(out, e)
	}
	return out
}

// events are the journal's, without times.
func (s *site) events() []string {
	var out []string
	for _, e := range s.lines() {
		out = append(out, e.Event)
	}
	return out
}

// at is when the nth event of a kind was written.
func (s *site) at(event string, n int) time.Time {
	s.t.Helper()
	for _, e := range s.lines() {
		if e.Event == event {
			if n--; n == 0 {
				at, err := time.Parse(time.RFC3339Nano, e.Time)
				if err != nil {
					s.t.Fatal(err)
				}
				return at
			}
		}
	}
	s.t.Fatalf("no such %s in %v", event, s.events())
	return time.Time{}
}

// home is a file in the working folder of a pod.
func (s *site) home(pod, file string) string {
	return filepath.Join(s.k.Dir, "work", "shop_"+pod, file)
}

// up waits until a pod's program has said that it is ready for signals.
func (s *site) up(pod string) {
	s.t.Helper()
	s.text(pod, "up", 1)
}

// text waits until a file of a pod has so many lines and returns them.
func (s *site) text(pod, file string, count int) []string {
	s.t.Helper()
	var words []string
	s.wait(fmt.Sprintf("%d lines in %s", count, file), func() (bool, string) {
		data, _ := os.ReadFile(s.home(pod, file))
		words = strings.Fields(string(data))
		return len(words) >= count, string(data)
	})
	return words
}

func touch(t *testing.T, file string) {
	t.Helper()
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
}

// within is for spans that a busy machine makes longer.
func within(t *testing.T, what string, span, from, to time.Duration) {
	t.Helper()
	if span < from || span > to {
		t.Errorf("%s: %v, not within %v and %v", what, span, from, to)
	}
}

func first(pod *v1.Pod) v1.ContainerStatus {
	if len(pod.Status.ContainerStatuses) == 0 {
		return v1.ContainerStatus{}
	}
	return pod.Status.ContainerStatuses[0]
}

func running(pod *v1.Pod) bool { return first(pod).State.Running != nil }

func is(kind v1.PodConditionType, status v1.ConditionStatus) func(*v1.Pod) bool {
	return func(pod *v1.Pod) bool { return condition(pod, kind).Status == status }
}

func condition(pod *v1.Pod, kind v1.PodConditionType) v1.PodCondition {
	i := slices.IndexFunc(pod.Status.Conditions, func(c v1.PodCondition) bool { return c.Type == kind })
	if i < 0 {
		return v1.PodCondition{}
	}
	return pod.Status.Conditions[i]
}

// doctor answers probes: each request with the next of its answers, the last one for ever.
type doctor struct {
	server  *httptest.Server
	mu      sync.Mutex
	answers []int
	asked   []time.Time
}

// newDoctor's answers are statuses; 0 is none before the request is given up.
func newDoctor(t *testing.T, answers ...int) *doctor {
	d := &doctor{answers: answers}
	d.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		d.mu.Lock()
		d.asked = append(d.asked, time.Now())
		answer := d.answers[min(len(d.asked), len(d.answers))-1]
		d.mu.Unlock()
		if answer == 0 {
			<-r.Context().Done()
			return
		}
		w.WriteHeader(answer)
	}))
	t.Cleanup(d.server.Close)
	return d
}

// say makes it begin anew, with these answers.
func (d *doctor) say(answers ...int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.answers, d.asked = answers, nil
}

// times are those of its requests.
func (d *doctor) times() []time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.asked)
}

func (d *doctor) get() *v1.HTTPGetAction {
	host, port, _ := net.SplitHostPort(d.server.Listener.Addr().String())
	return &v1.HTTPGetAction{Host: host, Port: intstr.Parse(port), Path: "/healthz?deep=1"}
}

// probe asks the doctor; a busy machine does not make it time out.
func (d *doctor) probe(change func(*v1.Probe)) *v1.Probe {
	p := &v1.Probe{ProbeHandler: v1.ProbeHandler{HTTPGet: d.get()}, PeriodSeconds: 1, TimeoutSeconds: 100, FailureThreshold: 1, SuccessThreshold: 1}
	if change != nil {
		change(p)
	}
	return p
}
