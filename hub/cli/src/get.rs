//! `groundswell get`. In: what to list. Out: one row for each. It must not follow up with further calls a row.

use proto::v1::{
    Cluster, Fence, FleetRollout, ListClustersRequest, ListFleetRolloutsRequest,
    ListReleasesRequest, Release,
};
use serde_json::Value;

use crate::args::{Get, Listed, Look, Output};
use crate::client::Client;
use crate::failure::{Answer, Failure};
use crate::json;
use crate::table::{or_dash, table, time};

/// Lists and prints.
pub async fn run(client: &mut Client, look: Look, args: &Get) -> Result<Answer, Failure> {
    if args.fleetrollout.is_some() && args.what != Listed::Releases {
        return Err(Failure::Usage(
            "--fleetrollout goes with `get releases`".to_owned(),
        ));
    }
    let text = match args.what {
        Listed::Clusters => {
            let result = client.service().list_clusters(ListClustersRequest {}).await;
            clusters(look, &client.answer(result)?.clusters)
        }
        Listed::Fleetrollouts => {
            let result = client
                .service()
                .list_fleet_rollouts(ListFleetRolloutsRequest {})
                .await;
            fleet_rollouts(look, &client.answer(result)?.fleet_rollouts)
        }
        Listed::Releases => {
            let fleet_rollout = args.fleetrollout.clone().unwrap_or_default();
            let result = client
                .service()
                .list_releases(ListReleasesRequest { fleet_rollout })
                .await;
            releases(look, &client.answer(result)?.releases)
        }
    };
    Ok(Answer::ok(text))
}

fn listing<T>(
    look: Look,
    items: &[T],
    one: fn(&T) -> Value,
    header: &[&str],
    row: fn(&T) -> Vec<String>,
) -> String {
    match look.output {
        Output::Json => json::print(&items.iter().map(one).collect()),
        Output::Table => table(look, header, items.iter().map(row).collect()),
    }
}

fn clusters(look: Look, clusters: &[Cluster]) -> String {
    if clusters.is_empty() && look.output == Output::Table {
        return "no clusters yet; `groundswell cluster token NAME` makes a token for the first\n"
            .to_owned();
    }
    let header = [
        "NAME",
        "CONNECTED",
        "LAST SEEN",
        "AGENT",
        "WANTED",
        "STORED",
        "ROLLOUTS",
        "LABELS",
        "NOTE",
    ];
    listing(look, clusters, json::cluster, &header, |cluster| {
        let labels: Vec<String> = cluster
            .labels
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        vec![
            cluster.name.clone(),
            if cluster.connected { "yes" } else { "NO" }.to_owned(),
            time(cluster.last_seen_at.as_ref()),
            or_dash(&cluster.agent_version),
            fence(cluster.desired.as_ref()),
            fence(cluster.stored.as_ref()),
            cluster.rollouts.to_string(),
            or_dash(&labels.join(",")),
            or_dash(&cluster.note),
        ]
    })
}

fn fence(fence: Option<&Fence>) -> String {
    fence.map_or_else(
        || "-".to_owned(),
        |fence| format!("{}.{}", fence.incarnation, fence.version),
    )
}

fn fleet_rollouts(look: Look, fleet_rollouts: &[FleetRollout]) -> String {
    if fleet_rollouts.is_empty() && look.output == Output::Table {
        return "no FleetRollouts yet; `groundswell apply -f FILE` stores one\n".to_owned();
    }
    let header = [
        "NAME",
        "ROLLOUT",
        "ENFORCEMENT",
        "WAVES",
        "CLUSTERS",
        "RELEASE",
        "PHASE",
        "STOPPED",
    ];
    listing(look, fleet_rollouts, json::fleet_rollout, &header, |one| {
        vec![
            one.name.clone(),
            one.rollout.clone(),
            one.enforcement.clone(),
            one.waves.to_string(),
            one.clusters.to_string(),
            or_dash(&one.release),
            or_dash(&one.phase),
            or_dash(&one.stopped),
        ]
    })
}

fn releases(look: Look, releases: &[Release]) -> String {
    if releases.is_empty() && look.output == Output::Table {
        return "no releases yet; one opens when a governed Rollout changes in a connected cluster\n".to_owned();
    }
    let header = [
        "NAME", "REVISION", "PHASE", "WAVE", "CLUSTERS", "FAILED", "OPENED", "ENDED",
    ];
    listing(look, releases, json::release, &header, |release| {
        let (done, failed, all) = count(release);
        vec![
            release.name.clone(),
            or_dash(&release.revision.chars().take(12).collect::<String>()),
            release.phase.clone(),
            current_wave(release),
            format!("{done}/{all}"),
            failed.to_string(),
            time(release.opened_at.as_ref()),
            time(release.ended_at.as_ref()),
        ]
    })
}

/// Succeeded, failed and all targets.
pub fn count(release: &Release) -> (usize, usize, usize) {
    let states = || {
        release
            .waves
            .iter()
            .flat_map(|wave| &wave.targets)
            .map(|target| target.state.as_str())
    };
    let done = states().filter(|state| *state == "Succeeded").count();
    let failed = states().filter(|state| *state == "Failed").count();
    (done, failed, states().count())
}

/// `2/3 europe`: the first wave that has not passed.
pub fn current_wave(release: &Release) -> String {
    let open = |wave: &&proto::v1::Wave| wave.phase != "Passed" && wave.phase != "Skipped";
    match release.waves.iter().find(open) {
        Some(wave) => format!("{}/{} {}", wave.number, release.waves.len(), wave.name),
        None => "-".to_owned(),
    }
}
