//! Chains, profiles and answers as data.

use super::*;

fn variables(pairs: &[(&str, &str)]) -> Variables {
    let pairs = pairs.iter();
    pairs
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned().into()))
        .collect()
}

fn signer(profile: Option<&str>, role: Option<&str>) -> Signer {
    Signer {
        service: "aps".to_owned(),
        region: None,
        profile: profile.map(str::to_owned),
        role: role.map(str::to_owned),
    }
}

/// What a chain is, in a line.
fn told(chain: &Chain) -> String {
    let base = match &chain.base {
        Base::Keys(keys) => format!("keys {}", keys.id),
        Base::WebIdentity { role, token_file } => format!("web {role} {token_file}"),
        Base::Container { url, token } => {
            let token = match token {
                Token::None => "none".to_owned(),
                Token::Text(_) => "text".to_owned(),
                Token::File(path) => path.clone(),
            };
            format!("container {url} {token}")
        }
        Base::Instance { endpoint } => format!("instance {endpoint}"),
    };
    let roles = chain.roles.iter().map(|role| {
        let id = role.external_id.as_ref();
        format!(
            "{}{}",
            role.arn,
            id.map(|id| format!("({id})")).unwrap_or_default()
        )
    });
    let parts: Vec<String> = std::iter::once(base).chain(roles).collect();
    format!("{} in {}", parts.join(" > "), chain.region)
}

const CONFIG: &str = "
[default]
region = eu-west-1
[profile admin]
role_arn = arn:admin
source_profile = base   # the keys below
external_id = x1
[profile twice]
role_arn = arn:twice
source_profile = admin
[profile own]
role_arn = arn:own
source_profile = own
[profile loop]
role_arn = arn:loop
source_profile = loop2
[profile loop2]
role_arn = arn:loop2
source_profile = loop
[profile irsa]
role_arn = arn:irsa
web_identity_token_file = /token
[profile pod]
role_arn = arn:pod
credential_source = EcsContainer
[profile machine]
role_arn = arn:machine
credential_source = Ec2InstanceMetadata
[profile process]
credential_process = /bin/sh
[profile empty]
output = json
s3 =
  max_concurrent_requests = 20
[sso-session x]
sso_region = us-east-1
";
const CREDENTIALS: &str = "
; comment
[base]
aws_access_key_id = BASE
aws_secret_access_key = s
[own]
aws_access_key_id=OWN
aws_secret_access_key=s
";

