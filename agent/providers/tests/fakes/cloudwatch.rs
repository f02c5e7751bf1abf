//! CloudWatch's `GetMetricData` in JSON 1.0. In: a signed request. Out: one result with two values.

use serde_json::{Value, json};

use super::{Fake, Seen, apart, holds, same};

pub fn fake() -> Fake {
    Box::new(|seen: &Seen| {
        seen.is("POST", "/")?;
        same(
            "content type",
            seen.header("content-type"),
            "application/x-amz-json-1.0",
        )?;
        let target = "GraniteServiceVersion20100801.GetMetricData";
        same("target", seen.header("x-amz-target"), target)?;
        let signature = seen.header("authorization");
        for part in [
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/",
            "/eu-central-1/monitoring/aws4_request",
        ] {
            holds("signature", signature, part)?;
        }
        let asked: Value = serde_json::from_str(&seen.body).map_err(|error| error.to_string())?;
        apart(asked["StartTime"].as_i64(), asked["EndTime"].as_i64(), 900)?;
        let queries = &asked["MetricDataQueries"];
        same(
            "first",
            &queries[0],
            &json!({"Id": "rate", "Expression": "errors / requests"}),
        )?;
        let dimension = &queries[1]["MetricStat"]["Metric"]["Dimensions"][0];
        same(
            "dimension",
            dimension,
            &json!({"Name": "LoadBalancer", "Value": "app/cart/1"}),
        )?;
        same("period", &queries[2]["MetricStat"]["Period"], &json!(300))?;
        let result = json!({"Id": "rate", "Label": "rate", "StatusCode": "Complete", "Timestamps": [2, 1], "Values": [0.001, 0.0]});
        Ok(json!({"MetricDataResults": [result], "Messages": []}).to_string())
    })
}
