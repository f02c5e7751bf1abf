package cluster

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"

	"sigs.k8s.io/yaml"

	"sandbox/usage"
)

// validity of the certificates: a sandbox lives for hours, a forgotten one for days.
const validity = 30 * 24 * time.Hour

// identity is a user of the API server's static token file; all of them may do everything.
type identity struct{ user, token string }

// leaves are the certificates that the authority signs: the API server's, the one it shows to servers of aggregated
// APIs, and the one such a server shows.
var leaves = []struct {
	file, user string
	usage      x509.ExtKeyUsage
	names      []string
}{
	{"apiserver", "kube-apiserver", x509.ExtKeyUsageServerAuth, []string{"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"}},
	{"aggregator", "aggregator", x509.ExtKeyUsageClientAuth, nil},
	{"usage", "usage", x509.ExtKeyUsageServerAuth, []string{usage.Host}},
}

// pki is what a cluster's components need to trust each other, as files in one folder.
type pki struct {
	dir string
	ca  []byte // PEM
}

func (p pki) path(name string) string { return filepath.Join(p.dir, name) }

func newPKI(dir string) (pki, error) {
	p := pki{dir: dir}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return p, fmt.Errorf("certificates: %w", err)
	}
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return p, fmt.Errorf("certificates: %w", err)
	}
	now := time.Now()
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "groundswell sandbox"}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(validity),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	if p.ca, err = p.certificate("ca", ca, ca, caKey, caKey); err != nil {
		return p, err
	}
	for i, leaf := range leaves {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return p, fmt.Errorf("certificates: %w", err)
		}
		template := &x509.Certificate{
			SerialNumber: big.NewInt(int64(i) + 2), Subject: pkix.Name{CommonName: leaf.user}, NotBefore: ca.NotBefore, NotAfter: ca.NotAfter,
			KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{leaf.usage}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: leaf.names,
		}
		if _, err := p.certificate(leaf.file, template, ca, key, caKey); err != nil {
			return p, err
		}
	}
	return p, p.serviceAccountKeys()
}

// certificate writes name.crt and name.key.
func (p pki) certificate(name string, leaf, issuer *x509.Certificate, key, issuerKey *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.CreateCertificate(rand.Reader, leaf, issuer, &key.PublicKey, issuerKey)
	if err != nil {
		return nil, fmt.Errorf("certificate %s: %w", name, err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	if err := os.WriteFile(p.path(name+".crt"), text, 0o644); err != nil {
		return nil, fmt.Errorf("certificate %s: %w", name, err)
	}
	return text, p.private(name+".key", key)
}

func (p pki) private(file string, key *ecdsa.PrivateKey) error {
	der, err := x509.MarshalECPrivateKey(key)
	if err == nil {
		err = os.WriteFile(p.path(file), pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), 0o600)
	}
	if err != nil {
		return fmt.Errorf("key %s: %w", file, err)
	}
	return nil
}

// serviceAccountKeys writes the pair that signs and checks service account tokens.
func (p pki) serviceAccountKeys() error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("service account key: %w", err)
	}
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err == nil {
		err = os.WriteFile(p.path("sa.pub"), pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), 0o644)
	}
	if err != nil {
		return fmt.Errorf("service account key: %w", err)
	}
	return p.private("sa.key", key)
}

// tokens writes the static token file for new identities.
func (p pki) tokens(users ...string) ([]identity, error) {
	var file []byte
	var out []identity
	for i, user := range users {
		secret := make([]byte, 24)
		if _, err := rand.Read(secret); err != nil {
			return nil, fmt.Errorf("token: %w", err)
		}
		id := identity{user, hex.EncodeToString(secret)}
		out = append(out, id)
		file = fmt.Appendf(file, "%s,%s,%d,system:masters\n", id.token, id.user, i+1)
	}
	if err := os.WriteFile(p.path("tokens.csv"), file, 0o600); err != nil {
		return nil, fmt.Errorf("tokens: %w", err)
	}
	return out, nil
}

// kubeconfig writes a kubeconfig for one identity.
func (p pki) kubeconfig(path, cluster, server string, id identity) error {
	text, err := yaml.Marshal(map[string]any{
		"apiVersion": "v1", "kind": "Config", "current-context": cluster,
		"clusters": []any{map[string]any{"name": cluster, "cluster": map[string]any{"server": server, "certificate-authority-data": p.ca}}},
		"users":    []any{map[string]any{"name": id.user, "user": map[string]any{"token": id.token}}},
		"contexts": []any{map[string]any{"name": cluster, "context": map[string]any{"cluster": cluster, "user": id.user}}},
	})
	if err == nil {
		err = os.WriteFile(path, text, 0o600)
	}
	if err != nil {
		return fmt.Errorf("kubeconfig %s: %w", path, err)
	}
	return nil
}