/// `Ok` is the chain, `Err` a part of the message.
fn check(signer: &Signer, pairs: &[(&str, &str)], expected: Result<&str, &str>) {
    let profiles = Profiles::parse(CONFIG, CREDENTIALS);
    match (
        chain::resolve(signer, &variables(pairs), &profiles),
        expected,
    ) {
        (Ok(found), Ok(text)) => assert_eq!(told(&found), text),
        (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{error}"),
        (found, expected) => panic!("{signer:?} {pairs:?}: {found:?}, not {expected:?}"),
    }
}

#[test]
fn the_environment_comes_first() {
    let keys = [("AWS_ACCESS_KEY_ID", "ENV"), ("AWS_SECRET_ACCESS_KEY", "s")];
    check(&signer(None, None), &keys, Ok("keys ENV in eu-west-1"));
    check(
        &signer(None, Some("arn:r")),
        &keys,
        Ok("keys ENV > arn:r in eu-west-1"),
    );
    check(
        &signer(Some("base"), None),
        &[keys[0], keys[1], ("AWS_REGION", "r")],
        Ok("keys BASE in r"),
    );
    check(&signer(None, None), &[keys[0]], Err("go together"));
    let web = [
        ("AWS_WEB_IDENTITY_TOKEN_FILE", "/t"),
        ("AWS_ROLE_ARN", "arn:w"),
        ("AWS_REGION", "us-east-1"),
    ];
    check(&signer(None, None), &web, Ok("web arn:w /t in us-east-1"));
    check(
        &signer(None, Some("arn:r")),
        &web,
        Ok("web arn:w /t > arn:r in us-east-1"),
    );
    check(&signer(None, None), &web[..1], Err("AWS_ROLE_ARN"));
}

#[test]
fn profiles() {
    let region = [("AWS_DEFAULT_REGION", "r")];
    check(
        &signer(Some("admin"), None),
        &region,
        Ok("keys BASE > arn:admin(x1) in r"),
    );
    check(
        &signer(None, None),
        &[region[0], ("AWS_PROFILE", "admin")],
        Ok("keys BASE > arn:admin(x1) in r"),
    );
    check(
        &signer(Some("twice"), Some("arn:last")),
        &region,
        Ok("keys BASE > arn:admin(x1) > arn:twice > arn:last in r"),
    );
    check(
        &signer(Some("own"), None),
        &region,
        Ok("keys OWN > arn:own in r"),
    );
    check(
        &signer(Some("irsa"), None),
        &region,
        Ok("web arn:irsa /token in r"),
    );
    check(
        &signer(Some("machine"), None),
        &region,
        Ok("instance http://169.254.169.254/ > arn:machine in r"),
    );
    check(
        &signer(Some("pod"), None),
        &[region[0], ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/x")],
        Ok("container http://169.254.170.2/x none > arn:pod in r"),
    );
    check(&signer(Some("pod"), None), &region, Err("no source"));
    check(&signer(Some("loop"), None), &region, Err("too many roles"));
    check(
        &signer(Some("process"), None),
        &region,
        Err("from a program"),
    );
    check(
        &signer(Some("empty"), None),
        &region,
        Err("neither keys nor a role"),
    );
    check(
        &signer(Some("missing"), None),
        &region,
        Err("do not have it"),
    );
    check(&signer(Some("base"), None), &[], Err("no region"));
}

#[test]
fn what_is_around() {
    let none = signer(None, None);
    check(
        &none,
        &[],
        Ok("instance http://169.254.169.254/ in eu-west-1"),
    );
    check(
        &none,
        &[("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE", "IPv6")],
        Ok("instance http://[fd00:ec2::254]/ in eu-west-1"),
    );
    check(
        &none,
        &[("AWS_EC2_METADATA_DISABLED", "true")],
        Err("DISABLED"),
    );
    let full = "AWS_CONTAINER_CREDENTIALS_FULL_URI";
    let file = ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "/f");
    check(
        &none,
        &[(full, "http://169.254.170.23/v1/credentials"), file],
        Ok("container http://169.254.170.23/v1/credentials /f in eu-west-1"),
    );
    check(
        &none,
        &[
            (full, "http://[fd00:ec2::23]/v1"),
            ("AWS_CONTAINER_AUTHORIZATION_TOKEN", "t"),
        ],
        Ok("container http://[fd00:ec2::23]/v1 text in eu-west-1"),
    );
    check(
        &none,
        &[(full, "http://127.0.0.1:80/")],
        Ok("container http://127.0.0.1/ none in eu-west-1"),
    );
    check(
        &none,
        &[(full, "https://any.example/")],
        Ok("container https://any.example/ none in eu-west-1"),
    );
    for url in [
        "http://evil.example/",
        "http://10.0.0.1/",
        "http://169.254.169.254/",
        "ftp://169.254.170.2/",
        "x",
    ] {
        check(
            &none,
            &[(full, url)],
            Err("AWS_CONTAINER_CREDENTIALS_FULL_URI"),
        );
    }
    check(
        &none,
        &[("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "@evil.example/")],
        Err("begin with /"),
    );
}

/// `Ok` is the key's name, `Err` a part of the message.
fn answered(found: Result<Keys, Error>, expected: Result<&str, &str>) {
    match (found, expected) {
        (Ok(keys), Ok(id)) => assert_eq!(keys.id, id),
        (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{error}"),
        (found, expected) => panic!("{found:?}, not {expected:?}"),
    }
}

#[test]
fn answers() {
    let keys = r#"{"Code":"Success","AccessKeyId":"A","SecretAccessKey":"S","Token":"T","Expiration":"2030-01-01T00:00:00Z"}"#;
    answered(container::parse(200, keys.as_bytes()), Ok("A"));
    answered(instance::parse(200, keys.as_bytes()), Ok("A"));
    answered(
        container::parse(200, br#"{"Code":"Failed"}"#),
        Err("no keys"),
    );
    answered(
        container::parse(
            200,
            br#"{"AccessKeyId":"A","SecretAccessKey":"hidden","Expiration":"soon"}"#,
        ),
        Err("no keys"),
    );
    answered(container::parse(403, b"no\n"), Err("403: no "));
    let xml = "<AssumeRoleResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><AssumeRoleResult><Credentials>\
        <AccessKeyId>A</AccessKeyId><SecretAccessKey>S</SecretAccessKey><SessionToken>T</SessionToken>\
        <Expiration>2030-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>";
    answered(sts::parse(200, xml.as_bytes()), Ok("A"));
    answered(sts::parse(200, b"<html/>"), Err("no keys"));
    let refused = "<ErrorResponse><Error><Code>AccessDenied</Code><Message>not allowed</Message></Error></ErrorResponse>";
    answered(
        sts::parse(403, refused.as_bytes()),
        Err("403: AccessDenied not allowed"),
    );
    answered(sts::parse(500, b"oops"), Err("500: oops"));
    assert_eq!(instance::parse_text(200, b"role\nother").unwrap(), "role");
    assert!(instance::parse_text(200, b"").is_err());
    assert!(instance::parse_text(404, b"x").is_err());
}

#[test]
fn sts_is_asked_in_its_region() {
    let url = |region: &str, pairs: &[(&str, &str)]| {
        let service = sts::Service::of(region, &variables(pairs)).unwrap();
        service.url.to_string()
    };
    assert_eq!(
        url("us-east-1", &[]),
        "https://sts.us-east-1.amazonaws.com/"
    );
    assert_eq!(
        url("cn-north-1", &[]),
        "https://sts.cn-north-1.amazonaws.com.cn/"
    );
    assert_eq!(
        url("r", &[("AWS_ENDPOINT_URL_STS", "http://127.0.0.1:1/")]),
        "http://127.0.0.1:1/"
    );
}
