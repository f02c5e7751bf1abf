//! `exhaustive`: the small world, whole. In: what may break. Out: how many states it has, and what is wrong in the first that
//! is. It must not decide what is right.

use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use tests_sim::Bugs;
use tests_sim::exhaustive::{Left, Size, explore};

/// The small world.
#[derive(Debug, Parser)]
#[command(name = "exhaustive")]
struct Args {
    /// Deaths of a process.
    #[arg(long, default_value_t = 1)]
    crashes: u8,
    /// Clusters: two or three.
    #[arg(long, default_value_t = 3)]
    clusters: usize,
    /// A decision and its commit are one move.
    #[arg(long)]
    at_once: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let left = Left {
        crashes: args.crashes,
        losses: 0,
        copies: 0,
        delays: 0,
    };
    let size = Size {
        clusters: args.clusters.clamp(2, 3),
        drafts: !args.at_once,
    };
    let began = Instant::now();
    let found = explore(left, size, Bugs::default());
    println!(
        "{} states, {} moves, {} at rest, {:?} parts, {:.1} s",
        found.states,
        found.moves,
        found.at_rest,
        found.parts,
        began.elapsed().as_secs_f32()
    );
    match found.wrong {
        None => ExitCode::SUCCESS,
        Some((wrong, way)) => {
            println!("{wrong} after {way:?}");
            ExitCode::FAILURE
        }
    }
}
