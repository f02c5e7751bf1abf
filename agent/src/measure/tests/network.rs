//! Networks that do wrong, end to end through measurer and engine (F48, F50 of the fault catalogue). In: servers, names and
//! certificates. Out: a run that ends in Error and says why, and another run beside it that is on time.

use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use agent_providers::Settings;
use agent_providers::transport::guard::{Found, Lookup};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use serde_json::json;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;

use super::faults::{GOOD, led};
use super::*;

/// What a server sends to every request.
#[derive(Clone)]
enum Sends {
    /// This, then it closes the connection.
    All(Vec<u8>),
    /// A byte a second of a body that is announced.
    Drip,
}

impl Sends {
    fn redirect(target: &str) -> Self {
        let head = "HTTP/1.1 302 x\r\ncontent-length: 0\r\nconnection: close\r\n";
        Self::All(format!("{head}location: {target}\r\n\r\n").into_bytes())
    }

    fn body(headers: &str, body: &[u8]) -> Self {
        let length = body.len();
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n{headers}\r\n"
        );
        Self::All([head.as_bytes(), body].concat())
    }

    fn good() -> Self {
        Self::body("", GOOD.as_bytes())
    }

    async fn answer<S: AsyncRead + AsyncWrite + Unpin>(self, mut stream: S) -> std::io::Result<()> {
        let mut request = [0_u8; 4096];
        let _ = stream.read(&mut request).await?;
        match self {
            Self::All(bytes) => {
                stream.write_all(&bytes).await?;
                stream.shutdown().await
            }
            Self::Drip => {
                let head = b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n";
                stream.write_all(head).await?;
                let mut drops = tokio::time::interval(Duration::from_secs(1));
                loop {
                    drops.tick().await;
                    stream.write_all(b" ").await?;
                }
            }
        }
    }
}

/// Its port, on loopback.
async fn server(sends: Sends, tls: Option<TlsAcceptor>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (sends, tls) = (sends.clone(), tls.clone());
            tokio::spawn(async move {
                match tls {
                    None => sends.answer(stream).await,
                    Some(tls) => sends.answer(tls.accept(stream).await?).await,
                }
            });
        }
    });
    port
}

/// `fails` has no address, `metadata` a forbidden one, `rebound` a good one once and a forbidden one after.
#[derive(Debug, Default)]
struct Names(AtomicUsize);

impl Lookup for Names {
    fn lookup(&self, name: &str) -> Found {
        const METADATA: IpAddr = IpAddr::V4(Ipv4Addr::new(169, 254, 77, 7));
        let found = match name.split('.').next() {
            Some("metadata") => Ok(METADATA),
            Some("rebound") if self.0.fetch_add(1, Ordering::SeqCst) > 0 => Ok(METADATA),
            Some("rebound") => Ok(Ipv4Addr::LOCALHOST.into()),
            _ => Err(std::io::Error::other("no such name")),
        };
        let found = found.map(|address| vec![(address, 0).into()]);
        Box::pin(std::future::ready(found))
    }
}

/// A server's certificate that was valid until 2021, and its authority as PEM.
fn expired() -> (TlsAcceptor, Vec<u8>) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let authority = params.self_signed(&key).unwrap();
    let issuer = Issuer::new(params, key);
    let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after = rcgen::date_time_ymd(2021, 1, 1);
    let key = KeyPair::generate().unwrap();
    let leaf = params.signed_by(&key, &issuer).unwrap();
    let key = rustls::pki_types::PrivatePkcs8KeyDer::from(key.serialize_der()).into();
    let config = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    (acceptor, authority.pem().into_bytes())
}

fn world(address: String, authorities: Option<Vec<u8>>) -> World {
    let settings = Settings {
        lookup: Arc::new(Names::default()),
        authorities,
        ..Settings::default()
    };
    let environment = Environment {
        prometheus_address: Some(address),
        ..Environment::default()
    };
    let transport = Transport::new(settings).unwrap();
    World::with(Asker::new(transport, Arc::new(NoSecrets), environment))
}

