//! Amazon's keys against fakes of the places that give them out, at the addresses that the environment names.
//! In: an environment. Out: who was asked, and whose signature a metric server saw.

use agent_providers::auth::Signer;
use agent_providers::{Credentials, Request, Settings, Transport};

use crate::fake::{Fake, Received, Reply, get, transport, words};

fn with(pairs: &[(&str, &str)]) -> Transport {
    let variables = pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned().into()));
    transport(Settings {
        variables: variables.collect(),
        ..Settings::default()
    })
}

fn signed(url: &str, role: Option<&str>) -> Request {
    Request {
        authentication: Some(Credentials::SigV4(Signer {
            service: "aps".to_owned(),
            region: Some("eu-west-1".to_owned()),
            profile: None,
            role: role.map(str::to_owned),
        })),
        ..get(url)
    }
}

async fn metrics() -> Fake {
    Fake::start(|_, _| Reply::Text(200, "1".to_owned())).await
}

/// The key's name in a signature, for its service.
fn signer(received: &Received) -> String {
    let header = received.header("authorization").unwrap_or_default();
    assert!(
        header.starts_with("AWS4-HMAC-SHA256 Credential="),
        "{header}"
    );
    assert!(
        header.contains("SignedHeaders=") && header.contains("host"),
        "{header}"
    );
    assert!(received.header("x-amz-date").is_some());
    let scope = header.split(['=', ',']).nth(1).unwrap();
    let parts: Vec<&str> = scope.split('/').collect();
    format!("{} {} {}", parts[0], parts[2], parts[3])
}

fn json(id: &str) -> String {
    serde_json::json!({
        "Code": "Success", "AccessKeyId": id, "SecretAccessKey": "s", "Token": "session",
        "Expiration": "2999-01-01T00:00:00Z",
    })
    .to_string()
}

fn xml(action: &str, id: &str) -> String {
    format!(
        "<{action}Response xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><{action}Result><Credentials>\
         <AccessKeyId>{id}</AccessKeyId><SecretAccessKey>s</SecretAccessKey><SessionToken>session</SessionToken>\
         <Expiration>2999-01-01T00:00:00Z</Expiration></Credentials></{action}Result></{action}Response>"
    )
}

/// A fake of STS, which knows a web identity, and keys that may assume a role.
async fn sts() -> Fake {
    Fake::start(|_, received| {
        let body = &received.body;
        if !body.contains("Version=2011-06-15") || !body.contains("RoleSessionName=groundswell") {
            return Reply::Text(400, "bad".to_owned());
        }
        if body.contains("Action=AssumeRoleWithWebIdentity")
            && body.contains("WebIdentityToken=pod-token")
        {
            return Reply::Text(200, xml("AssumeRoleWithWebIdentity", "WEB"));
        }
        if body.contains("Action=AssumeRole&")
            && body.contains("RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fmetrics")
        {
            let who = signer(received);
            return Reply::Text(
                200,
                xml("AssumeRole", &format!("ROLE-{}", who.replace(' ', "-"))),
            );
        }
        Reply::Text(
            403,
            "<ErrorResponse><Error><Code>AccessDenied</Code></Error></ErrorResponse>".to_owned(),
        )
    })
    .await
}

#[tokio::test]
async fn keys_of_the_environment_sign_and_are_not_sent() {
    let metrics = metrics().await;
    let transport = with(&[
        ("AWS_ACCESS_KEY_ID", "ENV"),
        ("AWS_SECRET_ACCESS_KEY", "hidden"),
    ]);
    transport
        .send(&signed(&metrics.url("/"), None))
        .await
        .unwrap();
    let seen = metrics.seen();
    assert_eq!(signer(&seen[0]), "ENV eu-west-1 aps");
    assert!(seen[0].header("x-amz-security-token").is_none());
    assert!(!format!("{seen:?}").contains("hidden"));
}

#[tokio::test]
async fn the_machine_is_asked_by_version_two() {
    let place = Fake::start(|_, received| {
        let token = received.header("x-aws-ec2-metadata-token") == Some("imds");
        match (received.method.as_str(), received.path.as_str(), token) {
            ("PUT", "/latest/api/token", _)
                if received
                    .header("x-aws-ec2-metadata-token-ttl-seconds")
                    .is_some() =>
            {
                Reply::Text(200, "imds".to_owned())
            }
            ("GET", "/latest/meta-data/iam/security-credentials/", true) => {
                Reply::Text(200, "node".to_owned())
            }
            ("GET", "/latest/meta-data/iam/security-credentials/node", true) => {
                Reply::Text(200, json("NODE"))
            }
            _ => Reply::Text(401, String::new()),
        }
    })
    .await;
    let metrics = metrics().await;
    let transport = with(&[("AWS_EC2_METADATA_SERVICE_ENDPOINT", &place.url("/"))]);
    for _ in 0..3 {
        transport
            .send(&signed(&metrics.url("/"), None))
            .await
            .unwrap();
    }
    assert_eq!(place.seen().len(), 3, "the keys are kept");
    assert_eq!(signer(&metrics.seen()[0]), "NODE eu-west-1 aps");
    assert_eq!(
        metrics.seen()[0].header("x-amz-security-token"),
        Some("session")
    );
}

