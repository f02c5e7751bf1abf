//! The hub: what it is made of. In: the command line. Out: a server on one port, and decisions in Postgres. No module
//! here may name sqlx (that is `hub_store`) or decide anything about a release (that is `hub_engine`).

pub mod acceptor;
pub mod address;
pub mod args;
pub mod authority;
pub mod client_config;
pub mod database;
pub mod decide;
pub mod descriptors;
pub mod fleet;
pub mod folder;
pub mod hints;
pub mod identity;
pub mod join;
pub mod leader;
pub mod limit;
pub mod link;
pub mod person;
pub mod serve;
pub mod status;
pub mod wire;
