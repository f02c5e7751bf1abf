package usage

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metrics "k8s.io/metrics/pkg/apis/metrics/v1beta1"
)

// resources are what a pod can be said to use; without a word it uses none.
var resources = []v1.ResourceName{v1.ResourceCPU, v1.ResourceMemory}

// amounts reads what a namespace's pods use together.
func amounts(said map[string]string) (v1.ResourceList, error) {
	total := v1.ResourceList{}
	for _, name := range resources {
		text := cmp.Or(said[string(name)], "0")
		q, err := resource.ParseQuantity(text)
		if err != nil || q.Sign() < 0 {
			return nil, fmt.Errorf("%s is %q, not an amount such as 800m", name, text)
		}
		total[name] = q
	}
	return total, nil
}

func ready(pod *v1.Pod) bool {
	return pod.DeletionTimestamp == nil && len(pod.Spec.Containers) > 0 && slices.ContainsFunc(pod.Status.Conditions, func(c v1.PodCondition) bool {
		return c.Type == v1.PodReady && c.Status == v1.ConditionTrue
	})
}

// shares spreads a total evenly over pods; all of a pod's share is its first container's.
func shares(total v1.ResourceList, pods []*v1.Pod, now time.Time) []metrics.PodMetrics {
	out := make([]metrics.PodMetrics, 0, len(pods))
	for _, pod := range pods {
		one := metrics.PodMetrics{
			TypeMeta:   metav1.TypeMeta{APIVersion: group + "/" + version, Kind: "PodMetrics"},
			ObjectMeta: metav1.ObjectMeta{Name: pod.Name, Namespace: pod.Namespace, Labels: pod.Labels, CreationTimestamp: metav1.NewTime(now)},
			Timestamp:  metav1.NewTime(now), Window: metav1.Duration{Duration: window},
		}
		for i, c := range pod.Spec.Containers {
			used := v1.ResourceList{}
			for name, q := range total {
				share := int64(0)
				if i == 0 {
					share = q.MilliValue() / int64(len(pods))
				}
				used[name] = *resource.NewMilliQuantity(share, q.Format)
			}
			one.Containers = append(one.Containers, metrics.ContainerMetrics{Name: c.Name, Usage: used})
		}
		out = append(out, one)
	}
	slices.SortFunc(out, func(a, b metrics.PodMetrics) int { return cmp.Compare(a.Name, b.Name) })
	return out
}
