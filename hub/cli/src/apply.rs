//! `groundswell apply`. In: a file of FleetRollouts. Out: what became of each, or every problem with its place. It must not
//! check documents itself, so that the CLI and the API cannot disagree.

use std::io::Read as _;

use proto::v1::{Applied, ApplyRequest, ApplyResponse, Problem};
use serde_json::json;

use crate::args::{Apply, Look, Output};
use crate::client::Client;
use crate::failure::{Answer, Failure};
use crate::json;

/// Sends the file and prints one line a document.
pub async fn run(client: &mut Client, look: Look, args: &Apply) -> Result<Answer, Failure> {
    let file_name = shown(&args.file).to_owned();
    let document = read(&args.file)?;
    let request = ApplyRequest {
        file_name: file_name.clone(),
        document,
        dry_run: args.dry_run,
    };
    let result = client.service().apply(request).await;
    let response = client.answer(result)?;
    if !response.problems.is_empty() {
        return refused(look.output, &file_name, &response.problems);
    }
    Ok(Answer::ok(match look.output {
        Output::Table => lines(&response, args.dry_run),
        Output::Json => {
            let all: Vec<_> = response.applied.iter().map(json::applied).collect();
            json::print(&json!({"applied": all, "dryRun": args.dry_run}))
        }
    }))
}

/// What a file is called in answers.
pub fn shown(file: &str) -> &str {
    if file == "-" { "stdin" } else { file }
}

/// The answer to a file that the hub does not take.
pub fn refused(output: Output, file: &str, found: &[Problem]) -> Result<Answer, Failure> {
    match output {
        Output::Table => Err(Failure::Problems(problems(file, found))),
        Output::Json => {
            let all: Vec<_> = found.iter().map(|one| json::problem(file, one)).collect();
            Ok(Answer {
                text: json::print(&json!({"problems": all})),
                code: 1,
            })
        }
    }
}

/// The text of a file, or of stdin.
pub fn read(file: &str) -> Result<String, Failure> {
    let fail = |source| Failure::File {
        path: file.to_owned(),
        source,
    };
    if file != "-" {
        return std::fs::read_to_string(file).map_err(fail);
    }
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).map_err(fail)?;
    Ok(text)
}

/// As in `get`; an older hub stores FleetRollouts only.
fn kind(applied: &Applied) -> String {
    if applied.kind.is_empty() {
        "fleetrollout".to_owned()
    } else {
        applied.kind.to_lowercase()
    }
}

fn lines(response: &ApplyResponse, dry_run: bool) -> String {
    let suffix = if dry_run { " (dry run)" } else { "" };
    let mut text = String::new();
    for applied in &response.applied {
        text.push_str(&format!(
            "{}/{} {}{suffix}\n",
            kind(applied),
            applied.name,
            json::change(applied.change())
        ));
        for note in &applied.notes {
            text.push_str(&format!("  note: {note}\n"));
        }
    }
    text
}

/// One line a problem, with its place.
fn problems(file: &str, problems: &[Problem]) -> String {
    let line = |problem: &Problem| {
        let mut place = file.to_owned();
        if problem.line > 0 {
            place.push_str(&format!(":{}", problem.line));
        }
        if !problem.path.is_empty() {
            place.push_str(&format!(": {}", problem.path));
        }
        format!("{place}: {}", problem.message)
    };
    let mut all: Vec<String> = problems.iter().map(line).collect();
    all.push("nothing was stored; correct the file and apply it again".to_owned());
    all.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto::v1::applied::Change;

    #[test]
    fn one_line_a_document() {
        let applied = Applied {
            name: "checkout".to_owned(),
            change: Change::Created.into(),
            notes: Vec::new(),
            kind: String::new(),
        };
        let response = ApplyResponse {
            applied: vec![applied],
            problems: Vec::new(),
        };
        assert_eq!(lines(&response, false), "fleetrollout/checkout created\n");
        assert_eq!(
            lines(&response, true),
            "fleetrollout/checkout created (dry run)\n"
        );
    }

    #[test]
    fn one_line_a_problem() {
        let problem = |path: &str, line| Problem {
            path: path.to_owned(),
            line,
            message: "is bad".to_owned(),
        };
        let all = [problem("spec.waves[0].bake", 7), problem("", 0)];
        let text = problems("x.yaml", &all);
        assert!(
            text.starts_with("x.yaml:7: spec.waves[0].bake: is bad\nx.yaml: is bad\n"),
            "{text}"
        );
    }
}
