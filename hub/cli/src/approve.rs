//! `groundswell approve`. In: a release, a wave, a comment. Out: the approval, bound to the plan that was shown. It must not
//! approve anything it has not printed: without `--plan` it binds to the digest that it read and showed, and says what of the
//! wave it showed. An answer that was lost is asked for again, which the hub takes for the same word.

use std::io::{BufRead as _, IsTerminal as _, Write as _};

use proto::v1::{ApproveRequest, Release, Wave};
use serde_json::json;

use crate::args::{Approve, Look, Output};
use crate::client::Client;
use crate::failure::{Answer, Failure};
use crate::json;
use crate::word::lost;

/// Shows, asks, approves.
pub async fn run(client: &mut Client, look: Look, args: &Approve) -> Result<Answer, Failure> {
    let release = client.release(&args.release).await?;
    let wave = choose(&release, args.wave.as_deref())?;
    let plan_digest = match &args.plan {
        Some(plan) if *plan != release.plan_digest => {
            return Err(Failure::Nothing(changed(plan, &release)));
        }
        Some(_) | None => release.plan_digest.clone(),
    };
    let shown = summary(&release, wave);
    // The question and what it is about go to stderr: stdout is for the answer.
    let _ = std::io::stderr().write_all(shown.as_bytes());
    if !args.yes && !confirmed(&release, wave)? {
        return Err(Failure::Nothing("nothing was approved".to_owned()));
    }
    let request = ApproveRequest {
        release: release.name.clone(),
        wave: wave.name.clone(),
        plan_digest,
        comment: args.comment.clone(),
        shown: Some(release.shown(wave)),
    };
    let mut result = client.service().approve(request.clone()).await;
    if lost(&result) {
        result = client.service().approve(request).await;
    }
    let response = client.answer(result)?;
    Ok(Answer::ok(match look.output {
        Output::Json => json::print(
            &json!({"message": response.message, "wave": response.wave.as_ref().map(json::wave)}),
        ),
        Output::Table => {
            format!(
                "{}\nnext:\n  groundswell release show {}\n",
                response.message, release.name
            )
        }
    }))
}

fn changed(plan: &str, release: &Release) -> String {
    format!(
        "the plan of {name} is {now}, not {plan}; look at it again with `groundswell release show {name}` before approving",
        name = release.name,
        now = release.plan_digest
    )
}

fn choose<'a>(release: &'a Release, name: Option<&str>) -> Result<&'a Wave, Failure> {
    if let Some(name) = name {
        return release
            .waves
            .iter()
            .find(|wave| wave.name == name)
            .ok_or_else(|| {
                let names: Vec<&str> = release
                    .waves
                    .iter()
                    .map(|wave| wave.name.as_str())
                    .collect();
                Failure::Nothing(format!(
                    "{} has no wave {name:?}; it has {}",
                    release.name,
                    names.join(", ")
                ))
            });
    }
    let mut waiting = release
        .waves
        .iter()
        .filter(|wave| matches!(wave.phase.as_str(), "WaitingForApproval" | "WaitingToPass"));
    match (waiting.next(), waiting.next()) {
        (Some(wave), None) => Ok(wave),
        (Some(_), Some(_)) => Err(Failure::Usage(format!(
            "several waves of {} wait for approval; name one with --wave",
            release.name
        ))),
        (None, _) => Err(Failure::Nothing(format!(
            "no wave of {name} waits for approval now; `groundswell explain {name}` says what it waits for, --wave approves one ahead",
            name = release.name
        ))),
    }
}

fn summary(release: &Release, wave: &Wave) -> String {
    let clusters: Vec<&str> = wave
        .targets
        .iter()
        .map(|target| target.cluster.as_str())
        .collect();
    let shown = release.shown(wave);
    let starts = shown.stage != "After";
    let have = wave
        .approvals
        .iter()
        .filter(|approval| approval.counts && (approval.stage != "After") == starts)
        .count();
    let images = if shown.images.is_empty() {
        "none are known".to_owned()
    } else {
        shown.images.join(", ")
    };
    let revision = if release.revision.is_empty() {
        "unknown"
    } else {
        &release.revision
    };
    let groups = if wave.approval_groups.is_empty() {
        "administrators".to_owned()
    } else {
        wave.approval_groups.join(", ")
    };
    format!(
        "release   {}\nwave      {} of {}, {}\nclusters  {}\nrevision  {revision}\nimages    {images}\nplan      {}\napprovals {have} of {} from {groups}{}\n",
        release.name,
        wave.number,
        release.waves.len(),
        wave.name,
        clusters.join(", "),
        release.plan_digest,
        wave.approvals_required,
        if starts { "" } else { ", to pass" },
    )
}

fn confirmed(release: &Release, wave: &Wave) -> Result<bool, Failure> {
    if !std::io::stdin().is_terminal() {
        return Err(Failure::Usage(
            "nobody to ask here; add --yes after reading the lines above".to_owned(),
        ));
    }
    let _ = write!(
        std::io::stderr(),
        "approve wave {} of {}? [y/N] ",
        wave.name,
        release.name
    );
    let _ = std::io::stderr().flush();
    let mut line = String::new();
    std::io::stdin()
        .lock()
        .read_line(&mut line)
        .map_err(|source| Failure::File {
            path: "stdin".to_owned(),
            source,
        })?;
    Ok(matches!(line.trim(), "y" | "Y" | "yes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn release(phases: &[&str]) -> Release {
        let wave = |(index, phase): (usize, &&str)| Wave {
            name: format!("w{index}"),
            phase: (*phase).to_owned(),
            ..Wave::default()
        };
        Release {
            name: "a#1".to_owned(),
            waves: phases.iter().enumerate().map(wave).collect(),
            ..Release::default()
        }
    }

    #[test]
    fn without_a_name_the_one_that_waits_is_meant() {
        let one = release(&["Passed", "WaitingForApproval", "Pending"]);
        assert_eq!(choose(&one, None).unwrap().name, "w1");
        assert_eq!(choose(&one, Some("w2")).unwrap().name, "w2");
        assert_eq!(choose(&one, Some("w9")).unwrap_err().code(), 1);
        assert_eq!(choose(&release(&["Passed"]), None).unwrap_err().code(), 1);
        let two = release(&["WaitingForApproval", "WaitingForApproval"]);
        assert_eq!(choose(&two, None).unwrap_err().code(), 2);
    }

    #[test]
    fn what_is_printed_of_a_wave_is_what_is_agreed_to() {
        let mut asked = release(&["Baking"]);
        asked.images = vec!["shop:v2".to_owned()];
        let wave = asked.waves[0].clone();
        let newer = Wave {
            images: vec!["proxy:eu".to_owned(), "shop:v2".to_owned()],
            stage: "After".to_owned(),
            ..wave.clone()
        };
        // An older hub names neither.
        for (wave, images) in [(wave, "shop:v2"), (newer, "proxy:eu, shop:v2")] {
            let printed = summary(&asked, &wave);
            let line = format!("images    {images}\n");
            assert!(printed.contains(&line), "{printed}");
            assert!(
                printed.ends_with("from administrators, to pass\n"),
                "{printed}"
            );
            let shown = asked.shown(&wave);
            assert_eq!(shown.images.join(", "), images);
            assert_eq!(shown.stage, "After");
        }
    }
}
