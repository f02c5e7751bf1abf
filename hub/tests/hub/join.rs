//! Who may join, and how often (gate.md L6).
use proto::v1::CreateTokenRequest;

use crate::agent::{Request, join};
use crate::fixture::{World, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn a_token_joins_one_cluster_once() {
    let world = World::start().await;
    let token = world.token("prod-eu", &[("region", "eu")], 0).await;
    let request = Request::new();

    let other_name = join(&world, &token, "prod-us", &request).await.unwrap_err();
    assert!(other_name.message().contains("prod-eu"), "{other_name}");

    let first = join(&world, &token, "prod-eu", &request).await.unwrap();
    let lost_reply = join(&world, &token, "prod-eu", &request).await.unwrap();
    assert_eq!(first.certificate_pem, lost_reply.certificate_pem);

    let twice = join(&world, &token, "prod-eu", &Request::new())
        .await
        .unwrap_err();
    assert!(twice.message().contains("used"), "{twice}");

    let unknown = format!("0000.{}", token.split_once('.').unwrap().1);
    assert!(join(&world, &unknown, "prod-eu", &request).await.is_err());
    let wrong_secret = token.replacen(token.split('.').nth(1).unwrap(), "00", 1);
    assert!(
        join(&world, &wrong_secret, "prod-eu", &Request::new())
            .await
            .is_err()
    );

    let bad_request = Request {
        csr_pem: "nonsense".into(),
        ..Request::new()
    };
    let fresh = world.token("prod-us", &[], 0).await;
    assert!(join(&world, &fresh, "prod-us", &bad_request).await.is_err());
    join(&world, &fresh, "prod-us", &Request::new())
        .await
        .expect("a bad request does not spend the token");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_token_joins_nobody_and_every_refusal_is_recorded() {
    let world = World::start().await;
    let request = CreateTokenRequest {
        cluster: "late".into(),
        valid_seconds: 1,
        ..CreateTokenRequest::default()
    };
    let token = world
        .admin()
        .await
        .create_token(request)
        .await
        .unwrap()
        .into_inner();
    let end = proto::time::from_wire(&token.expires_at.unwrap()).unwrap();
    eventually("its end", async || {
        (jiff::Timestamp::now() > end).then_some(())
    })
    .await;
    let refused = join(&world, &token.token, "late", &Request::new())
        .await
        .unwrap_err();
    assert!(refused.message().contains("expired"), "{refused}");
    let store = hub_store::Store::connect(&world.database).unwrap();
    let recorded = store.refusal_list(100).await.unwrap();
    assert!(
        recorded
            .iter()
            .any(|refusal| refusal.message.contains("expired")),
        "{recorded:?}"
    );
}
