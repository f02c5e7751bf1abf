//! What hub and agent, and people and hub, say to each other, and nothing else.
//!
//! In: the two `.proto` files beside this crate. Out: their Rust types, the names of the service methods, the time
//! conversion, the bytes that signatures of permits, fences and history heads cover, and what a message takes of memory. It must
//! not hold behaviour of either side.

pub mod codec;
pub mod fence;
pub mod head;
pub mod limit;
pub mod permit;
pub mod set;
pub mod shown;
pub mod time;
pub mod weight;

/// The generated messages and services of `groundswell.v1`.
#[allow(missing_docs, clippy::all, clippy::too_many_lines, rust_2018_idioms)]
pub mod v1 {
    tonic::include_proto!("groundswell.v1");
}
