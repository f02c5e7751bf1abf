//! What the transport holds and what it prints. In: servers on loopback that send much and never end; secrets in every place
//! of a request. Out: room that is bounded, and no secret.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::*;

/// A server that announces a body of `length` bytes, sends so many of them, and keeps the connection.
async fn server(length: usize, sent: usize) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            connections.spawn(async move {
                let mut request = [0_u8; 4096];
                while matches!(stream.read(&mut request).await, Ok(1..)) {
                    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n");
                    let _ = stream.write_all(head.as_bytes()).await;
                    let _ = stream.write_all(&vec![b' '; sent]).await;
                }
            });
        }
    });
    format!("http://{address}/")
}

fn get(url: &str, timeout: Duration) -> Request {
    Request {
        method: Method::Get,
        url: url.parse().unwrap(),
        headers: Vec::new(),
        body: Body::Empty,
        authentication: None,
        timeout,
        insecure: false,
    }
}

/// F48. Many servers that stay just below what one answer may have.
#[tokio::test]
async fn f48_answers_that_never_end_share_a_bounded_room() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let (long, short) = (Duration::from_secs(60), Duration::from_millis(200));
    let transport = Transport::default();
    let held = || transport.inner.wire.room.held();
    let endless = server(wire::MAX_BODY, wire::MAX_BODY - 1).await;
    let mut stuck = JoinSet::new();
    for _ in 0..50 {
        let (transport, request) = (transport.clone(), get(&endless, long));
        stuck.spawn(async move { transport.send(&request).await });
    }
    while held() < room::ROOM {
        tokio::task::yield_now().await;
    }
    let small = server(room::FREE, room::FREE).await;
    let large = server(room::FREE + 1, room::FREE + 1).await;
    let answer = transport.send(&get(&small, long)).await.unwrap();
    assert_eq!(answer.body.len(), room::FREE);
    let refused = transport.send(&get(&large, short)).await;
    let error = refused.unwrap_err().to_string();
    assert_eq!(
        error,
        "the answer of 127.0.0.1 is larger than 8192 bytes and the 33554432 bytes for all such answers are in use: \
         aggregate the query or measure less often"
    );
    // Those without room for the rest of theirs end, or all would wait for one another.
    let ended = stuck.join_next().await.unwrap().unwrap();
    assert!(matches!(ended, Err(Error::NoRoom { .. })), "{ended:?}");
    stuck.shutdown().await;
    let answer = transport.send(&get(&large, long)).await.unwrap();
    assert_eq!(answer.body.len(), room::FREE + 1);
    assert_eq!(held(), 0);
}

#[test]
fn a_request_prints_no_secret() {
    const CANARY: &str = "canary";
    let secret = || SecretString::from(format!("a-{CANARY}"));
    for body in [
        Body::Form(secret()),
        Body::Json(secret()),
        Body::Text(secret()),
    ] {
        for authentication in [
            Credentials::Basic {
                username: "u".to_owned(),
                password: secret(),
            },
            Credentials::OAuth2(Client {
                token_url: "https://tokens.example/".parse().unwrap(),
                id: "i".to_owned(),
                secret: secret(),
                scopes: Vec::new(),
            }),
        ] {
            let url = format!("https://{CANARY}:{CANARY}@h.example/{CANARY}?k={CANARY}#{CANARY}");
            let request = Request {
                headers: vec![("x-key".to_owned(), secret())],
                body: body.clone(),
                authentication: Some(authentication),
                ..get(&url, MAX_TIMEOUT)
            };
            let printed = format!(
                "{request:?} {request:#?} {:?} {:?}",
                request.body, request.authentication
            );
            assert!(printed.contains("h.example"), "{printed}");
            assert!(!printed.contains(CANARY), "{printed}");
        }
    }
}