#[tokio::test]
async fn a_pod_is_known_by_its_token() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, "pod-token\n").unwrap();
    let place = Fake::start(|_, received| match received.header("authorization") {
        Some("pod-token") => Reply::Text(200, json("POD")),
        _ => Reply::Text(400, "no token".to_owned()),
    })
    .await;
    let metrics = metrics().await;
    let transport = with(&[
        (
            "AWS_CONTAINER_CREDENTIALS_FULL_URI",
            &place.url("/v1/credentials"),
        ),
        (
            "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
            file.to_str().unwrap(),
        ),
    ]);
    transport
        .send(&signed(&metrics.url("/"), None))
        .await
        .unwrap();
    assert_eq!(signer(&metrics.seen()[0]), "POD eu-west-1 aps");
}

#[tokio::test]
async fn a_web_identity_assumes_its_role_and_another_from_there() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, "pod-token\n").unwrap();
    let (sts, metrics) = (sts().await, metrics().await);
    let transport = with(&[
        ("AWS_WEB_IDENTITY_TOKEN_FILE", file.to_str().unwrap()),
        ("AWS_ROLE_ARN", "arn:aws:iam::1:role/pod"),
        ("AWS_ENDPOINT_URL_STS", &sts.url("/")),
    ]);
    transport
        .send(&signed(&metrics.url("/"), None))
        .await
        .unwrap();
    assert_eq!(signer(&metrics.seen()[0]), "WEB eu-west-1 aps");
    let role = Some("arn:aws:iam::1:role/metrics");
    transport
        .send(&signed(&metrics.url("/"), role))
        .await
        .unwrap();
    assert_eq!(
        signer(&metrics.seen()[1]),
        "ROLE-WEB-eu-west-1-sts eu-west-1 aps"
    );
    let other = Some("arn:aws:iam::1:role/other");
    let error = words(transport.send(&signed(&metrics.url("/"), other)).await);
    assert!(
        error.contains("AWS STS gave no AWS keys: it answered 403: AccessDenied"),
        "{error}"
    );
    assert_eq!(metrics.seen().len(), 2);
}

#[tokio::test]
async fn profiles_of_the_shared_files() {
    let folder = tempfile::tempdir().unwrap();
    let (config, credentials) = (
        folder.path().join("config"),
        folder.path().join("credentials"),
    );
    std::fs::write(
        &config,
        "[profile amp]\nrole_arn = arn:aws:iam::1:role/metrics\nsource_profile = base\n",
    )
    .unwrap();
    std::fs::write(
        &credentials,
        "[base]\naws_access_key_id = BASE\naws_secret_access_key = s\n",
    )
    .unwrap();
    let (sts, metrics) = (sts().await, metrics().await);
    let transport = with(&[
        ("AWS_CONFIG_FILE", config.to_str().unwrap()),
        ("AWS_SHARED_CREDENTIALS_FILE", credentials.to_str().unwrap()),
        ("AWS_PROFILE", "amp"),
        ("AWS_ENDPOINT_URL_STS", &sts.url("/")),
    ]);
    transport
        .send(&signed(&metrics.url("/"), None))
        .await
        .unwrap();
    assert_eq!(
        signer(&metrics.seen()[0]),
        "ROLE-BASE-eu-west-1-sts eu-west-1 aps"
    );
}

#[tokio::test]
async fn a_signed_request_follows_no_redirect_and_a_place_of_keys_none_either() {
    let metrics = Fake::start(|_, _| Reply::To("/other".to_owned())).await;
    let transport = with(&[("AWS_ACCESS_KEY_ID", "ENV"), ("AWS_SECRET_ACCESS_KEY", "s")]);
    let answer = transport
        .send(&signed(&metrics.url("/"), None))
        .await
        .unwrap();
    assert_eq!((answer.status, metrics.seen().len()), (302, 1));
    let place = Fake::start(|_, _| Reply::To("/other".to_owned())).await;
    let transport = with(&[("AWS_EC2_METADATA_SERVICE_ENDPOINT", &place.url("/"))]);
    let error = words(transport.send(&signed(&metrics.url("/"), None)).await);
    assert!(
        error.contains("the machine's metadata gave no AWS keys: it answered 302"),
        "{error}"
    );
    assert_eq!(place.seen().len(), 1);
}

#[tokio::test]
async fn the_places_of_keys_are_open_to_nobody_else() {
    let transport = with(&[]);
    for url in [
        "http://169.254.169.254/latest/",
        "http://169.254.170.2/",
        "http://169.254.170.23/",
        "http://[fd00:ec2::23]/",
    ] {
        let error = words(transport.send(&get(url)).await);
        assert!(error.contains("may not be asked"), "{error}");
    }
}
