//! Token requests and answers as data.

use super::*;

fn client(id: &str, secret: &str, scopes: &[&str]) -> Client {
    Client {
        token_url: Url::parse("https://id.example/token").unwrap(),
        id: id.to_owned(),
        secret: secret.to_owned().into(),
        scopes: scopes.iter().map(|one| (*one).to_owned()).collect(),
    }
}

#[test]
fn requests() {
    let header = request(&client("a b", "c:d", &["x", "y"]), Style::Header, false);
    let Body::Form(form) = &header.body else {
        panic!("{header:?}");
    };
    assert_eq!(
        form.expose_secret(),
        "grant_type=client_credentials&scope=x+y"
    );
    let (name, value) = header.headers.last().unwrap();
    assert_eq!(name, "authorization");
    assert_eq!(value.expose_secret(), "Basic YStiOmMlM0Fk", "a+b:c%3Ad");
    let body = request(&client("a b", "c:d", &[]), Style::Body, true);
    let Body::Form(form) = &body.body else {
        panic!("{body:?}");
    };
    assert_eq!(
        form.expose_secret(),
        "grant_type=client_credentials&client_id=a+b&client_secret=c%3Ad"
    );
    assert!(body.insecure);
    assert!(!format!("{header:?}{body:?}").contains("c:d"));
}

/// `Ok` is the token and its seconds, `Err` a part of the message.
fn check(status: u16, body: &str, expected: Result<(&str, u64), &str>) {
    let url = Url::parse("https://id.example/token").unwrap();
    match (parse(&url, status, body.as_bytes()), expected) {
        (Ok(found), Ok((token, seconds))) => {
            assert_eq!(found.value.expose_secret(), token, "{body}");
            assert_eq!(found.holds.as_secs(), seconds, "{body}");
        }
        (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{error}"),
        (found, expected) => panic!("{status} {body}: {found:?}, not {expected:?}"),
    }
}

#[test]
fn answers() {
    check(
        200,
        r#"{"access_token":"t","token_type":"Bearer","expires_in":60}"#,
        Ok(("t", 50)),
    );
    check(
        200,
        r#"{"access_token":"t","token_type":"bearer","expires_in":"60"}"#,
        Ok(("t", 50)),
    );
    check(200, r#"{"access_token":"t"}"#, Ok(("t", 300)));
    check(200, r#"{"access_token":"t","expires_in":5}"#, Ok(("t", 0)));
    check(
        200,
        r#"{"access_token":"t","expires_in":1e99}"#,
        Ok(("t", 3590)),
    );
    check(
        200,
        r#"{"access_token":"t","expires_in":-1}"#,
        Ok(("t", 300)),
    );
    check(
        200,
        r#"{"access_token":"t","token_type":"mac"}"#,
        Err("not bearer"),
    );
    check(200, r#"{"access_token":""}"#, Err("no access_token"));
    check(200, "{}", Err("no access_token"));
    check(200, "<html>", Err("cannot be read"));
    check(
        401,
        r#"{"error":"invalid_client","error_description":"no\nsuch"}"#,
        Err("invalid_client no such"),
    );
    check(200, r#"{"error":"invalid_client"}"#, Err("invalid_client"));
    check(503, "down", Err("503: down"));
    check(500, "{}", Err("no reason"));
}

#[test]
fn another_secret_is_another_client() {
    let of = |secret: &str| Whose::of(&client("a", secret, &[]), false);
    assert!(of("one") != of("two"));
    assert!(of("one") == of("one"));
}
