//! Compiles the two files under `groundswell/v1` without a protoc on the machine, and writes down for what a hub is told how
//! much of memory each part of it takes (`src/weight.rs`).
use std::collections::BTreeSet;
use std::error::Error;
use std::fmt::Write as _;
use std::path::Path;

use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, FieldDescriptorProto, FileDescriptorSet};

/// Types of this package have one name in both languages.
const PACKAGE: &str = ".groundswell.v1.";
/// The one type of others' that is used: two numbers.
const TIME: &str = ".google.protobuf.Timestamp";
const TEXT: &str = "size_of::<String>()";

fn main() -> Result<(), Box<dyn Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    println!("cargo:rerun-if-changed=groundswell");
    let files = protox::compile(
        ["groundswell/v1/link.proto", "groundswell/v1/fleet.proto"],
        [root],
    )?;
    let out = std::env::var("OUT_DIR")?;
    std::fs::write(Path::new(&out).join("weights.rs"), weights(&files)?)?;
    tonic_prost_build::configure()
        .btree_map(".")
        .codec_path("crate::codec::SmallCodec")
        .compile_fds(files)?;
    Ok(())
}

/// A shape for each message, and for each that is the word of a call: whether a hub hears it.
fn weights(files: &FileDescriptorSet) -> Result<String, Box<dyn Error>> {
    let own = || {
        files
            .file
            .iter()
            .filter(|file| file.package() == "groundswell.v1")
    };
    let mut out = String::new();
    for message in own().flat_map(|file| &file.message_type) {
        let name = message.name();
        let parts = parts(message)?;
        writeln!(
            out,
            "impl Shaped for v1::{name} {{ const PARTS: &'static [Part] = &[{parts}]; }}"
        )?;
    }
    let methods = || {
        own()
            .flat_map(|file| &file.service)
            .flat_map(|service| &service.method)
    };
    let heard: BTreeSet<&str> = methods().map(|method| method.input_type()).collect();
    let all = methods().flat_map(|method| [method.input_type(), method.output_type()]);
    for word in all.collect::<BTreeSet<&str>>() {
        let (name, hub) = (named(word)?, heard.contains(word));
        writeln!(
            out,
            "impl Word for v1::{name} {{ const HUB_HEARS: bool = {hub}; }}"
        )?;
    }
    Ok(out)
}

/// What of a message takes more than its place in what it is a part of.
fn parts(message: &DescriptorProto) -> Result<String, Box<dyn Error>> {
    let mut out = String::new();
    for field in &message.field {
        let many = field.label() == Label::Repeated;
        let (number, words) = (
            field.number(),
            format!("{}.{}", message.name(), field.name()),
        );
        let kind = field.r#type();
        let (place, content) = if kind == Type::String {
            (many.then(|| TEXT.to_owned()), "Content::Text".to_owned())
        } else if kind == Type::Message {
            if field.type_name() == TIME && !many {
                continue;
            }
            match entry(message, field) {
                Some(entry) => (Some(text_map(entry, &words)?), "Content::TEXTS".to_owned()),
                None => {
                    let name = named(field.type_name())?;
                    let place = many.then(|| format!("size_of::<v1::{name}>()"));
                    (
                        place,
                        format!("Content::Parts(<v1::{name} as Shaped>::PARTS)"),
                    )
                }
            }
        } else if !many && is_number(kind) {
            continue;
        } else {
            return Err(format!(
                "{words} is of a kind that is not weighed yet ({kind:?}): say in proto/build.rs what it takes"
            )
            .into());
        };
        let place = place.unwrap_or_else(|| "0".to_owned());
        write!(
            out,
            "Part {{ number: {number}, place: {place}, content: {content} }}, "
        )?;
    }
    Ok(out)
}

/// Whether one of it takes its place and nothing more.
fn is_number(kind: Type) -> bool {
    matches!(
        kind,
        Type::Bool | Type::Enum | Type::Int32 | Type::Int64 | Type::Uint32 | Type::Uint64
    )
}

/// The entries of a map are messages within.
fn entry<'a>(
    message: &'a DescriptorProto,
    field: &FieldDescriptorProto,
) -> Option<&'a DescriptorProto> {
    let is_map = |one: &&DescriptorProto| {
        one.options
            .as_ref()
            .is_some_and(|options| options.map_entry())
            && field
                .type_name()
                .ends_with(&format!(".{}.{}", message.name(), one.name()))
    };
    message.nested_type.iter().find(is_map)
}

fn text_map(entry: &DescriptorProto, words: &str) -> Result<String, Box<dyn Error>> {
    if entry
        .field
        .iter()
        .all(|field| field.r#type() == Type::String)
    {
        return Ok(format!("2 * {TEXT}"));
    }
    Err(format!("{words} is a map of other than text: say in proto/build.rs what it takes").into())
}

fn named(path: &str) -> Result<&str, Box<dyn Error>> {
    path.strip_prefix(PACKAGE)
        .filter(|name| !name.contains('.'))
        .ok_or_else(|| {
            format!("{path} is not a type of {PACKAGE} itself: say in proto/build.rs what it takes")
                .into()
        })
}
