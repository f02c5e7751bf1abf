//! Whatever a server says, reading it ends without a panic. In: any bytes, and answers with pieces put out of place.

use agent_api::provider::WebMetric;
use agent_providers::auth::{aws, oauth2};
use agent_providers::json_path::JsonPath;
use agent_providers::prometheus::{self, moment};
use agent_providers::{quote, web};
use proptest::prelude::*;

/// An answer of one of the protocols, cut and spliced.
fn answers() -> impl Strategy<Value = Vec<u8>> {
    const WHOLE: [&str; 6] = [
        r#"{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":[[1,"1"],[2,"NaN"]]}]}}"#,
        r#"{"status":"success","warnings":["w"],"data":{"resultType":"vector","result":[{"metric":{},"value":[1,"1"]}]}}"#,
        r#"{"access_token":"t","token_type":"bearer","expires_in":3600,"error":null}"#,
        r#"{"Code":"Success","AccessKeyId":"A","SecretAccessKey":"S","Token":"T","Expiration":"2030-01-01T00:00:00Z"}"#,
        "<R xmlns=\"u\"><C><AccessKeyId>A</AccessKeyId><SecretAccessKey>S</SecretAccessKey><Expiration>2030-01-01T00:00:00Z</Expiration></C></R>",
        r#"{"a":[{"b":1},{"b":"x"},null,[[]]],"c":1e308}"#,
    ];
    let spliced = (
        0..WHOLE.len(),
        any::<prop::sample::Index>(),
        any::<prop::sample::Index>(),
        any::<Vec<u8>>(),
    );
    let spliced = spliced.prop_map(|(which, from, to, between)| {
        let whole = WHOLE[which].as_bytes();
        let (from, to) = (from.index(whole.len()), to.index(whole.len()));
        [&whole[..from], &between, &whole[to..]].concat()
    });
    prop_oneof![any::<Vec<u8>>(), spliced]
}

/// A template of pieces, most of them meant.
fn paths() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "{", "}", "$", "@", ".", "..", "a", "b", "*", "[", "]", "[0]", "[-1]", "[1:]", "[::2]",
        "['a']", "[?(", ")]", "==", "<", "'x'", "\"", "range ", "end", "true", "1", "\\", ",", " ",
        "ü",
    ]);
    let pieces = prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat());
    prop_oneof![
        any::<String>(),
        pieces.clone(),
        pieces.prop_map(|inside| format!("{{{inside}}}"))
    ]
}

proptest! {
    #[test]
    fn any_answer_is_read_or_refused(status in 0u16..1000, body in answers()) {
        let _ = prometheus::parse(status, &body);
        let _ = oauth2::parse(&"http://a/".parse().unwrap(), status, &body);
        let _ = aws::sts::parse(status, &body);
        let _ = aws::container::parse(status, &body);
        let _ = aws::instance::parse_text(status, &body);
        for path in ["{$}", "{.a[*].b}", "{..b}"] {
            let metric = WebMetric { json_path: Some(path.to_owned()), ..WebMetric::default() };
            let _ = web::parse(&metric, status, &body);
        }
        prop_assert!(!quote::quote_bytes(&body).contains(char::is_control));
    }

    #[test]
    fn any_path_is_read_or_refused(path in paths()) {
        let document = serde_json::json!({"a": [{"b": 1}, {"b": "x"}, null, [[1]]], "b": {"a": {"a": 2}}});
        if let Ok(path) = JsonPath::parse(&path) {
            let _ = path.find(&document);
        }
    }

    #[test]
    fn any_time_is_read_or_refused(text in r#"(now\(\)|duration\("[0-9a-z]{0,4}"\)|date\('[0-9T:-]{0,12}'\)|[-+*(). ]|.){0,8}"#) {
        let _ = moment::evaluate(&text, jiff::Timestamp::UNIX_EPOCH);
    }

    #[test]
    fn any_profile_is_read(config in any::<String>(), credentials in r"(\[[a-z ]{0,9}\]|[a-z_]{0,9} ?= ?[a-z]{0,5}|[ #;\n]){0,20}") {
        let profiles = aws::profile::Profiles::parse(&config, &credentials);
        let _ = profiles.get("default", "region");
    }
}
