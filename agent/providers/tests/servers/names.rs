//! Names, redirects and certificates (F50). In: a fake, a resolver of the test's own. Out: who was asked, and who not.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use agent_providers::transport::guard::Lookup;
use agent_providers::{Credentials, Guard, Request, Settings};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tokio_rustls::TlsAcceptor;

use crate::fake::{Fake, Names, Reply, get, transport, words};

fn settings(names: impl Lookup + 'static) -> Settings {
    Settings {
        lookup: Arc::new(names),
        ..Settings::default()
    }
}

/// A name that stands for these addresses.
fn fixed(addresses: &'static [&'static str]) -> Settings {
    #[derive(Debug)]
    struct Fixed(&'static [&'static str]);
    impl Lookup for Fixed {
        fn lookup(&self, _name: &str) -> agent_providers::transport::guard::Found {
            let each = self.0.iter();
            let found = each.map(|one| (one.parse::<std::net::IpAddr>().unwrap(), 0).into());
            Box::pin(std::future::ready(Ok(found.collect())))
        }
    }
    settings(Fixed(addresses))
}

fn up() -> Reply {
    Reply::Text(200, "1".to_owned())
}

#[tokio::test]
async fn f50_a_name_that_does_not_resolve() {
    fn fails(_: &str) -> std::io::Result<Vec<&'static str>> {
        Err(std::io::Error::other("no such name"))
    }
    let fails: fn(&str) -> std::io::Result<Vec<&'static str>> = fails;
    let transport = transport(settings(Names(fails)));
    let error = words(transport.send(&get("http://nowhere.example/")).await);
    assert!(
        error.starts_with("nowhere.example:80 cannot be reached: no such name;"),
        "{error}"
    );
}

#[tokio::test]
async fn f50_names_of_forbidden_addresses_are_not_asked() {
    for address in [
        &["169.254.169.254"],
        &["fe80::1"],
        &["fd00:ec2::254"],
        &["::ffff:169.254.169.254"],
        &["0.0.0.0"],
        &["224.0.0.1"],
    ] {
        let transport = transport(fixed(address));
        let error = words(transport.send(&get("http://metadata.example/")).await);
        assert!(error.contains("may not be asked"), "{error}");
    }
    let fake = Fake::start(|_, _| up()).await;
    let strict = Settings {
        guard: Guard::new(false),
        ..fixed(&["127.0.0.1"])
    };
    let transport = transport(strict);
    for url in [
        format!("http://name.example:{}/", fake.port),
        format!("http://127.0.0.1:{}/", fake.port),
        format!("http://2130706433:{}/", fake.port),
        format!("http://[::ffff:127.0.0.1]:{}/", fake.port),
    ] {
        let error = words(transport.send(&get(&url)).await);
        assert!(
            error.contains("a loopback address") && error.contains("--analysis-allow-loopback"),
            "{error}"
        );
    }
    assert!(fake.seen().is_empty());
}

/// A name that stands for one address when it is looked up first, and for another after.
#[derive(Debug, Default)]
struct Rebound(AtomicUsize);

impl Lookup for Rebound {
    fn lookup(&self, _name: &str) -> agent_providers::transport::guard::Found {
        let address: std::net::IpAddr = match self.0.fetch_add(1, Ordering::SeqCst) {
            0 => [127, 0, 0, 1].into(),
            _ => [169, 254, 169, 254].into(),
        };
        Box::pin(std::future::ready(Ok(vec![(address, 0).into()])))
    }
}

#[tokio::test]
async fn f50_a_name_that_is_rebound_is_checked_each_time() {
    let fake = Fake::start(|number, _| match number {
        // The second time the client must look the name up again, since this closes its connection.
        0 => Reply::With(
            302,
            vec![
                ("location", "/again".to_owned()),
                ("connection", "close".to_owned()),
            ],
            Vec::new(),
        ),
        _ => up(),
    })
    .await;
    let transport = transport(settings(Rebound::default()));
    let url = format!("http://name.example:{}/", fake.port);
    let error = words(transport.send(&get(&url)).await);
    assert!(
        error.contains("169.254.169.254 is a link-local address"),
        "{error}"
    );
    assert_eq!(fake.seen().len(), 1);
}

