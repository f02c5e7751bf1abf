//! Servers that do wrong, end to end through measurer and engine (F46, F47, F48, F49 of the fault catalogue). In: what they
//! answer. Out: a verdict that is never a success, and other runs that do not notice.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use agent_api::{AnalysisRun, AnalysisRunStatus};
use agent_engine::analysis::{Action, Observed, reconcile};
use serde_json::json;

use super::*;

pub const GOOD: &str = r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1,"0.98"]}]}}"#;

/// F46. As many as one server may be asked at a time, and some more, wait for it; a run that asks another is on time.
#[tokio::test]
async fn f46_a_server_that_never_replies_delays_no_other_run() {
    let silent = World::new(Some(prometheus(None).await));
    for index in 0..600 {
        let key = ObjectKey::new("shop", format!("silent-{index}"));
        let run: Uid = format!("silent-{index}").as_str().into();
        silent.measurer.start(&key, &run, question(metric(Some(2))));
    }
    let mut other = metric(None);
    let address = prometheus(Some(GOOD)).await;
    if let Some(prometheus) = other.provider.prometheus.as_mut() {
        prometheus.address = Some(address);
    }
    let began = Instant::now();
    let finished = silent.measure(other).await;
    assert_eq!(finished.phase, AnalysisPhase::Successful, "{finished:?}");
    let took = began.elapsed();
    assert!(took < Duration::from_secs(1), "{took:?}");
    let first: Uid = "silent-0".into();
    loop {
        let work = silent.queue.next().await;
        silent.queue.done(&work);
        let (_, finished) = silent.measurer.under_way(&first, Moment::read());
        if let Some(ended) = finished.first() {
            assert_eq!(ended.phase, AnalysisPhase::Error, "a hard time limit");
            break;
        }
    }
}

/// Answers each request with the next of a script, and with the last one for ever.
async fn scripted(script: Vec<(u16, String)>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let at = AtomicUsize::new(0);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0_u8; 4096];
            let _ = stream.read(&mut request).await;
            let index = at.fetch_add(1, Ordering::SeqCst).min(script.len() - 1);
            let (status, body) = &script[index];
            let head = format!(
                "HTTP/1.1 {status} x\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                body.len()
            );
            let _ = stream.write_all(format!("{head}{body}").as_bytes()).await;
        }
    });
    format!("http://{address}")
}

/// Leads a run to its end; the clock goes on to whatever time the engine asks for.
pub async fn led(world: &World, metric: serde_json::Value) -> AnalysisRunStatus {
    let mut run: AnalysisRun = serde_json::from_value(json!({
        "metadata": {"name": "run", "namespace": "shop", "uid": "uid"},
        "spec": {"metrics": [metric]},
    }))
    .unwrap();
    let mut now = Timestamp::now();
    for _ in 0..100 {
        let (in_flight, finished) = world.measurer.under_way(&world.run, Moment::read());
        let count = finished.len();
        let plan = reconcile(&Observed {
            now,
            clock_set: <_>::default(),
            run: run.clone(),
            finished,
            in_flight,
            bad_conditions: BTreeMap::new(),
            told: agent_engine::analysis::Told::NoOwner,
        });
        world.measurer.settle(&world.run, count);
        if plan.status.phase.is_some_and(AnalysisPhase::is_completed) {
            return plan.status;
        }
        run.status = Some(plan.status);
        let mut asked = false;
        for action in plan.actions {
            if let Action::Measure { resolved, .. } = action {
                world
                    .measurer
                    .start(&world.key, &world.run, question(*resolved));
                asked = true;
            }
        }
        if asked {
            let work = world.queue.next().await;
            world.queue.done(&work);
            now = now.max(Timestamp::now());
        } else if let Some(wake) = plan.wake {
            now = now.max(wake);
        }
    }
    panic!("no end: {:?}", run.status);
}

fn rate(limit: Option<i32>) -> serde_json::Value {
    let mut metric = json!({
        "name": "rate", "count": 3, "interval": "1s", "successCondition": "result[0] >= 0.95",
        "provider": {"prometheus": {"query": "rate"}},
    });
    if let Some(limit) = limit {
        metric["consecutiveErrorLimit"] = json!(limit);
    }
    metric
}

/// F49. So many errors in a row as the limit are borne, one more is not; a good answer in between begins anew.
#[tokio::test]
async fn f49_errors_in_a_row_at_the_limit_and_one_beyond() {
    let bad = || (500, "no".to_owned());
    let good = || (200, GOOD.to_owned());
    for (limit, errors, expected) in [
        (None, 3, AnalysisPhase::Successful),
        (None, 4, AnalysisPhase::Successful),
        (None, 5, AnalysisPhase::Error),
        (Some(0), 0, AnalysisPhase::Successful),
        (Some(0), 1, AnalysisPhase::Error),
        (Some(2), 2, AnalysisPhase::Successful),
        (Some(2), 3, AnalysisPhase::Error),
    ] {
        let mut script: Vec<_> = (0..errors).map(|_| bad()).collect();
        script.push(good());
        let world = World::new(Some(scripted(script).await));
        let status = led(&world, rate(limit)).await;
        assert_eq!(
            status.phase,
            Some(expected),
            "{limit:?} {errors} {status:?}"
        );
        let counted = status.metric_results[0].error.unwrap_or(0);
        assert_eq!(counted, errors, "{status:?}");
    }
    let flapping = vec![
        bad(),
        bad(),
        good(),
        bad(),
        bad(),
        good(),
        bad(),
        bad(),
        good(),
    ];
    let world = World::new(Some(scripted(flapping).await));
    let status = led(&world, rate(Some(2))).await;
    assert_eq!(status.phase, Some(AnalysisPhase::Successful), "{status:?}");
    assert_eq!(status.metric_results[0].error, Some(6));
}

/// F47, F48. Whatever it is that a server sends in the place of a number, the run does not succeed by it.
#[tokio::test]
async fn f47_f48_an_answer_that_is_none_is_never_a_success() {
    let vector = |value: &str| {
        format!(
            r#"{{"status":"success","data":{{"resultType":"vector","result":[{{"metric":{{}},"value":[1,"{value}"]}}]}}}}"#
        )
    };
    let empty = r#"{"status":"success","data":{"resultType":"vector","result":[]}}"#;
    let answers = [
        (200, vector("NaN")),
        (200, vector("-Inf")),
        (200, vector("seven")),
        (200, empty.to_owned()),
        (200, "null".to_owned()),
        (200, String::new()),
        (200, "<html><body>0.98</body></html>".to_owned()),
        (
            200,
            r#"{"status":"error","errorType":"bad_data","error":"0.98"}"#.to_owned(),
        ),
        (503, GOOD.to_owned()),
        (302, GOOD.to_owned()),
        (200, format!("{GOOD}{}", " ".repeat(2 << 20))),
    ];
    for answer in answers {
        let (status, body) = (answer.0, answer.1.chars().take(80).collect::<String>());
        let world = World::new(Some(scripted(vec![answer]).await));
        let run = led(&world, rate(None)).await;
        let phase = run.phase.unwrap();
        assert_ne!(phase, AnalysisPhase::Successful, "{status} {body}: {run:?}");
    }
}
