//! Compiles the two files under `groundswell/v1` without a protoc on the machine.
use std::path::Path;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    println!("cargo:rerun-if-changed=groundswell");
    let files = protox::compile(
        ["groundswell/v1/link.proto", "groundswell/v1/fleet.proto"],
        [root],
    )?;
    tonic_prost_build::configure()
        .btree_map(".")
        .codec_path("crate::codec::SmallCodec")
        .compile_fds(files)?;
    Ok(())
}
