//! `groundswell explain`. In: a release and perhaps one cluster, or a FleetRollout that has none. Out: the causal chain from the
//! release through its waves to the clusters, each with its reasons and the command that helps; without a release, those of the
//! FleetRollout. It must not invent a reason: all come from the hub.

use proto::v1::{FleetRollout, ListFleetRolloutsRequest, Reason, Release, Target, Wave};
use serde_json::json;

use crate::args::{Explain, Look, Output};
use crate::client::Client;
use crate::failure::{Answer, Failure};
use crate::json;

/// Prints the chain.
pub async fn run(client: &mut Client, look: Look, args: &Explain) -> Result<Answer, Failure> {
    if let Some(mut own) = without_release(client, &args.release).await? {
        if let Some(cluster) = &args.cluster {
            let about = |name: &str| name.is_empty() || name == cluster;
            own.reasons.retain(|one| about(&one.cluster));
        }
        return Ok(Answer::ok(match look.output {
            Output::Json => json::print(&json!({"fleetRollout": json::fleet_rollout(&own)})),
            Output::Table => of_fleet_rollout(&own),
        }));
    }
    let mut release = client.release(&args.release).await?;
    if let Some(cluster) = &args.cluster {
        narrow(&mut release, cluster)?;
    }
    Ok(Answer::ok(match look.output {
        Output::Json => {
            let next = crate::release::next_commands(&release);
            json::print(&json!({"release": json::release(&release), "next": next}))
        }
        Output::Table => chain(&release),
    }))
}

/// The FleetRollout of that name, if it only observes or has no release yet.
async fn without_release(client: &mut Client, name: &str) -> Result<Option<FleetRollout>, Failure> {
    if name.contains('#') {
        return Ok(None);
    }
    let request = ListFleetRolloutsRequest {};
    let answer = client.service().list_fleet_rollouts(request).await;
    let all = client.answer(answer)?.fleet_rollouts;
    let named = all.into_iter().find(|one| one.name == name);
    Ok(named.filter(|one| one.release.is_empty() || one.enforcement == "Observe"))
}

fn of_fleet_rollout(own: &FleetRollout) -> String {
    let mut text = format!(
        "FleetRollout {} ({}), {} clusters\n",
        own.name, own.enforcement, own.clusters
    );
    for one in &own.reasons {
        let reasons: Vec<Reason> = one.reason.iter().cloned().collect();
        if one.cluster.is_empty() {
            because(&mut text, 1, &reasons);
        } else {
            text.push_str(&format!("  {}\n", one.cluster));
            because(&mut text, 2, &reasons);
        }
    }
    for one in &own.barred {
        text.push_str(&format!(
            "  {} is barred: it failed in release {}; `groundswell release start {} --reason WHY` starts it again\n",
            one.digest, one.release, own.name
        ));
    }
    if own.reasons.is_empty() {
        text.push_str("  nothing is held, and it has no release\n");
    }
    text
}

/// Leaves only the wave of one cluster, and the waves before it that have not passed: they are the cause.
fn narrow(release: &mut Release, cluster: &str) -> Result<(), Failure> {
    let of = |wave: &Wave| wave.targets.iter().any(|target| target.cluster == cluster);
    let Some(number) = release
        .waves
        .iter()
        .find(|wave| of(wave))
        .map(|wave| wave.number)
    else {
        return Err(Failure::Nothing(format!(
            "{cluster} is no target of {name}; `groundswell release show {name}` lists its clusters",
            name = release.name
        )));
    };
    release
        .waves
        .retain(|wave| wave.number == number || (wave.number < number && wave.phase != "Passed"));
    for wave in &mut release.waves {
        if wave.number == number {
            wave.targets.retain(|target| target.cluster == cluster);
        }
    }
    Ok(())
}

fn chain(release: &Release) -> String {
    let mut text = format!("{} is {}", release.name, release.phase);
    if release.verdict.is_empty() {
        text.push('\n');
    } else {
        text.push_str(&format!(": {}\n", release.verdict));
    }
    because(&mut text, 1, &release.reasons);
    for wave in &release.waves {
        text.push_str(&format!(
            "  wave {} {} is {}\n",
            wave.number, wave.name, wave.phase
        ));
        because(&mut text, 2, &wave.reasons);
        for approval in &wave.approvals {
            let weight = if approval.counts {
                "approved"
            } else {
                "approved, but it no longer counts"
            };
            text.push_str(&format!(
                "    {weight} by {}: {}\n",
                approval.person, approval.comment
            ));
        }
        for target in &wave.targets {
            text.push_str(&line(target));
            because(&mut text, 3, &target.reasons);
        }
    }
    text
}

fn line(target: &Target) -> String {
    let mut text = format!("    {} is {}", target.cluster, target.state);
    if target.steps > 0 {
        text.push_str(&format!(" at step {} of {}", target.step, target.steps));
    }
    if !target.connected {
        text.push_str(", not connected");
    }
    if !target.message.is_empty() {
        text.push_str(&format!(": {}", target.message));
    }
    text.push('\n');
    if !target.without_hub.is_empty() {
        text.push_str(&format!(
            "      without the hub it {}\n",
            target.without_hub
        ));
    }
    text
}

fn because(text: &mut String, depth: usize, reasons: &[Reason]) {
    let indent = "  ".repeat(depth);
    for reason in reasons {
        text.push_str(&format!(
            "{indent}because {} [{}]\n",
            reason.message, reason.code
        ));
        if !reason.next.is_empty() {
            text.push_str(&format!("{indent}  next: {}\n", reason.next));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn release() -> Release {
        let wave = |number, name: &str, phase: &str, clusters: &[&str]| Wave {
            number,
            name: name.to_owned(),
            phase: phase.to_owned(),
            targets: clusters
                .iter()
                .map(|cluster| Target {
                    cluster: (*cluster).to_owned(),
                    state: "Held".to_owned(),
                    connected: true,
                    without_hub: "serves what it serves and starts nothing".to_owned(),
                    ..Target::default()
                })
                .collect(),
            ..Wave::default()
        };
        let mut europe = wave(2, "europe", "WaitingForApproval", &["prod-eu"]);
        europe.reasons.push(Reason {
            code: "WaitingForApproval".to_owned(),
            message: "1 approval of sre is missing".to_owned(),
            next: "groundswell approve a#1".to_owned(),
        });
        Release {
            name: "a#1".to_owned(),
            phase: "Progressing".to_owned(),
            waves: vec![
                wave(1, "canary", "Passed", &["staging"]),
                europe,
                wave(3, "rest", "Pending", &["prod-us", "prod-ap"]),
            ],
            ..Release::default()
        }
    }

    #[test]
    fn one_cluster_with_what_stands_before_it() {
        let mut one = release();
        narrow(&mut one, "prod-us").unwrap();
        let expected = "\
a#1 is Progressing
  wave 2 europe is WaitingForApproval
    because 1 approval of sre is missing [WaitingForApproval]
      next: groundswell approve a#1
    prod-eu is Held
      without the hub it serves what it serves and starts nothing
  wave 3 rest is Pending
    prod-us is Held
      without the hub it serves what it serves and starts nothing
";
        assert_eq!(chain(&one), expected);
        assert!(narrow(&mut release(), "nowhere").is_err());
    }
}
