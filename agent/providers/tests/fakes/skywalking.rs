//! SkyWalking's `POST /graphql`. In: a query with `$duration`. Out: its values.

use serde_json::json;

use super::{Fake, Seen, holds, same};

pub fn fake() -> Fake {
    Box::new(|seen: &Seen| {
        seen.is("POST", "/graphql")?;
        let asked = seen.json()?;
        let query = asked["query"].as_str().unwrap_or_default();
        holds("query", query, r#"serviceName: "cart""#)?;
        let duration = &asked["variables"]["duration"];
        same("step", &duration["step"], &json!("MINUTE"))?;
        let minute = |name: &str| {
            let text = duration[name].as_str()?;
            jiff::civil::DateTime::strptime("%Y-%m-%d %H%M", text).ok()
        };
        let (start, end) = minute("start").zip(minute("end")).ok_or("no minutes")?;
        same("window", end.duration_since(start).as_mins(), 3)?;
        let values = json!([{"value": 9950}, {"value": 10_000}]);
        Ok(
            json!({"data": {"service_apdex": {"label": null, "values": {"values": values}}}})
                .to_string(),
        )
    })
}
