package node

import (
	"context"
	"fmt"
	"sort"
	"strings"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/errors"
)

// source reads the objects that variables refer to.
type source interface {
	configMap(ctx context.Context, namespace, name string) (map[string]string, error)
	secret(ctx context.Context, namespace, name string) (map[string]string, error)
}

// environment resolves a container's variables: the image's first, then envFrom, then env, in which later ones may
// use $(NAME) of earlier ones.
func environment(ctx context.Context, src source, pod *v1.Pod, c *v1.Container, image map[string]string, ip, host string) (map[string]string, error) {
	env := map[string]string{}
	for k, v := range image {
		env[k] = v
	}
	for _, from := range c.EnvFrom {
		if err := fromAll(ctx, src, pod.Namespace, from, env); err != nil {
			return nil, err
		}
	}
	for _, e := range c.Env {
		value, set, err := variable(ctx, src, pod, e, env, ip, host)
		if err != nil {
			return nil, fmt.Errorf("variable %s: %w", e.Name, err)
		}
		if set {
			env[e.Name] = value
		}
	}
	return env, nil
}

func fromAll(ctx context.Context, src source, namespace string, from v1.EnvFromSource, env map[string]string) error {
	var data map[string]string
	var err error
	var optional *bool
	switch {
	case from.ConfigMapRef != nil:
		optional = from.ConfigMapRef.Optional
		data, err = src.configMap(ctx, namespace, from.ConfigMapRef.Name)
	case from.SecretRef != nil:
		optional = from.SecretRef.Optional
		data, err = src.secret(ctx, namespace, from.SecretRef.Name)
	}
	if errors.IsNotFound(err) && optional != nil && *optional {
		return nil
	}
	if err != nil {
		return err
	}
	for k, v := range data {
		env[from.Prefix+k] = v
	}
	return nil
}

// variable is the value of one entry; set is false for an optional reference to something that is not there.
func variable(ctx context.Context, src source, pod *v1.Pod, e v1.EnvVar, env map[string]string, ip, host string) (value string, set bool, err error) {
	from := e.ValueFrom
	switch {
	case from == nil:
		return expand(e.Value, env), true, nil
	case from.FieldRef != nil:
		value, err = field(pod, from.FieldRef.FieldPath, ip, host)
		return value, true, err
	case from.ConfigMapKeyRef != nil:
		r := from.ConfigMapKeyRef
		data, err := src.configMap(ctx, pod.Namespace, r.Name)
		return key(data, err, "configmap", r.Name, r.Key, r.Optional)
	case from.SecretKeyRef != nil:
		r := from.SecretKeyRef
		data, err := src.secret(ctx, pod.Namespace, r.Name)
		return key(data, err, "secret", r.Name, r.Key, r.Optional)
	}
	return "", false, fmt.Errorf("this kind of valueFrom is not supported in the sandbox")
}

func key(data map[string]string, err error, kind, name, key string, optional *bool) (string, bool, error) {
	missingIsFine := optional != nil && *optional
	if errors.IsNotFound(err) && missingIsFine {
		return "", false, nil
	}
	if err != nil {
		return "", false, err
	}
	value, ok := data[key]
	if !ok && !missingIsFine {
		return "", false, fmt.Errorf("couldn't find key %s in %s %s", key, kind, name)
	}
	return value, ok, nil
}

// field resolves a downward API path.
func field(pod *v1.Pod, path, ip, host string) (string, error) {
	if name, ok := subscript(path, "metadata.labels"); ok {
		return pod.Labels[name], nil
	}
	if name, ok := subscript(path, "metadata.annotations"); ok {
		return pod.Annotations[name], nil
	}
	switch path {
	case "metadata.name":
		return pod.Name, nil
	case "metadata.namespace":
		return pod.Namespace, nil
	case "metadata.uid":
		return string(pod.UID), nil
	case "metadata.labels":
		return lines(pod.Labels), nil
	case "metadata.annotations":
		return lines(pod.Annotations), nil
	case "spec.nodeName":
		return pod.Spec.NodeName, nil
	case "spec.serviceAccountName":
		return pod.Spec.ServiceAccountName, nil
	case "status.podIP", "status.podIPs":
		return ip, nil
	case "status.hostIP", "status.hostIPs":
		return host, nil
	}
	return "", fmt.Errorf("field path %q is not supported in the sandbox", path)
}

// subscript takes the key out of metadata.labels['key'].
func subscript(path, prefix string) (string, bool) {
	rest, ok := strings.CutPrefix(path, prefix+"['")
	if !ok {
		return "", false
	}
	return strings.CutSuffix(rest, "']")
}

func lines(m map[string]string) string {
	out := make([]string, 0, len(m))
	for k, v := range m {
		out = append(out, fmt.Sprintf("%s=%q", k, v))
	}
	sort.Strings(out)
	return strings.Join(out, "\n")
}

// expand replaces $(NAME) by known variables; unknown ones stay as written and $$ is a plain dollar sign.
func expand(s string, env map[string]string) string {
	var out strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '$' || i+1 == len(s) {
			out.WriteByte(s[i])
			continue
		}
		if s[i+1] == '$' {
			out.WriteByte('$')
			i++
			continue
		}
		name, _, ok := strings.Cut(s[i+1:], ")")
		value, known := env[strings.TrimPrefix(name, "(")]
		if !ok || !strings.HasPrefix(name, "(") || !known {
			out.WriteByte('$')
			continue
		}
		out.WriteString(value)
		i += len(name) + 1
	}
	return out.String()
}

// expandAll does so for a command line.
func expandAll(words []string, env map[string]string) []string {
	out := make([]string, len(words))
	for i, w := range words {
		out[i] = expand(w, env)
	}
	return out
}

// pairs is the environment as exec wants it.
func pairs(env map[string]string) []string {
	out := make([]string, 0, len(env))
	for k, v := range env {
		out = append(out, k+"="+v)
	}
	sort.Strings(out)
	return out
}
