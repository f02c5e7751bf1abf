//! The link to the hub: one stream, opened by the agent, mutually authenticated.
//!
//! In: reports of the controllers, sets of the hub. Out: the other. It must not decide what a set means: it stores it.

pub mod dial;
pub mod member;
pub mod report;
pub mod session;
pub mod set;
pub mod state;
pub mod tls;
