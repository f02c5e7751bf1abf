//! Answers that mean nothing good (F47), measured as an analysis would. In: a body, conditions. Out: the verdict.

use agent_providers::{Outcome, Settings, Transport};
use serde_json::{Value, json};

use crate::fake::{Fake, Reply, measure, transport};

/// What a server says and what is made of it: provider or jsonPath, status, body, success condition, failure condition,
/// phase, a part of the message or of the value. `V(x)` stands for Prometheus' answer of one series with this value.
const ROWS: &str = r#"
prometheus | 200 | V(NaN)  | result[0] >= 0.95 | | Failed | [NaN]
prometheus | 200 | V(NaN)  | | result[0] < 0.95 | Successful | [NaN]
prometheus | 200 | V(+Inf) | result[0] >= 0.95 | | Successful | [+Inf]
prometheus | 200 | V(-Inf) | result[0] >= 0.95 | | Failed | [-Inf]
prometheus | 200 | V(0.5)  | result[0] >= 0.95 | | Failed | [0.5]
prometheus | 200 | V(x)    | | | Error | no number
prometheus | 200 | V()     | result[0] >= 0.95 | | Error | out of range
prometheus | 200 | V()     | | result[0] < 0.95 | Error | out of range
prometheus | 200 | V()     | | | Successful | []
prometheus | 200 | <html>login</html> | result[0] >= 0.95 | | Error | cannot be read
prometheus | 200 | <html>login</html> | | | Error | cannot be read
prometheus | 200 | | | | Error | cannot be read
prometheus | 200 | null | | | Error | cannot be read
prometheus | 200 | {"status":"success","data":null} | | | Error | no data
prometheus | 200 | {"status":"success","data":{"resultType":"vector","result":null}} | | | Error | cannot be read
prometheus | 200 | {"status":"error","errorType":"execution","error":"query timed out"} | | | Error | query timed out
prometheus | 200 | {"status":"error"} | | | Error | 200
prometheus | 422 | {"status":"error","error":"bad"} | | | Error | 422: bad
prometheus | 503 | <html>down</html> | | | Error | 503
prometheus | 204 | | | | Error | cannot be read
{$.rate} | 200 | {"rate":0.95} | result > 0.9 | | Successful | 0.95
{$.rate} | 200 | {"rate":"NaN"} | result > 0.9 | | Error | NaN
{$.rate} | 200 | {"rate":"NaN"} | asFloat(result) > 0.9 | | Failed | NaN
{$.rate} | 200 | {"rate":NaN} | | | Error | no JSON
{$.rate} | 200 | {"rate":null} | result > 0.9 | | Error | failed
{$.rate} | 200 | {"rate":null} | default(result, 1) > 0.9 | | Successful | null
{$.rate} | 200 | {"rate":null} | isNil(result) | | Successful | null
{$.rate} | 200 | {"rate":[]} | result[0] > 0.9 | | Error | out of range
{$.rate} | 200 | {"error":"down"} | | | Error | not found
{$.rate} | 200 | [] | | | Error | not found
{$.rate} | 200 | <html>login</html> | | | Error | no JSON
{$.rate} | 200 | | | | Error | no JSON
{$.rate} | 500 | {"rate":1} | | | Error | 500
{$.ok} | 200 | {"ok":true} | result | | Successful | true
{$.ok} | 200 | {"ok":"true"} | result | | Error | a string
{$} | 200 | <html>down</html> | result == 'up' | | Failed | down
{$} | 200 | up | trim(result) == 'up' | | Successful | up
{$} | 200 | <html>down</html> | | result contains 'down' | Failed | down
{$} | 200 | {"a":{"b":2}} | result.a.b == 2 | | Successful | "b":2
{$} | 200 | {"a":{}} | result.a.b > 2 | | Error | failed
{$} | 200 | {"a":{}} | result.b.c > 2 | | Error | failed
"#;

fn series(inside: &str) -> String {
    let one = match inside {
        "" => String::new(),
        number => format!(r#"{{"metric":{{}},"value":[1,"{number}"]}}"#),
    };
    format!(r#"{{"status":"success","data":{{"resultType":"vector","result":[{one}]}}}}"#)
}

async fn check(transport: &Transport, row: &str) {
    let cells: Vec<&str> = row.split('|').map(str::trim).collect();
    let [asked, status, body, success, failure, phase, part] = cells[..] else {
        panic!("{row}")
    };
    let short = body
        .strip_prefix("V(")
        .and_then(|rest| rest.strip_suffix(')'));
    let sent = short.map_or_else(|| body.to_owned(), series);
    let status = status.parse().unwrap();
    let fake = Fake::start(move |_, _| Reply::Text(status, sent.clone())).await;
    let provider: Value = match asked {
        "prometheus" => json!({"prometheus": {"address": fake.url(""), "query": "up"}}),
        path => json!({"web": {"url": fake.url("/"), "jsonPath": path}}),
    };
    let metric = json!({
        "name": "rate", "provider": provider, "successCondition": success, "failureCondition": failure,
    });
    let Outcome::Over {
        judgement, value, ..
    } = measure(transport, metric).await
    else {
        panic!("{row}")
    };
    let (message, value) = (
        judgement.message.unwrap_or_default(),
        value.unwrap_or_default(),
    );
    assert_eq!(
        format!("{:?}", judgement.phase),
        phase,
        "{row}: {message} {value}"
    );
    assert!(
        format!("{message} {value}").contains(part),
        "{row}: {message} {value}"
    );
}

#[tokio::test]
async fn f47_answers_that_mean_nothing_good() {
    let transport = transport(Settings::default());
    let rows: Vec<&str> = ROWS.lines().filter(|row| !row.is_empty()).collect();
    assert_eq!(rows.len(), 41);
    for row in rows {
        check(&transport, row).await;
    }
}
