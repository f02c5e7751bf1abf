//! `groundswell release show` and `release start`. In: a release's name. Out: waves × clusters with what each waits for,
//! and the commands that would help. It must not invent a reason: all come from the hub.

use proto::v1::{Reason, Release, StartReleaseRequest, Target, Wave};
use serde_json::json;

use crate::args::{Look, Output, Show, Start};
use crate::client::Client;
use crate::failure::{Answer, DEGRADED, Failure, NEEDS_APPROVAL};
use crate::json;
use crate::table::{or_dash, short, table, time};

/// Prints one release.
pub async fn show(client: &mut Client, look: Look, args: &Show) -> Result<Answer, Failure> {
    let release = client.release(&args.release).await?;
    let text = match look.output {
        Output::Json => json::print(&json::release(&release)),
        Output::Table => page(look, &release),
    };
    let code = if args.exit_status { code(&release) } else { 0 };
    Ok(Answer { text, code })
}

/// Opens a release by a person's word.
pub async fn start(client: &mut Client, look: Look, args: &Start) -> Result<Answer, Failure> {
    let request = StartReleaseRequest {
        fleet_rollout: args.fleet_rollout.clone(),
        reason: args.why.reason.clone(),
        expedite: args.expedite,
        key: crate::word::key(&args.why)?,
    };
    let mut result = client.service().start_release(request.clone()).await;
    if crate::word::lost(&result) {
        result = client.service().start_release(request).await;
    }
    let response = client.answer(result)?;
    Ok(Answer::ok(match look.output {
        Output::Json => {
            json::print(&json!({"release": response.release, "message": response.message}))
        }
        Output::Table => format!(
            "{}\nnext:\n  groundswell release show {}\n",
            response.message, response.release
        ),
    }))
}

fn code(release: &Release) -> u8 {
    match release.phase.as_str() {
        "Failed" | "Halted" | "RollingBack" | "RolledBack" | "RolledBackPartially" | "Aborted" => {
            DEGRADED
        }
        _ if release
            .waves
            .iter()
            .any(|wave| wave.phase == "WaitingForApproval") =>
        {
            NEEDS_APPROVAL
        }
        _ => 0,
    }
}

fn page(look: Look, release: &Release) -> String {
    let mut text = heading(release);
    text.push('\n');
    let header = [
        "WAVE",
        "NAME",
        "PHASE",
        "CLUSTER",
        "STATE",
        "STEP",
        "LINK",
        "WAITS FOR",
    ];
    text.push_str(&table(
        look,
        &header,
        release.waves.iter().flat_map(rows).collect(),
    ));
    if !release.reasons.is_empty() {
        text.push_str("\nthe release waits:\n");
        for reason in &release.reasons {
            text.push_str(&format!("  {}\n", reason.message));
        }
    }
    let next = next_commands(release);
    if !next.is_empty() {
        text.push_str("\nnext:\n");
        for command in next {
            text.push_str(&format!("  {command}\n"));
        }
    }
    text
}

/// Two or three lines: what it is, how it stands, when.
pub fn heading(release: &Release) -> String {
    let mut text = format!("{}  {}\n", release.name, release.phase);
    if !release.verdict.is_empty() {
        text.push_str(&format!("  verdict   {}\n", release.verdict));
    }
    text.push_str(&format!(
        "  revision  {}\n",
        if release.revision.is_empty() {
            "unknown"
        } else {
            &release.revision
        }
    ));
    text.push_str(&images(release));
    text.push_str(&format!("  plan      {}\n", short(&release.plan_digest)));
    text.push_str(&format!(
        "  opened    {}\n",
        time(release.opened_at.as_ref())
    ));
    if release.ended_at.is_some() {
        text.push_str(&format!(
            "  ended     {}\n",
            time(release.ended_at.as_ref())
        ));
    }
    text
}

/// What opened the release, and what clusters of a wave bring beside it: an approval of the wave covers both.
fn images(release: &Release) -> String {
    let mut lines = Vec::new();
    if !release.images.is_empty() {
        lines.push(release.images.join(", "));
    }
    for wave in &release.waves {
        let own = wave.images.iter();
        let own: Vec<&str> = own
            .filter(|image| !release.images.contains(image))
            .map(String::as_str)
            .collect();
        if !own.is_empty() {
            lines.push(format!("{} in wave {}", own.join(", "), wave.name));
        }
    }
    let heads = std::iter::once("images").chain(std::iter::repeat("and"));
    let line = |(head, line)| format!("  {head:<9} {line}\n");
    heads.zip(lines).map(line).collect()
}

/// A row a target; the wave's own reasons stand beside its first cluster.
fn rows(wave: &Wave) -> Vec<Vec<String>> {
    let mut rows: Vec<Vec<String>> = wave
        .targets
        .iter()
        .enumerate()
        .map(|(index, target)| {
            let of_wave = if index == 0 {
                wave.reasons.as_slice()
            } else {
                &[]
            };
            row(wave, Some(target), of_wave)
        })
        .collect();
    if rows.is_empty() {
        rows.push(row(wave, None, &wave.reasons));
    }
    rows
}

fn row(wave: &Wave, target: Option<&Target>, of_wave: &[Reason]) -> Vec<String> {
    let own = target.map_or(&[] as &[Reason], |target| target.reasons.as_slice());
    let mut why: Vec<&str> = Vec::new();
    for message in of_wave
        .iter()
        .chain(own)
        .map(|reason| reason.message.as_str())
    {
        if !why.contains(&message) {
            why.push(message);
        }
    }
    if let Some(target) = target
        && why.is_empty()
    {
        why.push(&target.message);
    }
    vec![
        wave.number.to_string(),
        wave.name.clone(),
        wave.phase.clone(),
        target.map_or_else(|| "-".to_owned(), |target| target.cluster.clone()),
        target.map_or_else(|| "-".to_owned(), |target| target.state.clone()),
        target.map_or_else(|| "-".to_owned(), step),
        target
            .map_or("-", |target| if target.connected { "yes" } else { "NO" })
            .to_owned(),
        or_dash(&why.join("; ")),
    ]
}

/// A cluster that runs this release's content is at one of its steps; before that the step is another content's.
fn step(target: &Target) -> String {
    let runs_it = ["Progressing", "Paused", "Succeeded", "Failed"].contains(&target.state.as_str());
    if runs_it && target.steps > 0 {
        format!("{}/{}", target.step, target.steps)
    } else {
        "-".to_owned()
    }
}

/// Every command that some reason names, once, in the order of the page.
pub fn next_commands(release: &Release) -> Vec<String> {
    let of_waves = release.waves.iter().flat_map(|wave| {
        wave.reasons
            .iter()
            .chain(wave.targets.iter().flat_map(|target| &target.reasons))
    });
    let mut commands: Vec<String> = Vec::new();
    for reason in release.reasons.iter().chain(of_waves) {
        if !reason.next.is_empty() && !commands.contains(&reason.next) {
            commands.push(reason.next.clone());
        }
    }
    commands
}

#[cfg(test)]
mod tests;
