//! A web server of somebody's own. In: a GET with a token, a POST with JSON. Out: JSON.

use serde_json::json;

use super::{Fake, Seen, same};

pub fn fake() -> Fake {
    Box::new(|seen: &Seen| {
        same("token", seen.header("authorization"), "Bearer my-token")?;
        if seen.method == "GET" {
            seen.is("GET", "/api/v1/measurement")?;
            same("service", seen.asks("service")?, "cart")?;
            return Ok(r#"{"data":{"ok":true,"successPercent":0.99}}"#.to_owned());
        }
        seen.is("POST", "/api/v1/replay")?;
        same("body", seen.json()?, json!({"service": "cart"}))?;
        Ok(r#"{"errors":{"count":1,"rate":"0.002"}}"#.to_owned())
    })
}
