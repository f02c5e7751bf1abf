//! `sim`: lives by their seeds. In: a seed, or how many. Out: the story of the one, the first failure of the many. It must
//! not decide what is right.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use tests_sim::{Bugs, Config, live};

/// Lives of the simulated fleet.
#[derive(Debug, Parser)]
#[command(name = "sim")]
struct Args {
    /// Tell the whole story of this seed.
    #[arg(long)]
    seed: Option<u64>,
    /// The first of many seeds.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// How many seeds; none: without an end.
    #[arg(long)]
    count: Option<u64>,
    /// Stop after so many seconds.
    #[arg(long)]
    seconds: Option<u64>,
    /// Clusters in each life; none: 3 to 5.
    #[arg(long)]
    agents: Option<usize>,
    /// Nothing breaks.
    #[arg(long)]
    calm: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let config = |seed| Config {
        agents: args.agents,
        faults: !args.calm,
        ..Config::of(seed)
    };
    if let Some(seed) = args.seed {
        let told = live(config(seed), Bugs::default());
        for line in &told.lines {
            println!("{line}");
        }
        println!(
            "seed {seed}: hash {:016x}, {} events",
            told.hash, told.events
        );
        return match told.failure {
            None => ExitCode::SUCCESS,
            Some(failure) => {
                println!("{}", failure.what);
                ExitCode::FAILURE
            }
        };
    }
    let began = Instant::now();
    let (mut lives, mut events) = (0_u64, 0_u64);
    for seed in args.from.. {
        let timed_out = args
            .seconds
            .is_some_and(|limit| began.elapsed() > Duration::from_secs(limit));
        if timed_out || args.count.is_some_and(|count| lives >= count) {
            break;
        }
        let told = live(config(seed), Bugs::default());
        lives += 1;
        events += told.events;
        if let Some(failure) = told.failure {
            println!("seed {seed}: {} (sim --seed {seed})", failure.what);
            return ExitCode::FAILURE;
        }
        if live(config(seed), Bugs::default()).hash != told.hash {
            println!("seed {seed}: two runs of it differ");
            return ExitCode::FAILURE;
        }
    }
    println!(
        "{lives} seeds, {events} events in {:.1} s, each twice",
        began.elapsed().as_secs_f32()
    );
    ExitCode::SUCCESS
}
