package gitops

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	k8syaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"
)

// revisionAnnotation tells, on a Rollout only, which commit its manifest came from.
const revisionAnnotation = "fleet.groundswell.dev/revision"

// parse reads all objects of a commit's files, what others need first in front.
func parse(files []file, commit string) ([]*unstructured.Unstructured, error) {
	var objects []*unstructured.Unstructured
	for _, f := range files {
		reader := k8syaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(f.text)))
		for {
			document, err := reader.Read()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return nil, fmt.Errorf("%s: %w", f.name, err)
			}
			found, err := decode(document)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", f.name, err)
			}
			objects = append(objects, found...)
		}
	}
	for _, o := range objects {
		if o.GetKind() == "Rollout" {
			annotations := o.GetAnnotations()
			if annotations == nil {
				annotations = map[string]string{}
			}
			annotations[revisionAnnotation] = commit
			o.SetAnnotations(annotations)
		}
	}
	slices.SortStableFunc(objects, func(a, b *unstructured.Unstructured) int { return rank(a) - rank(b) })
	return objects, nil
}

// decode reads one document, which may be empty or a List.
func decode(document []byte) ([]*unstructured.Unstructured, error) {
	var content map[string]any
	if err := yaml.Unmarshal(document, &content); err != nil {
		return nil, err
	}
	if len(content) == 0 {
		return nil, nil
	}
	object := &unstructured.Unstructured{Object: content}
	if !object.IsList() {
		if object.GetKind() == "" || object.GetAPIVersion() == "" || object.GetName() == "" {
			return nil, errors.New("an object without apiVersion, kind or metadata.name")
		}
		return []*unstructured.Unstructured{object}, nil
	}
	list, err := object.ToList()
	if err != nil {
		return nil, err
	}
	var out []*unstructured.Unstructured
	for i := range list.Items {
		out = append(out, &list.Items[i])
	}
	return out, nil
}

// rank orders kinds: what others live in or read from comes first.
func rank(o *unstructured.Unstructured) int {
	switch o.GetKind() {
	case "Namespace", "CustomResourceDefinition":
		return 0
	case "ServiceAccount", "Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding", "ConfigMap", "Secret", "Service", "AnalysisTemplate", "ClusterAnalysisTemplate":
		return 1
	}
	return 2
}