/// One measurement that goes wrong, and the run of a good server that starts after it and does not wait for it.
async fn nobody_waits(world: &World) {
    let (key, run) = (ObjectKey::new("shop", "bad"), Uid::from("bad"));
    world.measurer.start(&key, &run, question(metric(Some(1))));
    let mut good = metric(None);
    if let Some(prometheus) = good.provider.prometheus.as_mut() {
        let port = server(Sends::good(), None).await;
        prometheus.address = Some(format!("http://127.0.0.1:{port}"));
    }
    let began = Instant::now();
    world.measurer.start(&world.key, &world.run, question(good));
    for _ in 0..2 {
        let work = world.queue.next().await;
        world.queue.done(&work);
        if work == Work::Run(key.clone()) {
            continue;
        }
        let took = began.elapsed();
        assert!(took < Duration::from_secs(1), "{took:?}");
        let (_, finished) = world.measurer.under_way(&world.run, Moment::read());
        assert_eq!(finished[0].phase, AnalysisPhase::Successful, "{finished:?}");
    }
    let (_, finished) = world.measurer.under_way(&run, Moment::read());
    assert_eq!(finished[0].phase, AnalysisPhase::Error, "{finished:?}");
    world.measurer.forget(&key);
    world.measurer.forget(&world.key);
}

/// A run of up to two measurements ends in Error after so many good ones, and says why.
async fn ends(world: &World, good: i32, sentence: &str) {
    let metric = json!({
        "name": "rate", "count": 2, "interval": "1s", "consecutiveErrorLimit": 0,
        "successCondition": "result[0] >= 0.95",
        "provider": {"prometheus": {"query": "rate", "timeout": 1}},
    });
    let status = led(world, metric).await;
    assert_eq!(status.phase, Some(AnalysisPhase::Error), "{status:?}");
    let message = status.message.clone().unwrap_or_default();
    assert!(message.contains(sentence), "{message}, not {sentence}");
    let result = &status.metric_results[0];
    let counts = (result.successful.unwrap_or(0), result.error.unwrap_or(0));
    assert_eq!(counts, (good, 1), "{status:?}");
}

async fn check(world: World, sentence: &str) {
    nobody_waits(&world).await;
    ends(&world, 0, sentence).await;
}

fn at(port: u16) -> World {
    world(format!("http://127.0.0.1:{port}"), None)
}

#[tokio::test]
async fn f48_a_drip_and_a_bomb_end_their_run_and_no_other() {
    let drip = server(Sends::Drip, None).await;
    check(at(drip), "127.0.0.1 did not answer within 1 s").await;
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    for _ in 0..64 {
        packed.write_all(&vec![b' '; 1 << 20]).unwrap();
    }
    let packed = packed.finish().unwrap();
    let bomb = Sends::body("content-encoding: gzip\r\n", &packed);
    let bomb = server(bomb, None).await;
    check(at(bomb), "127.0.0.1 is larger than 1048576 bytes").await;
}

#[tokio::test]
async fn f50_names_that_fail_or_are_forbidden_end_their_run_and_no_other() {
    let fails = world("http://fails.example".to_owned(), None);
    check(fails, "no such name").await;
    let metadata = world("http://metadata.example".to_owned(), None);
    check(metadata, "169.254.77.7 is a link-local address").await;
    let port = server(Sends::good(), None).await;
    let rebound = world(format!("http://rebound.example:{port}"), None);
    ends(&rebound, 1, "169.254.77.7 is a link-local address").await;
    // It is forbidden by now.
    nobody_waits(&rebound).await;
}

#[tokio::test]
async fn f50_redirects_end_their_run_and_no_other() {
    let away = server(Sends::redirect("http://169.254.77.7/latest/"), None).await;
    check(at(away), "it redirects to another server").await;
    let round = server(Sends::redirect("/api/v1/query"), None).await;
    check(at(round), "it redirects too often").await;
}

#[tokio::test]
async fn f50_an_expired_certificate_ends_its_run_and_no_other() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let (acceptor, authority) = expired();
    let port = server(Sends::good(), Some(acceptor)).await;
    let expired = world(format!("https://127.0.0.1:{port}"), Some(authority));
    check(expired, "certificate expired").await;
}
