//! Writes the CRDs as files.
//!
//! In: a folder as the only argument. Out: one YAML file a kind in it. Must not touch: other files there.

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let Some(folder) = std::env::args_os().nth(1) else {
        eprintln!("crdgen: no folder given: run `crdgen deploy/crds`");
        return ExitCode::FAILURE;
    };
    let folder = Path::new(&folder);
    if let Err(error) = std::fs::create_dir_all(folder) {
        eprintln!("crdgen: cannot make {}: {error}", folder.display());
        return ExitCode::FAILURE;
    }
    for (name, yaml) in agent_api::crd::render_all() {
        let path = folder.join(name);
        if let Err(error) = std::fs::write(&path, yaml) {
            eprintln!("crdgen: cannot write {}: {error}", path.display());
            return ExitCode::FAILURE;
        }
        println!("{}", path.display());
    }
    ExitCode::SUCCESS
}
