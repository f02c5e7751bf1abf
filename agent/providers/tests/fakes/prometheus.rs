//! Prometheus' `POST /api/v1/query`. In: a form. Out: a vector of one series.

use super::{Fake, Seen, holds, same};

pub fn fake() -> Fake {
    Box::new(|seen: &Seen| {
        seen.is("POST", "/api/v1/query")?;
        let kind = "application/x-www-form-urlencoded";
        same("content type", seen.header("content-type"), kind)?;
        let form = reqwest::Url::parse(&format!("http://form/?{}", seen.body)).unwrap();
        let query = form.query_pairs().find(|(name, _)| name == "query");
        let query = query.ok_or("no query")?.1.into_owned();
        holds(
            "query",
            &query,
            r#"http_requests_total{service="cart",code!~"5.."}[2m]"#,
        )?;
        Ok(r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1769860800,"0.99"]}]}}"#.to_owned())
    })
}
