//! What the end-to-end tests stand on: clusters that several tests share or that one has for itself, an application in a
//! namespace, and comparisons of objects. In: the harness (tests/fleet). Out: values that are torn down when dropped, or
//! with this process. It tests nothing.

pub mod bed;
pub mod deed;
pub mod door;
pub mod fleet;
pub mod lane;
pub mod ledger;
pub mod member;
pub mod names;
pub mod object;
pub mod peer;
pub mod quiet;
pub mod shop;
pub mod standing;
pub mod transcript;
pub mod turns;
pub mod visitors;
