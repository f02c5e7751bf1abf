//! Kayenta's `GET /canaryConfig`, `POST /canary/{config}` and `GET /canary/{execution}`. In: a configuration by name,
//! scopes. Out: an execution that is complete when it is asked after a second time.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;

use super::{Fake, Reply, Seen, same};

pub fn fake() -> Fake {
    let looks = AtomicUsize::new(0);
    Box::new(move |seen: &Seen| match seen.path.as_str() {
        "/canaryConfig" => configs(seen),
        "/canary/config-1" => begin(seen),
        _ => look(seen, looks.fetch_add(1, Ordering::Relaxed)),
    })
}

fn configs(seen: &Seen) -> Reply {
    seen.is("GET", "/canaryConfig")?;
    same("application", seen.asks("application")?, "guestbook")?;
    same(
        "account",
        seen.asks("configurationAccountName")?,
        "my-configurations",
    )?;
    let config =
        |id: &str, name: &str| json!({"id": id, "name": name, "applications": ["guestbook"]});
    Ok(json!([config("config-0", "other"), config("config-1", "my-test")]).to_string())
}

fn begin(seen: &Seen) -> Reply {
    seen.is("POST", "/canary/config-1")?;
    for (name, expected) in [
        ("application", "guestbook"),
        ("metricsAccountName", "my-metrics"),
        ("configurationAccountName", "my-configurations"),
        ("storageAccountName", "my-storage"),
    ] {
        same(name, seen.asks(name)?, expected)?;
    }
    let side = |hash: &str| {
        json!({
            "scope": format!("app=guestbook and rollouts-pod-template-hash={hash}"),
            "step": 60, "start": "2026-01-31T11:00:00Z", "end": "2026-01-31T12:00:00Z",
        })
    };
    let expected = json!({
        "scopes": {"default": {"controlScope": side("aaa"), "experimentScope": side("bbb")}},
        "thresholds": {"pass": 90, "marginal": 75},
    });
    same("body", seen.json()?, expected)?;
    Ok(r#"{"canaryExecutionId":"execution-1"}"#.to_owned())
}

fn look(seen: &Seen, earlier: usize) -> Reply {
    seen.is("GET", "/canary/execution-1")?;
    Ok(if earlier == 0 {
        json!({"complete": false, "status": "running"})
    } else {
        json!({"complete": true, "status": "succeeded", "result": {"judgeResult": {"score": {"score": 95.5, "classification": "Pass"}}}})
    }
    .to_string())
}
