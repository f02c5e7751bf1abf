//! New Relic's NerdGraph, `POST /graphql`. In: a GraphQL query with an NRQL query in its variables. Out: rows.

use serde_json::json;

use super::{Fake, Seen, holds, same};

pub fn fake() -> Fake {
    Box::new(|seen: &Seen| {
        seen.is("POST", "/graphql")?;
        same("key", seen.header("api-key"), "NRAK-my-key")?;
        let asked = seen.json()?;
        let graphql = asked["query"].as_str().unwrap_or_default();
        for part in [
            "$account: Int!",
            "$query: Nrql!",
            "account(id: $account)",
            "results",
        ] {
            holds("query", graphql, part)?;
        }
        let variables = &asked["variables"];
        same("account", &variables["account"], &json!(1_234_567))?;
        let nrql = variables["query"].as_str().unwrap_or_default();
        holds("NRQL", nrql, "appName = 'cart'")?;
        let rows = if nrql.contains("FACET") {
            json!([{"facet": "a", "average.duration": 0.1}, {"facet": "b", "average.duration": 0.4}])
        } else {
            json!([{"successRate": 99.5}])
        };
        Ok(json!({"data": {"actor": {"account": {"nrql": {"results": rows}}}}}).to_string())
    })
}
