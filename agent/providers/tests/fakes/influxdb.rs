//! InfluxDB's `POST /api/v2/query`. In: Flux. Out: annotated CSV with one record.

use serde_json::json;

use super::{Fake, Seen, holds, same};

pub fn fake() -> Fake {
    Box::new(|seen: &Seen| {
        seen.is("POST", "/api/v2/query")?;
        same("org", seen.asks("org")?, "my-org")?;
        same("token", seen.header("authorization"), "Token my-token")?;
        same("accept", seen.header("accept"), "application/csv")?;
        let asked = seen.json()?;
        same("type", &asked["type"], &json!("flux"))?;
        let flux = asked["query"].as_str().unwrap_or_default();
        holds("query", flux, r#"r["destination_workload"] == "cart""#)?;
        let annotations = json!(["datatype", "group", "default"]);
        same(
            "annotations",
            &asked["dialect"]["annotations"],
            &annotations,
        )?;
        Ok("#datatype,string,long,double\r\n#group,false,false,false\r\n#default,_result,,\r\n,result,table,_value\r\n,,0,0.004\r\n\r\n".to_owned())
    })
}
