//! `demo-verify <folder>`: judges a run of the demo by what its witnesses wrote. In: the run's folder. Out: the checks, the
//! table, and status 0 only if all is right.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

/// Judge a run of the demo by what its witnesses wrote.
#[derive(Debug, Parser)]
struct Arguments {
    /// The run's folder, e.g. target/demo.
    folder: PathBuf,
    /// Print the summary as JSON instead.
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let (judgement, summary) = match tests_demo::verify::run(&arguments.folder) {
        Ok(judged) => judged,
        Err(error) => {
            eprintln!("demo-verify: {error}");
            return ExitCode::FAILURE;
        }
    };
    if arguments.json {
        println!(
            "{}",
            serde_json::to_string_pretty(&summary).unwrap_or_default()
        );
    } else {
        println!("{}", summary.table());
        for (name, held) in &judgement.checks {
            println!("{} {name}", if *held { "ok   " } else { "WRONG" });
        }
        for wrong in &judgement.wrong {
            println!("  {wrong}");
        }
    }
    if judgement.wrong.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
