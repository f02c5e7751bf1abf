//! Datadog's `GET /api/v1/query` and `POST /api/v2/query/scalar`. In: queries with both keys. Out: points, a scalar.

use serde_json::json;

use super::{Fake, Reply, Seen, apart, same};

pub fn fake() -> Fake {
    Box::new(|seen: &Seen| {
        same("api key", seen.header("dd-api-key"), "my-api-key")?;
        same(
            "application key",
            seen.header("dd-application-key"),
            "my-application-key",
        )?;
        match seen.path.as_str() {
            "/api/v1/query" => points(seen),
            _ => scalar(seen),
        }
    })
}

fn points(seen: &Seen) -> Reply {
    seen.is("GET", "/api/v1/query")?;
    let query = "max:kubernetes.containers.restarts{service:cart}";
    same("query", seen.asks("query")?, query)?;
    let time = |name| seen.asks(name).ok().and_then(|text| text.parse().ok());
    apart(time("from"), time("to"), 300)?;
    Ok(r#"{"status":"ok","series":[{"scope":"service:cart","pointlist":[[1769860740000,2],[1769860800000,0]]}]}"#.to_owned())
}

fn scalar(seen: &Seen) -> Reply {
    seen.is("POST", "/api/v2/query/scalar")?;
    let data = &seen.json()?["data"];
    same("type", &data["type"], &json!("scalar_request"))?;
    let asked = &data["attributes"];
    apart(asked["from"].as_i64(), asked["to"].as_i64(), 300_000)?;
    same(
        "formulas",
        &asked["formulas"],
        &json!([{"formula": "errors / all * 100"}]),
    )?;
    let query = |name: &str, query: &str| json!({"aggregator": "sum", "data_source": "metrics", "name": name, "query": query});
    let queries = json!([
        query("all", "sum:requests{service:cart}.as_count()"),
        query("errors", "sum:requests.errors{service:cart}.as_count()"),
    ]);
    same("queries", &asked["queries"], &queries)?;
    Ok(r#"{"data":{"type":"scalar_response","attributes":{"columns":[{"name":"errors / all * 100","type":"number","values":[1.5],"meta":{"unit":null}}]}}}"#.to_owned())
}
