//! `groundswell plan`. In: a FleetRollout, or a file that is not applied yet. Out: waves and clusters, policies, windows, the
//! share of the fleet over time, the plan's digest. It must not work anything out: the hub does, with its own clock.

use proto::v1::{PlanRequest, PlannedCluster, PlannedRelease, PlannedWave};
use serde_json::{Value, json};

use crate::args::{Look, Output, PlanArgs};
use crate::client::Client;
use crate::failure::{Answer, Failure};
use crate::table::table;
use crate::{apply, json};

/// Prints the plan of one FleetRollout, or of each in the file.
pub async fn run(client: &mut Client, look: Look, args: &PlanArgs) -> Result<Answer, Failure> {
    let request = PlanRequest {
        fleet_rollout: args.fleet_rollout.clone().unwrap_or_default(),
        document: args
            .file
            .as_deref()
            .map(apply::read)
            .transpose()?
            .unwrap_or_default(),
    };
    let result = client.service().plan(request).await;
    let response = client.answer(result)?;
    if !response.problems.is_empty() {
        let file = args.file.as_deref().unwrap_or_default();
        return apply::refused(look.output, apply::shown(file), &response.problems);
    }
    Ok(Answer::ok(match look.output {
        Output::Json => {
            let all: Vec<Value> = response.plans.iter().map(value).collect();
            json::print(&json!({"plans": all}))
        }
        Output::Table => {
            let all: Vec<String> = response.plans.iter().map(|one| text(look, one)).collect();
            all.join("\n")
        }
    }))
}

fn share(exposed: u32, governed: u32) -> String {
    let percent = (u64::from(exposed) * 100).checked_div(u64::from(governed));
    format!("{}%", percent.unwrap_or(0))
}

fn text(look: Look, plan: &PlannedRelease) -> String {
    let mut rows = Vec::new();
    for wave in &plan.waves {
        rows.extend(wave.clusters.iter().enumerate().map(|(index, cluster)| {
            let head = index == 0;
            row(plan, wave, cluster, head)
        }));
        if wave.clusters.is_empty() {
            rows.push(row(plan, wave, &PlannedCluster::default(), true));
        }
    }
    let header = [
        "WAVE", "NAME", "CLUSTER", "STARTS", "SERVES", "PASSES", "EXPOSED", "WINDOW",
    ];
    let mut text = format!(
        "plan of {} at {}: {} clusters, digest {}\n",
        plan.fleet_rollout,
        moment(plan.at.as_ref()),
        plan.governed,
        plan.plan_digest
    );
    text.push_str(&table(look, &header, rows));
    for wave in &plan.waves {
        text.push_str(&format!(
            "wave {} {}: {}\n",
            wave.number,
            wave.name,
            wave.policy.join("; ")
        ));
    }
    for note in &plan.notes {
        text.push_str(&format!("note: {note}\n"));
    }
    text
}

/// What holds for the wave is said beside its first cluster only.
fn row(
    plan: &PlannedRelease,
    wave: &PlannedWave,
    cluster: &PlannedCluster,
    head: bool,
) -> Vec<String> {
    let once = |text: String| if head { text } else { String::new() };
    vec![
        once(wave.number.to_string()),
        once(wave.name.clone()),
        cluster.name.clone(),
        moment(cluster.starts_at.as_ref()),
        moment(cluster.serves_at.as_ref()),
        once(moment(wave.passes_at.as_ref())),
        once(share(wave.exposed, plan.governed)),
        cluster.window.clone(),
    ]
}

fn moment(time: Option<&prost_types::Timestamp>) -> String {
    time.and_then(proto::time::from_wire)
        .map(|time| time.strftime("%m-%d %H:%M").to_string())
        .unwrap_or_default()
}

fn value(plan: &PlannedRelease) -> Value {
    let cluster = |cluster: &PlannedCluster| {
        json!({
            "name": cluster.name,
            "startsAt": json::time(cluster.starts_at.as_ref()),
            "servesAt": json::time(cluster.serves_at.as_ref()),
            "window": cluster.window,
        })
    };
    let wave = |wave: &PlannedWave| {
        json!({
            "name": wave.name,
            "number": wave.number,
            "clusters": wave.clusters.iter().map(cluster).collect::<Vec<_>>(),
            "policy": wave.policy,
            "startsAt": json::time(wave.starts_at.as_ref()),
            "passesAt": json::time(wave.passes_at.as_ref()),
            "exposed": wave.exposed,
        })
    };
    json!({
        "fleetRollout": plan.fleet_rollout,
        "planDigest": plan.plan_digest,
        "at": json::time(plan.at.as_ref()),
        "governed": plan.governed,
        "waves": plan.waves.iter().map(wave).collect::<Vec<_>>(),
        "notes": plan.notes,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_holds_for_a_wave_is_said_once() {
        let at = |seconds| Some(prost_types::Timestamp { seconds, nanos: 0 });
        let cluster = |name: &str, window: &str| PlannedCluster {
            name: name.to_owned(),
            starts_at: at(0),
            serves_at: at(600),
            window: window.to_owned(),
        };
        let plan = PlannedRelease {
            fleet_rollout: "checkout".to_owned(),
            plan_digest: "p1:a".to_owned(),
            at: at(0),
            governed: 4,
            waves: vec![PlannedWave {
                name: "canary".to_owned(),
                number: 1,
                clusters: vec![cluster("eu-1", ""), cluster("eu-2", "frozen")],
                policy: vec!["2 at once".to_owned(), "1 approval".to_owned()],
                starts_at: at(0),
                passes_at: at(3_600),
                exposed: 2,
            }],
            notes: vec!["an estimate".to_owned()],
        };
        let look = Look {
            output: Output::Table,
            colour: false,
            width: None,
        };
        let expected = "\
plan of checkout at 01-01 00:00: 4 clusters, digest p1:a
WAVE  NAME    CLUSTER  STARTS       SERVES       PASSES       EXPOSED  WINDOW
1     canary  eu-1     01-01 00:00  01-01 00:10  01-01 01:00  50%
              eu-2     01-01 00:00  01-01 00:10                        frozen
wave 1 canary: 2 at once; 1 approval
note: an estimate
";
        assert_eq!(text(look, &plan), expected);
    }
}