#[tokio::test]
async fn f50_redirects_stay_at_their_server() {
    let fake = Fake::start(|_, received| match received.path.as_str() {
        "/start" => Reply::To("/end".to_owned()),
        "/loop" => Reply::To("/loop".to_owned()),
        _ => up(),
    })
    .await;
    let transport = transport(Settings::default());
    let answer = transport.send(&get(&fake.url("/start"))).await.unwrap();
    assert_eq!(answer.body, b"1");
    let error = words(transport.send(&get(&fake.url("/loop"))).await);
    assert!(error.contains("redirects too often"), "{error}");
    assert!(fake.seen().len() < 8);
}

#[tokio::test]
async fn f50_credentials_never_go_to_another_server() {
    let other = Fake::start(|_, _| up()).await;
    let targets = [
        other.url("/stolen"),
        format!("http://localhost:{}/", other.port),
        "http://169.254.169.254/latest/meta-data/".to_owned(),
    ];
    for target in targets {
        let fake = Fake::start(move |_, _| Reply::To(target.clone())).await;
        let request = Request {
            headers: vec![("x-key".to_owned(), "secret".to_owned().into())],
            authentication: Some(Credentials::Basic {
                username: "u".to_owned(),
                password: "p".to_owned().into(),
            }),
            ..get(&fake.url("/"))
        };
        let error = words(transport(Settings::default()).send(&request).await);
        assert!(error.contains("redirects to another server"), "{error}");
        assert_eq!(fake.seen()[0].header("authorization"), Some("Basic dTpw"));
    }
    assert!(other.seen().is_empty());
}

/// A server's certificate that was valid in these years, and its authority as PEM.
fn certificate(years: (i32, i32)) -> (TlsAcceptor, Vec<u8>) {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let authority = params.self_signed(&key).unwrap();
    let issuer = Issuer::new(params, key);
    let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    params.not_before = rcgen::date_time_ymd(years.0, 1, 1);
    params.not_after = rcgen::date_time_ymd(years.1, 1, 1);
    let key = KeyPair::generate().unwrap();
    let leaf = params.signed_by(&key, &issuer).unwrap();
    let key = rustls::pki_types::PrivatePkcs8KeyDer::from(key.serialize_der()).into();
    let config = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], key)
        .unwrap();
    (
        TlsAcceptor::from(Arc::new(config)),
        authority.pem().into_bytes(),
    )
}

async fn check_tls(years: (i32, i32), trusted: bool, insecure: bool, expected: Result<(), &str>) {
    let (acceptor, authority) = certificate(years);
    let fake = Fake::with_tls(Some(acceptor), |_, _| up()).await;
    let transport = transport(Settings {
        authorities: trusted.then_some(authority),
        ..Settings::default()
    });
    let request = Request {
        insecure,
        timeout: Duration::from_secs(20),
        ..get(&format!("https://127.0.0.1:{}/", fake.port))
    };
    match (transport.send(&request).await, expected) {
        (Ok(answer), Ok(())) => assert_eq!(answer.body, b"1"),
        (Err(error), Err(part)) => {
            let error = error.to_string();
            assert!(error.contains(part), "{error}");
            assert!(fake.seen().is_empty());
        }
        (found, expected) => panic!("{years:?} {trusted} {insecure}: {found:?}, not {expected:?}"),
    }
}

#[tokio::test]
async fn f50_certificates() {
    check_tls((2020, 4000), true, false, Ok(())).await;
    check_tls((2020, 2021), true, false, Err("xpired")).await;
    check_tls((3990, 4000), true, false, Err("not valid yet")).await;
    check_tls((2020, 4000), false, false, Err("UnknownIssuer")).await;
    check_tls((2020, 2021), false, true, Ok(())).await;
}

#[test]
fn a_bundle_that_is_none_is_refused() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    for bundle in [
        "",
        "x",
        "-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n",
    ] {
        let made = agent_providers::Transport::new(Settings {
            authorities: Some(bundle.as_bytes().to_vec()),
            ..Settings::default()
        });
        let error = made
            .err()
            .map(|error| error.to_string())
            .unwrap_or_default();
        assert!(error.contains("must be PEM"), "{bundle:?}: {error}");
    }
}
