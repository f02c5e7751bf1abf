package usage

import (
	"context"
	"encoding/json"
	"fmt"

	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// apiServices is where aggregated APIs are registered.
const apiServices = "/apis/apiregistration.k8s.io/v1/apiservices"

// Register has the API server pass requests for metrics.k8s.io on to this port of localhost. No other way leads there:
// an EndpointSlice refuses loopback addresses, while a Service may have an external name. Again is harmless.
func Register(ctx context.Context, client kubernetes.Interface, port int, authority []byte) error {
	_, err := client.CoreV1().Services(metav1.NamespaceSystem).Create(ctx, &v1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: service},
		Spec:       v1.ServiceSpec{Type: v1.ServiceTypeExternalName, ExternalName: "localhost"},
	}, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("service of %s: %w", group, err)
	}
	body, err := json.Marshal(map[string]any{
		"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": map[string]any{"name": version + "." + group},
		"spec": map[string]any{
			"group": group, "version": version, "groupPriorityMinimum": 100, "versionPriority": 100, "caBundle": authority,
			"service": map[string]any{"name": service, "namespace": metav1.NamespaceSystem, "port": port},
		},
	})
	if err != nil {
		return fmt.Errorf("register %s: %w", group, err)
	}
	post := client.Discovery().RESTClient().Post().AbsPath(apiServices).SetHeader("Content-Type", "application/json").Body(body)
	if err := post.Do(ctx).Error(); err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("register %s: %w", group, err)
	}
	return nil
}

// Served is true once the API server passes requests on.
func Served(ctx context.Context, client kubernetes.Interface) bool {
	return client.Discovery().RESTClient().Get().AbsPath(prefix+"/"+version).Do(ctx).Error() == nil
}
