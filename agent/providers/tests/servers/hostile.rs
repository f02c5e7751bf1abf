//! Servers that hang, drip, send too much or close (F46, F48). In: a fake. Out: an error within its limits.

use std::io::Write as _;
use std::time::{Duration, Instant};

use agent_providers::{Request, Settings};
use tokio::net::TcpListener;

use crate::fake::{Fake, Reply, get, transport, words};

fn hurried(url: &str) -> Request {
    Request {
        timeout: Duration::from_millis(500),
        ..get(url)
    }
}

/// A request that takes its limit and not much more.
async fn check_timeout(url: &str) {
    let begun = Instant::now();
    let error = words(transport(Settings::default()).send(&hurried(url)).await);
    assert!(error.contains("did not answer within"), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn f46_a_server_that_never_answers_costs_its_limit_only() {
    let hanging = Fake::start(|_, _| Reply::Hang).await;
    let healthy = Fake::start(|_, _| Reply::Text(200, "1".to_owned())).await;
    let transport = transport(Settings::default());
    let slow: Vec<_> = (0..50)
        .map(|_| {
            let (transport, request) = (transport.clone(), get(&hanging.url("/")));
            tokio::spawn(async move { transport.send(&request).await })
        })
        .collect();
    while hanging.seen().len() < slow.len() {
        tokio::task::yield_now().await;
    }
    let answer = transport.send(&get(&healthy.url("/"))).await.unwrap();
    assert_eq!(answer.body, b"1");
    for task in slow {
        assert!(!task.is_finished());
        task.abort();
    }
    check_timeout(&hanging.url("/")).await;
}

#[tokio::test]
async fn f46_a_server_that_never_accepts() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    check_timeout(&format!("http://{}/", silent.local_addr().unwrap())).await;
    check_timeout(&format!("https://{}/", silent.local_addr().unwrap())).await;
}

#[tokio::test]
async fn f48_a_drip_ends_at_the_limit() {
    let fake = Fake::start(|_, _| Reply::Drip).await;
    check_timeout(&fake.url("/")).await;
}

async fn check_too_large(reply: impl Fn() -> Reply + Send + Sync + 'static) {
    let fake = Fake::start(move |_, _| reply()).await;
    let error = words(
        transport(Settings::default())
            .send(&get(&fake.url("/")))
            .await,
    );
    assert!(error.contains("larger than 1048576 bytes"), "{error}");
}

#[tokio::test]
async fn f48_a_body_without_an_end_is_cut_off() {
    check_too_large(|| Reply::Endless).await;
}

#[tokio::test]
async fn f48_ten_gigabytes_are_refused_when_they_are_announced() {
    check_too_large(|| Reply::Huge).await;
}

#[tokio::test]
async fn f48_a_gzip_bomb_is_measured_unpacked() {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    for _ in 0..64 {
        packed.write_all(&vec![b' '; 1 << 20]).unwrap();
    }
    let packed = packed.finish().unwrap();
    assert!(packed.len() < 1 << 17, "{}", packed.len());
    check_too_large(move || {
        let headers = vec![("content-encoding", "gzip".to_owned())];
        Reply::With(200, headers, packed.clone())
    })
    .await;
}

#[tokio::test]
async fn an_answer_may_be_packed() {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(b"{\"a\":1}").unwrap();
    let packed = packed.finish().unwrap();
    let fake = Fake::start(move |_, _| {
        let headers = vec![("content-encoding", "gzip".to_owned())];
        Reply::With(200, headers, packed.clone())
    })
    .await;
    let answer = transport(Settings::default())
        .send(&get(&fake.url("/")))
        .await;
    assert_eq!(answer.unwrap().body, b"{\"a\":1}");
    assert_eq!(fake.seen()[0].header("accept-encoding"), Some("gzip"));
}

#[tokio::test]
async fn a_get_is_sent_again_once_when_its_connection_was_closed() {
    let fake = Fake::start(|number, _| match number {
        0 => Reply::Close,
        _ => Reply::Text(200, "1".to_owned()),
    })
    .await;
    let transport = transport(Settings::default());
    let answer = transport.send(&get(&fake.url("/"))).await.unwrap();
    assert_eq!((answer.status, fake.seen().len()), (200, 2));
    let closing = Fake::start(|_, _| Reply::Close).await;
    words(transport.send(&get(&closing.url("/"))).await);
    assert_eq!(closing.seen().len(), 2);
    let post = Request {
        method: agent_providers::Method::Post,
        ..get(&closing.url("/"))
    };
    words(transport.send(&post).await);
    assert_eq!(closing.seen().len(), 3, "a POST is sent once");
}

#[tokio::test]
async fn headers_are_sent_and_cannot_split_the_request() {
    let fake = Fake::start(|_, _| Reply::Text(200, String::new())).await;
    let transport = transport(Settings::default());
    let with = |pairs: &[(&str, &str)]| Request {
        headers: pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned().into()))
            .collect(),
        ..get(&fake.url("/"))
    };
    let request = with(&[
        ("X-One", "1"),
        ("x-one", "2"),
        ("Host", "evil"),
        ("Content-Length", "9"),
        ("Transfer-Encoding", "chunked"),
    ]);
    transport.send(&request).await.unwrap();
    let seen = fake.seen();
    assert_eq!(seen[0].header("x-one"), Some("2"));
    assert_eq!(
        seen[0].header("host").unwrap(),
        format!("127.0.0.1:{}", fake.port)
    );
    assert!(
        seen[0].header("content-length").is_none() && seen[0].header("transfer-encoding").is_none()
    );
    for (name, value) in [("a b", "1"), ("", "1"), ("a", "1\r\nb: 2"), ("a:", "1")] {
        let error = words(transport.send(&with(&[(name, value)])).await);
        assert!(error.contains("cannot be sent"), "{error}");
    }
    assert_eq!(fake.seen().len(), 1);
}
