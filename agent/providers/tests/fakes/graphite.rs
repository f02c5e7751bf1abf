//! Graphite's `GET /render`. In: a target. Out: one series, its last point without a value.

use super::{Fake, Seen, holds, same};

pub fn fake() -> Fake {
    Box::new(|seen: &Seen| {
        seen.is("GET", "/render")?;
        same("format", seen.asks("format")?, "json")?;
        same("from", seen.asks("from")?, "-10min")?;
        let target = seen.asks("target")?;
        holds(
            "target",
            target,
            "sumSeries(stats.timers.cart.outcome.{SUCCESS,REDIRECTION}.count)",
        )?;
        holds("target", target, "'5min', 'avg'")?;
        Ok(r#"[{"target":"summarize","tags":{},"datapoints":[[99.5,1769860200],[98.0,1769860500],[null,1769860800]]}]"#.to_owned())
    })
}
