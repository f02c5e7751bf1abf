//! `sim`: lives by their seeds. In: a seed, or how many. Out: the story of the one, the first failure of the many. It must
//! not decide what is right.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use tests_sim::{Bugs, Config, Planted, live};

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
    /// Clusters in each life; none: mostly 3 to 5, up to 20.
    #[arg(long)]
    agents: Option<usize>,
    /// FleetRollouts in each life; none: 1 to 3.
    #[arg(long)]
    fleets: Option<usize>,
    /// Live each seed once, without comparing two runs.
    #[arg(long)]
    once: bool,
    /// Go on until so many seeds have failed.
    #[arg(long, default_value_t = 1)]
    failures: u64,
    /// Plant this bug of the shell.
    #[arg(long)]
    bug: Option<String>,
    /// Nothing breaks.
    #[arg(long)]
    calm: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let config = |seed| Config {
        agents: args.agents,
        fleets: args.fleets,
        faults: !args.calm,
        ..Config::of(seed)
    };
    let shell = args.bug.as_ref().and_then(|name| {
        let named = |bug: &Planted| format!("{bug:?}") == *name;
        Planted::ALL.into_iter().find(named)
    });
    let bugs = Bugs {
        shell,
        ..Bugs::default()
    };
    if let Some(seed) = args.seed {
        let told = live(config(seed), bugs);
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
    let (mut lives, mut events, mut failed) = (0_u64, 0_u64, 0_u64);
    let mut met: BTreeMap<&str, u64> = BTreeMap::new();
    for seed in args.from.. {
        let timed_out = args
            .seconds
            .is_some_and(|limit| began.elapsed() > Duration::from_secs(limit));
        if timed_out || args.count.is_some_and(|count| lives >= count) {
            break;
        }
        let told = live(config(seed), bugs);
        lives += 1;
        events += told.events;
        for (kind, count) in told.kinds {
            *met.entry(kind).or_default() += count;
        }
        if let Some(failure) = told.failure {
            println!("seed {seed}: {} (sim --seed {seed})", failure.what);
            failed += 1;
            if failed >= args.failures {
                return ExitCode::FAILURE;
            }
            continue;
        }
        if !args.once && live(config(seed), bugs).hash != told.hash {
            println!("seed {seed}: two runs of it differ");
            return ExitCode::FAILURE;
        }
    }
    println!("met: {met:?}");
    println!(
        "{lives} seeds, {events} events in {:.1} s, each twice",
        began.elapsed().as_secs_f32()
    );
    ExitCode::SUCCESS
}
