//! OAuth 2.0 against a fake token server. In: a client. Out: what both servers saw.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use agent_providers::auth::Client;
use agent_providers::{Credentials, Request, Settings};

use crate::fake::{Fake, Reply, get, transport, words};

fn request(url: &str, tokens: &Fake, secret: &str) -> Request {
    Request {
        authentication: Some(Credentials::OAuth2(Client {
            token_url: tokens.url("/token").parse().unwrap(),
            id: "client".to_owned(),
            secret: secret.to_owned().into(),
            scopes: vec!["read".to_owned()],
        })),
        ..get(url)
    }
}

/// A fake that knows the client by its header, and gives out a numbered token.
async fn tokens() -> Fake {
    let given = AtomicUsize::new(0);
    Fake::start(move |_, received| {
        let known = received.header("authorization") == Some("Basic Y2xpZW50OnMzY3IzdA==");
        if !known
            || received.method != "POST"
            || !received
                .body
                .contains("grant_type=client_credentials&scope=read")
        {
            return Reply::Text(401, r#"{"error":"invalid_client"}"#.to_owned());
        }
        let number = given.fetch_add(1, Ordering::SeqCst);
        let token = format!("token{number}");
        let body =
            serde_json::json!({"access_token": token, "token_type": "Bearer", "expires_in": 3600});
        Reply::Text(200, body.to_string())
    })
    .await
}

#[tokio::test]
async fn one_token_serves_many_and_the_secret_stays_with_its_server() {
    let tokens = tokens().await;
    let metrics = Fake::start(|_, _| Reply::Text(200, "1".to_owned())).await;
    let transport = transport(Settings::default());
    let tasks: Vec<_> = (0..20)
        .map(|_| {
            let (transport, request) = (
                transport.clone(),
                request(&metrics.url("/"), &tokens, "s3cr3t"),
            );
            tokio::spawn(async move { transport.send(&request).await.unwrap().status })
        })
        .collect();
    for task in tasks {
        assert_eq!(task.await.unwrap(), 200);
    }
    assert_eq!(tokens.seen().len(), 1);
    for seen in metrics.seen() {
        assert_eq!(seen.header("authorization"), Some("Bearer token0"));
        assert!(!format!("{seen:?}").contains("Y2xpZW50"));
    }
    // Who does not know the secret does not get the token that is kept.
    let error = words(
        transport
            .send(&request(&metrics.url("/"), &tokens, "wrong"))
            .await,
    );
    assert!(error.contains("invalid_client"), "{error}");
}

#[tokio::test]
async fn a_token_that_is_refused_is_fetched_again_once() {
    let tokens = tokens().await;
    let revoked = Arc::new(AtomicUsize::new(0));
    let known = Arc::clone(&revoked);
    let metrics = Fake::start(move |_, received| {
        let valid = format!("Bearer token{}", known.load(Ordering::SeqCst));
        let fits = received.header("authorization") == Some(valid.as_str());
        Reply::Text(if fits { 200 } else { 401 }, String::new())
    })
    .await;
    let transport = transport(Settings::default());
    let request = request(&metrics.url("/"), &tokens, "s3cr3t");
    assert_eq!(transport.send(&request).await.unwrap().status, 200);
    revoked.store(1, Ordering::SeqCst);
    assert_eq!(transport.send(&request).await.unwrap().status, 200);
    assert_eq!((tokens.seen().len(), metrics.seen().len()), (2, 3));
    // A server that refuses each token is asked with one old and one new one, no more.
    revoked.store(99, Ordering::SeqCst);
    assert_eq!(transport.send(&request).await.unwrap().status, 401);
    assert_eq!((tokens.seen().len(), metrics.seen().len()), (3, 5));
    // Now none is kept: the new one is not tried twice.
    assert_eq!(transport.send(&request).await.unwrap().status, 401);
    assert_eq!(metrics.seen().len(), 7);
}

#[tokio::test]
async fn servers_that_want_the_client_in_the_body() {
    let tokens = Fake::start(|_, received| {
        if received
            .body
            .contains("client_id=client&client_secret=s3cr3t")
        {
            Reply::Text(200, r#"{"access_token":"t"}"#.to_owned())
        } else {
            Reply::Text(400, r#"{"error":"invalid_request"}"#.to_owned())
        }
    })
    .await;
    let metrics = Fake::start(|_, _| Reply::Text(200, "1".to_owned())).await;
    let transport = transport(Settings::default());
    let answer = transport
        .send(&request(&metrics.url("/"), &tokens, "s3cr3t"))
        .await;
    assert_eq!(answer.unwrap().status, 200);
    assert_eq!(metrics.seen()[0].header("authorization"), Some("Bearer t"));
}

#[tokio::test]
async fn a_token_server_in_trouble_is_asked_once_for_many() {
    let tokens = Fake::start(|_, _| Reply::Text(503, "down".to_owned())).await;
    let metrics = Fake::start(|_, _| Reply::Text(200, "1".to_owned())).await;
    let transport = transport(Settings::default());
    for _ in 0..10 {
        let error = words(
            transport
                .send(&request(&metrics.url("/"), &tokens, "s3cr3t"))
                .await,
        );
        assert!(error.contains("answered 503: down"), "{error}");
    }
    assert_eq!((tokens.seen().len(), metrics.seen().len()), (1, 0));
}

#[tokio::test]
async fn a_token_address_is_guarded_too() {
    let metrics = Fake::start(|_, _| Reply::Text(200, "1".to_owned())).await;
    let transport = transport(Settings::default());
    let mut asked = request(&metrics.url("/"), &metrics, "s3cr3t");
    if let Some(Credentials::OAuth2(client)) = &mut asked.authentication {
        client.token_url = "http://169.254.169.254/latest/".parse().unwrap();
    }
    let error = words(transport.send(&asked).await);
    assert!(error.contains("may not be asked"), "{error}");
    assert!(metrics.seen().is_empty());
}
