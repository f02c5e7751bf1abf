// Package usage answers metrics.k8s.io, so that horizontal autoscalers and `kubectl top pods` work.
// In: pods and ConfigMaps from the API server. Out: what the pods are said to use, over TLS, to that API server alone.
// Nothing is measured: the ConfigMap `sandbox-usage` of a namespace says what its ready pods use together, so that a test
// can set a load and more pods make each of them carry less.
package usage

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"time"

	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	core "k8s.io/client-go/listers/core/v1"
	metrics "k8s.io/metrics/pkg/apis/metrics/v1beta1"

	"k8s.io/client-go/kubernetes"
)

const (
	// Host is whom the server's certificate is for: the API server reaches it as a Service.
	Host = service + "." + metav1.NamespaceSystem + ".svc"
	// Source is the ConfigMap that says what a namespace's pods use.
	Source  = "sandbox-usage"
	service = "usage"
	prefix  = "/apis/" + group
	group   = "metrics.k8s.io"
	version = "v1beta1"
	// window is over what time the figures are said to have been taken; an autoscaler ignores a pod for so long after
	// it has become ready.
	window = time.Second
	// closeLimit is how long the server finishes answers when it ends.
	closeLimit = 500 * time.Millisecond
)

// Server answers for one cluster.
type Server struct {
	pods   core.PodLister
	client kubernetes.Interface
}

// New watches pods through an informer that the caller starts.
func New(client kubernetes.Interface, pods core.PodLister) *Server {
	return &Server{pods: pods, client: client}
}

// Serve answers until the context ends whoever shows a certificate of the authority.
func (s *Server) Serve(ctx context.Context, l net.Listener, own tls.Certificate, authority []byte) error {
	trusted := x509.NewCertPool()
	trusted.AppendCertsFromPEM(authority)
	server := &http.Server{Handler: s.routes(), ReadHeaderTimeout: 10 * time.Second, ErrorLog: log.New(io.Discard, "", 0)}
	over := context.AfterFunc(ctx, func() {
		limit, cancel := context.WithTimeout(context.Background(), closeLimit)
		defer cancel()
		if server.Shutdown(limit) != nil {
			_ = server.Close()
		}
	})
	defer over()
	config := &tls.Config{Certificates: []tls.Certificate{own}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: trusted, MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}}
	if err := server.Serve(tls.NewListener(l, config)); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("usage: %w", err)
	}
	return nil
}

func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	here := metav1.GroupVersionForDiscovery{GroupVersion: group + "/" + version, Version: version}
	mux.HandleFunc("GET "+prefix, func(w http.ResponseWriter, _ *http.Request) {
		answer(w, metav1.APIGroup{
			TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "APIGroup"}, Name: group,
			Versions: []metav1.GroupVersionForDiscovery{here}, PreferredVersion: here,
		}, nil)
	})
	mux.HandleFunc("GET "+prefix+"/"+version, func(w http.ResponseWriter, _ *http.Request) {
		answer(w, metav1.APIResourceList{
			TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "APIResourceList"}, GroupVersion: here.GroupVersion,
			APIResources: []metav1.APIResource{{Name: "pods", SingularName: "pod", Namespaced: true, Kind: "PodMetrics", Verbs: metav1.Verbs{"get", "list"}}},
		}, nil)
	})
	mux.HandleFunc("GET "+prefix+"/"+version+"/pods", s.list)
	mux.HandleFunc("GET "+prefix+"/"+version+"/namespaces/{namespace}/pods", s.list)
	mux.HandleFunc("GET "+prefix+"/"+version+"/namespaces/{namespace}/pods/{name}", func(w http.ResponseWriter, r *http.Request) {
		all, err := s.of(r.Context(), r.PathValue("namespace"))
		for _, one := range all {
			if one.Name == r.PathValue("name") {
				answer(w, one, err)
				return
			}
		}
		if err == nil {
			err = apierrors.NewNotFound(metrics.Resource("pods"), r.PathValue("name"))
		}
		answer(w, nil, err)
	})
	return mux
}

// list answers for the pods of one namespace, or of all.
func (s *Server) list(w http.ResponseWriter, r *http.Request) {
	selector, err := labels.Parse(r.URL.Query().Get("labelSelector"))
	if err != nil {
		answer(w, nil, apierrors.NewBadRequest(err.Error()))
		return
	}
	all, err := s.of(r.Context(), r.PathValue("namespace"))
	out := metrics.PodMetricsList{TypeMeta: metav1.TypeMeta{APIVersion: group + "/" + version, Kind: "PodMetricsList"}, Items: []metrics.PodMetrics{}}
	for _, one := range all {
		if selector.Matches(labels.Set(one.Labels)) {
			out.Items = append(out.Items, one)
		}
	}
	answer(w, out, err)
}

// of is what the ready pods of a namespace use; an empty name means all namespaces.
func (s *Server) of(ctx context.Context, namespace string) ([]metrics.PodMetrics, error) {
	pods, err := s.pods.Pods(namespace).List(labels.Everything())
	if err != nil {
		return nil, err
	}
	by := map[string][]*v1.Pod{}
	for _, pod := range pods {
		if ready(pod) {
			by[pod.Namespace] = append(by[pod.Namespace], pod)
		}
	}
	var out []metrics.PodMetrics
	for name, pods := range by {
		said, err := s.client.CoreV1().ConfigMaps(name).Get(ctx, Source, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			said, err = &v1.ConfigMap{}, nil
		}
		if err != nil {
			return nil, err
		}
		total, err := amounts(said.Data)
		if err != nil {
			return nil, fmt.Errorf("ConfigMap %s/%s: %w", name, Source, err)
		}
		out = append(out, shares(total, pods, time.Now())...)
	}
	return out, nil
}

// answer writes an object, or the error as the API's clients know it.
func answer(w http.ResponseWriter, object any, err error) {
	w.Header().Set("Content-Type", "application/json")
	if err != nil {
		var known apierrors.APIStatus
		if !errors.As(err, &known) {
			known = apierrors.NewInternalError(err)
		}
		status := known.Status()
		status.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}
		w.WriteHeader(int(status.Code))
		object = status
	}
	_ = json.NewEncoder(w).Encode(object)
}
