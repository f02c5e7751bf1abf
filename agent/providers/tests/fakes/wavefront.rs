//! Wavefront's `GET /api/v2/chart/api`. In: a query at one moment. Out: one series with a point beside it.

use serde_json::json;

use super::{Fake, Seen, holds, same};

pub fn fake() -> Fake {
    Box::new(|seen: &Seen| {
        seen.is("GET", "/api/v2/chart/api")?;
        same("token", seen.header("authorization"), "Bearer my-token")?;
        holds("query", seen.asks("q")?, r#"destination_service="cart""#)?;
        for (name, expected) in [("g", "s"), ("p", "1"), ("i", "true")] {
            same(name, seen.asks(name)?, expected)?;
        }
        same("end", seen.asks("e")?, seen.asks("s")?)?;
        let now: i64 = seen.asks("s")?.parse().map_err(|_| "no time".to_owned())?;
        let point = json!([now / 1000 - 30, 0.97]);
        Ok(
            json!({"query": "q", "timeseries": [{"label": "a", "data": [point]}], "stats": {}})
                .to_string(),
        )
    })
}
