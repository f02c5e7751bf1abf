//! Certificates that are renewed, expire and are revoked, over real TLS.
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proto::head::Head;
use proto::v1::link_client::LinkClient;
use proto::v1::{RenewRequest, RenewResponse, RevokeClusterRequest};
use ring::signature::{ED25519, UnparsedPublicKey};
use tonic::transport::Channel;
use tonic::{Code, Status};

use crate::agent::{Agent, Request};
use crate::fixture::{World, eventually};

/// So short that its end is seen in a test.
const SHORT_SECONDS: u32 = 3;

async fn renew(channel: Channel, uid: &str, request: &Request) -> Result<RenewResponse, Status> {
    let renewal = RenewRequest {
        csr_pem: request.csr_pem.clone(),
        kube_system_uid: uid.to_owned(),
        agent_version: "test".into(),
    };
    let answer = LinkClient::new(channel).renew(renewal).await;
    answer.map(tonic::Response::into_inner)
}

/// Under the certificate of an agent.
async fn next(world: &World, agent: &Agent) -> Agent {
    let request = Request::new();
    let channel = world.channel(Some((&agent.certificate, &agent.key))).await;
    let uid = format!("uid-{}", agent.cluster);
    let renewed = renew(channel, &uid, &request).await.unwrap();
    Agent {
        cluster: agent.cluster.clone(),
        certificate: renewed.certificate_pem,
        key: request.key.serialize_pem(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_renewed_before_it_ends_and_ends() {
    let world = World::with_certificates(SHORT_SECONDS).await;
    let first = Agent::member(&world, "prod-eu", &[]).await;
    let mut second = next(&world, &first).await;
    assert_ne!(first.certificate, second.certificate);
    for agent in [&first, &second] {
        agent.hello(&world, agent.nothing()).await.welcome().await;
    }
    // Whoever goes on renewing never stands before a closed door; whoever does not, does.
    eventually("the first one is refused", async || {
        second = next(&world, &second).await;
        let identity = Some((first.certificate.as_str(), first.key.as_str()));
        let Some(channel) = world.try_channel(identity).await else {
            return Some(());
        };
        let refused = renew(channel, "uid-prod-eu", &Request::new()).await;
        refused.is_err().then_some(())
    })
    .await;
    second.hello(&world, second.nothing()).await.welcome().await;
    let kinds: Vec<String> = world
        .history()
        .await
        .into_iter()
        .map(|row| row.kind)
        .collect();
    assert!(
        kinds.contains(&"CertificateRenewed".to_owned()),
        "{kinds:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_member_itself_renews_its_certificate() {
    let world = World::start().await;
    let agent = Agent::member(&world, "prod-eu", &[]).await;
    let code = async |channel: Channel, uid: &str, request: &Request| {
        renew(channel, uid, request).await.unwrap_err().code()
    };
    let request = Request::new();
    let stranger = world.channel(None).await;
    assert_eq!(
        code(stranger, "uid-prod-eu", &request).await,
        Code::Unauthenticated
    );
    let ada = world
        .authority
        .person("ada", &["groundswell-admins".to_owned()])
        .unwrap();
    let person = world.channel(Some((&ada.certificate, &ada.key))).await;
    assert_eq!(
        code(person, "uid-prod-eu", &request).await,
        Code::PermissionDenied
    );
    let own = || world.channel(Some((&agent.certificate, &agent.key)));
    assert_eq!(
        code(own().await, "uid-other", &request).await,
        Code::FailedPrecondition
    );
    let nonsense = Request {
        csr_pem: "nonsense".into(),
        key: rcgen::KeyPair::generate().unwrap(),
    };
    assert!(renew(own().await, "uid-prod-eu", &nonsense).await.is_err());
    assert!(renew(own().await, "uid-prod-eu", &request).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_cluster_is_shut_out_until_it_joins_again() {
    let world = World::start().await;
    let agent = Agent::member(&world, "prod-eu", &[]).await;
    let renewed = next(&world, &agent).await;
    let (mut stream, _) = renewed.open(&world).await;
    let revoke = RevokeClusterRequest {
        cluster: "prod-eu".into(),
        reason: "the machine was stolen".into(),
    };
    let refused = world
        .person("dan", &["sre"])
        .await
        .revoke_cluster(revoke.clone())
        .await;
    assert_eq!(refused.unwrap_err().code(), Code::PermissionDenied);
    world.admin().await.revoke_cluster(revoke).await.unwrap();
    stream.refusal().await;
    for shown in [&agent, &renewed] {
        let refusal = shown.hello(&world, shown.nothing()).await.refusal().await;
        assert!(refusal.message.contains("was revoked"), "{refusal:?}");
    }
    let again = Agent::member(&world, "prod-eu", &[]).await;
    again.hello(&world, again.nothing()).await.welcome().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_history_head_is_handed_out_signed() {
    let world = World::start().await;
    let agent = Agent::member(&world, "prod-eu", &[]).await;
    let welcome = agent.hello(&world, agent.nothing()).await.welcome().await;
    let (head, signature) = Head::parse(&welcome.audit_head).unwrap();
    let newest = world.history().await.last().unwrap().sequence;
    assert_eq!(head.sequence, newest);
    let key = STANDARD.decode(world.authority.permit_key()).unwrap();
    let signature = STANDARD.decode(signature).unwrap();
    UnparsedPublicKey::new(&ED25519, &key)
        .verify(&head.signing_bytes(), &signature)
        .unwrap();
}
