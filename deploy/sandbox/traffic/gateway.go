package traffic

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"strings"
	"sync"
	"syscall"
	"time"

	discovery "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"

	core "k8s.io/client-go/listers/core/v1"
	slicelister "k8s.io/client-go/listers/discovery/v1"

	"sandbox/address"
	"sandbox/journal"
)

// The headers by which answers say who gave them.
const (
	headerPod     = "X-Pod"
	headerHash    = "X-Pod-Hash"
	headerVersion = "X-Version"
	headerError   = "X-Gateway-Error"
)

const (
	// dialLimit: loopback connects at once or never.
	dialLimit = time.Second
	// idlePerPod keeps connections to pods open; a busy pod needs a few.
	idlePerPod = 64
	// closeLimit is how long the gateway finishes answers when it ends.
	closeLimit = 500 * time.Millisecond
)

// Gateway routes by Host header `<service>.<namespace>` to the ready endpoints of that Service.
type Gateway struct {
	slices    slicelister.EndpointSliceLister
	pods      core.PodLister
	transport *http.Transport

	mu       sync.Mutex
	services map[string]*balance // by namespace/service
}

// NewGateway watches through the cluster's shared informers, which the caller starts.
func NewGateway(f informers.SharedInformerFactory) (*Gateway, error) {
	g := &Gateway{
		slices: f.Discovery().V1().EndpointSlices().Lister(), pods: f.Core().V1().Pods().Lister(), services: map[string]*balance{},
		transport: &http.Transport{
			DialContext: (&net.Dialer{Timeout: dialLimit}).DialContext, MaxIdleConnsPerHost: idlePerPod, DisableCompression: true,
		},
	}
	_, err := f.Discovery().V1().EndpointSlices().Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(o any) { g.changed(o) },
		UpdateFunc: func(_, o any) { g.changed(o) },
		DeleteFunc: func(o any) {
			if gone, ok := o.(cache.DeletedFinalStateUnknown); ok {
				o = gone.Obj
			}
			g.changed(o)
		},
	})
	if err != nil {
		return nil, fmt.Errorf("gateway: %w", err)
	}
	return g, nil
}

// changed recomputes the Service that a slice belongs to.
func (g *Gateway) changed(o any) {
	slice, ok := o.(*discovery.EndpointSlice)
	if !ok {
		return
	}
	service := slice.Labels[discovery.LabelServiceName]
	all, err := g.slices.EndpointSlices(slice.Namespace).List(labels.SelectorFromSet(labels.Set{discovery.LabelServiceName: service}))
	if err != nil {
		return
	}
	var backends []backend
	for _, s := range all {
		backends = append(backends, g.ready(s)...)
	}
	g.balance(slice.Namespace + "/" + service).set(backends)
}

func (g *Gateway) balance(key string) *balance {
	g.mu.Lock()
	defer g.mu.Unlock()
	b, ok := g.services[key]
	if !ok {
		b = &balance{}
		g.services[key] = b
	}
	return b
}

// ready lists a slice's ready endpoints at the port named http, else the first.
func (g *Gateway) ready(s *discovery.EndpointSlice) []backend {
	port := int32(0)
	for _, p := range s.Ports {
		if p.Port != nil && (port == 0 || p.Name != nil && *p.Name == "http") {
			port = *p.Port
		}
	}
	if port == 0 {
		return nil
	}
	var out []backend
	for _, e := range s.Endpoints {
		if e.Conditions.Ready == nil || !*e.Conditions.Ready || len(e.Addresses) == 0 {
			continue
		}
		ip, err := address.Listen(e.Addresses[0])
		if err != nil {
			continue // not a pod of the sandbox
		}
		b := backend{address: fmt.Sprintf("%s:%d", ip, port), namespace: s.Namespace}
		if e.TargetRef != nil {
			b.pod = e.TargetRef.Name
		}
		out = append(out, b)
	}
	return out
}

// Serve answers until the context ends.
func (g *Gateway) Serve(ctx context.Context, l net.Listener) error {
	quiet := log.New(discard{}, "", 0)
	proxy := &httputil.ReverseProxy{
		Rewrite:      func(r *httputil.ProxyRequest) { r.SetXForwarded() },
		Transport:    g,
		ErrorLog:     quiet,
		ErrorHandler: refuse,
	}
	server := &http.Server{Handler: proxy, ErrorLog: quiet, ReadHeaderTimeout: 10 * time.Second}
	go func() {
		<-ctx.Done()
		limit, cancel := context.WithTimeout(context.Background(), closeLimit)
		defer cancel()
		if server.Shutdown(limit) != nil {
			_ = server.Close()
		}
	}()
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("gateway: %w", err)
	}
	return nil
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }

// errNone means that nobody can answer.
var errNone = errors.New("no ready endpoints")

// refuse turns an error into an answer.
func refuse(w http.ResponseWriter, r *http.Request, err error) {
	status := http.StatusBadGateway
	if errors.Is(err, errNone) {
		status = http.StatusServiceUnavailable
	}
	w.Header().Set(headerError, fmt.Sprintf("%s: %v", r.Host, err))
	w.WriteHeader(status)
}

// RoundTrip sends a request to the endpoint whose turn it is; one that refuses the connection is passed over once.
func (g *Gateway) RoundTrip(r *http.Request) (*http.Response, error) {
	host, _, err := net.SplitHostPort(r.Host)
	if err != nil {
		host = r.Host
	}
	service, namespace, _ := strings.Cut(host, ".")
	namespace, _, _ = strings.Cut(namespace, ".") // checkout.shop.svc.cluster.local is checkout.shop
	g.mu.Lock()
	b, ok := g.services[namespace+"/"+service]
	g.mu.Unlock()
	if !ok {
		return nil, errNone
	}
	chosen, ok := b.take()
	if !ok {
		return nil, errNone
	}
	answer, err := g.send(r, chosen)
	if err != nil && errors.Is(err, syscall.ECONNREFUSED) && (r.Body == nil || r.Body == http.NoBody || r.ContentLength == 0) {
		if chosen, ok = b.take(); !ok {
			return nil, errNone
		}
		answer, err = g.send(r, chosen)
	}
	return answer, err
}

func (g *Gateway) send(r *http.Request, to backend) (*http.Response, error) {
	out := r.Clone(r.Context())
	out.URL.Scheme, out.URL.Host = "http", to.address
	answer, err := g.transport.RoundTrip(out)
	if err != nil {
		return nil, err
	}
	answer.Header.Set(headerPod, to.pod)
	// Looked up now: the watch of pods may have been behind that of slices. Else the application's own word stays.
	if pod, err := g.pods.Pods(to.namespace).Get(to.pod); err == nil && pod.Labels[journal.HashLabel] != "" {
		answer.Header.Set(headerHash, pod.Labels[journal.HashLabel])
	}
	return answer, nil
}
