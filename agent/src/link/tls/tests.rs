//! Who is trusted while joining. In: certificates made here. Out: trust, or the words of the refusal.

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

use super::*;

struct Authority {
    certificate: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

fn authority() -> Authority {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap().der().clone();
    Authority {
        certificate,
        issuer: Issuer::new(params, key),
    }
}

fn server(authority: &Authority, name: &str) -> CertificateDer<'static> {
    let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    let key = KeyPair::generate().unwrap();
    params
        .signed_by(&key, &authority.issuer)
        .unwrap()
        .der()
        .clone()
}

/// `Ok` when trusted, else a part of the message.
fn check(
    pinned: &Authority,
    end_entity: &CertificateDer<'_>,
    chain: &[CertificateDer<'_>],
    expected: Result<(), &str>,
) {
    let verifier = Pinned {
        pin: Sha256::digest(pinned.certificate.as_ref()).into(),
        provider: provider(),
    };
    let name = ServerName::try_from("hub.example.com").unwrap();
    let found = verifier.verify_server_cert(end_entity, chain, &name, &[], UnixTime::now());
    match (found, expected) {
        (Ok(_), Ok(())) => {}
        (Err(error), Err(part)) => {
            assert!(format!("{error:?} {error}").contains(part), "{error:?}")
        }
        (found, expected) => panic!("{found:?}, not {expected:?}"),
    }
}

#[test]
fn only_the_pinned_ca_is_trusted() {
    let (hub, other) = (authority(), authority());
    let (good, foreign) = (
        server(&hub, "hub.example.com"),
        server(&other, "hub.example.com"),
    );
    let (hub_ca, other_ca) = (hub.certificate.clone(), other.certificate.clone());
    check(&hub, &good, std::slice::from_ref(&hub_ca), Ok(()));
    check(&hub, &good, &[], Err("intercepts TLS"));
    check(
        &hub,
        &foreign,
        std::slice::from_ref(&other_ca),
        Err("intercepts TLS"),
    );
    // Showing the hub's CA does not help a certificate of somebody else.
    check(
        &hub,
        &foreign,
        &[hub_ca.clone(), other_ca],
        Err("BadSignature"),
    );
    let elsewhere = server(&hub, "elsewhere.example.com");
    check(&hub, &elsewhere, &[hub_ca], Err("NotValidForName"));
}
