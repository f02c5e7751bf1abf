//! Keys are made once, are private, and what is signed can be verified.
use std::os::unix::fs::PermissionsExt as _;

use super::*;
use crate::identity::Peer;

fn csr() -> (KeyPair, String) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.distinguished_name = name("somebody-else", Some("groundswell-admins"));
    let pem = params.serialize_request(&key).unwrap().pem().unwrap();
    (key, pem)
}

fn peer(pem: &str) -> Peer {
    Peer::from_certificate(&CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()).unwrap()
}

#[test]
fn a_second_start_finds_the_same_keys() {
    let dir = tempfile::tempdir().unwrap();
    let first = Authority::open(dir.path()).unwrap();
    let second = Authority::open(dir.path()).unwrap();
    assert_eq!(first.pin(), second.pin());
    assert_eq!(first.permit_key(), second.permit_key());
    for file in [CA_KEY_FILE, PERMIT_KEY_FILE] {
        let mode = fs::metadata(dir.path().join(file))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
}

#[test]
fn a_kill_between_key_and_certificate_is_completed() {
    let dir = tempfile::tempdir().unwrap();
    let first = Authority::open(dir.path()).unwrap();
    fs::remove_file(dir.path().join(CA_FILE)).unwrap();
    fs::write(dir.path().join("ca.part"), "half").unwrap();
    let second = Authority::open(dir.path()).unwrap();
    assert_eq!(first.permit_key(), second.permit_key());
    assert!(second.ca_pem().starts_with("-----BEGIN CERTIFICATE"));
}

#[test]
fn a_cluster_is_named_by_the_hub_and_not_by_its_request() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::open(dir.path()).unwrap();
    let hour = Duration::from_secs(3600);
    let issued = authority.cluster(&csr().1, "prod-eu", hour).unwrap();
    assert_eq!(peer(&issued.pem), Peer::Cluster("prod-eu".to_owned()));
    assert!(authority.cluster("nonsense", "prod-eu", hour).is_err());
    let der = CertificateDer::from_pem_slice(issued.pem.as_bytes()).unwrap();
    assert_eq!(issued.fingerprint, fingerprint(&der));
    let (_, parsed) = x509_parser::parse_x509_certificate(&der).unwrap();
    let (from, to) = (parsed.validity().not_before, parsed.validity().not_after);
    assert_eq!(to.timestamp(), issued.expires.as_second());
    // A tenth of its life: shorter than the day of longer ones.
    assert_eq!(to.timestamp() - from.timestamp(), 3600 + 360);
}

#[test]
fn a_person_carries_every_group() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::open(dir.path()).unwrap();
    let groups = vec!["sre".to_owned(), "release-managers".to_owned()];
    let issued = authority.person("ada", &groups).unwrap();
    assert_eq!(
        peer(&issued.certificate),
        Peer::Person {
            name: "ada".to_owned(),
            groups
        }
    );
    for bad in ["", "a,b", "groundswell:clusters"] {
        assert!(authority.person("ada", &[bad.to_owned()]).is_err(), "{bad}");
    }
}

#[test]
fn a_permit_verifies_with_the_public_key_until_it_is_changed() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::open(dir.path()).unwrap();
    let mut permit = Permit {
        release: "checkout#2".to_owned(),
        digest: "v1:a".to_owned(),
        ..Permit::default()
    };
    let signature = authority.sign(&permit);
    let public = BASE64.decode(authority.permit_key()).unwrap();
    let key = ring::signature::UnparsedPublicKey::new(&ring::signature::ED25519, public);
    assert!(
        key.verify(&proto::permit::signing_bytes(&permit), &signature)
            .is_ok()
    );
    permit.digest = "v1:b".to_owned();
    assert!(
        key.verify(&proto::permit::signing_bytes(&permit), &signature)
            .is_err()
    );
}
