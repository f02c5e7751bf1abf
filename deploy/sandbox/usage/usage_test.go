package usage

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
	core "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
	metrics "k8s.io/metrics/pkg/apis/metrics/v1beta1"
)

// server knows these pods, written as namespace/name, label app and whether they are ready; and what is said of shop.
func server(t *testing.T, said map[string]string, pods ...*v1.Pod) *Server {
	t.Helper()
	index := cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc})
	for _, pod := range pods {
		if err := index.Add(pod); err != nil {
			t.Fatal(err)
		}
	}
	client := fake.NewSimpleClientset(&v1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: Source}, Data: said})
	return New(client, core.NewPodLister(index))
}

func pod(namespace, name, app string, ready v1.ConditionStatus) *v1.Pod {
	return &v1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: map[string]string{"app": app}},
		Spec:       v1.PodSpec{Containers: []v1.Container{{Name: "app"}, {Name: "side"}}},
		Status:     v1.PodStatus{Conditions: []v1.PodCondition{{Type: v1.PodReady, Status: ready}}},
	}
}

func ask(t *testing.T, s *Server, path string, into any) int {
	t.Helper()
	w := httptest.NewRecorder()
	s.routes().ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	if err := json.Unmarshal(w.Body.Bytes(), into); err != nil {
		t.Fatalf("%s: %v in %s", path, err, w.Body)
	}
	return w.Code
}

func TestTheLoadIsShared(t *testing.T) {
	pods := []*v1.Pod{
		pod("shop", "a", "web", v1.ConditionTrue), pod("shop", "b", "web", v1.ConditionTrue), pod("shop", "c", "db", v1.ConditionTrue),
		pod("shop", "d", "web", v1.ConditionFalse), pod("other", "e", "web", v1.ConditionTrue),
	}
	const base = "/apis/metrics.k8s.io/v1beta1"
	for _, c := range []struct {
		path string
		said map[string]string
		want string
	}{
		{base + "/namespaces/shop/pods", map[string]string{"cpu": "900m", "memory": "3Gi"}, "[a 300m 1Gi; b 300m 1Gi; c 300m 1Gi;]"},
		{base + "/namespaces/shop/pods?labelSelector=app%3Dweb", map[string]string{"cpu": "1"}, "[a 333m 0; b 333m 0;]"},
		{base + "/namespaces/shop/pods?labelSelector=app%3Dnone", nil, "[]"},
		{base + "/namespaces/other/pods", map[string]string{"cpu": "1"}, "[e 0 0;]"},
		{base + "/namespaces/empty/pods", nil, "[]"},
	} {
		var list metrics.PodMetricsList
		if code := ask(t, server(t, c.said, pods...), c.path, &list); code != http.StatusOK || list.Kind != "PodMetricsList" {
			t.Errorf("%s: status %d, kind %s", c.path, code, list.Kind)
		}
		got := ""
		for _, one := range list.Items {
			got += fmt.Sprintf("%s %s %s; ", one.Name, one.Containers[0].Usage.Cpu(), one.Containers[0].Usage.Memory())
			if side := one.Containers[1].Usage; !side.Cpu().IsZero() || len(one.Containers) != 2 || one.Window.Duration != window {
				t.Errorf("%s: %+v", c.path, one)
			}
		}
		if got = "[" + got; len(got) > 1 {
			got = got[:len(got)-1]
		}
		if got += "]"; got != c.want {
			t.Errorf("%s: %s, want %s", c.path, got, c.want)
		}
	}
	var all metrics.PodMetricsList
	if ask(t, server(t, nil, pods...), base+"/pods", &all); len(all.Items) != 4 {
		t.Errorf("of all namespaces: %d", len(all.Items))
	}
	var one metrics.PodMetrics
	if code := ask(t, server(t, map[string]string{"cpu": "3"}, pods...), base+"/namespaces/shop/pods/b", &one); code != http.StatusOK || one.Containers[0].Usage.Cpu().String() != "1" {
		t.Errorf("%d %+v", code, one)
	}
}

func TestErrorsAreStatuses(t *testing.T) {
	good := pod("shop", "a", "web", v1.ConditionTrue)
	for _, c := range []struct {
		name, path string
		said       map[string]string
		code       int32
	}{
		{"no such pod", "/apis/metrics.k8s.io/v1beta1/namespaces/shop/pods/z", nil, http.StatusNotFound},
		{"no selector", "/apis/metrics.k8s.io/v1beta1/namespaces/shop/pods?labelSelector=%3D%3D", nil, http.StatusBadRequest},
		{"no amount", "/apis/metrics.k8s.io/v1beta1/namespaces/shop/pods", map[string]string{"cpu": "much"}, http.StatusInternalServerError},
		{"less than none", "/apis/metrics.k8s.io/v1beta1/namespaces/shop/pods", map[string]string{"memory": "-1"}, http.StatusInternalServerError},
	} {
		var status metav1.Status
		if code := ask(t, server(t, c.said, good), c.path, &status); int32(code) != c.code || status.Code != c.code || status.Kind != "Status" || status.Message == "" {
			t.Errorf("%s: %d, %+v", c.name, code, status)
		}
	}
}

func TestDiscovery(t *testing.T) {
	var group metav1.APIGroup
	ask(t, server(t, nil), "/apis/metrics.k8s.io", &group)
	var resources metav1.APIResourceList
	ask(t, server(t, nil), "/apis/"+group.PreferredVersion.GroupVersion, &resources)
	if len(resources.APIResources) != 1 || resources.APIResources[0].Kind != "PodMetrics" || !resources.APIResources[0].Namespaced {
		t.Errorf("%+v %+v", group, resources)
	}
}
