//! Golden and property tests of both engines: what they share.
//!
//! In: fixtures. Out: observations, a model cluster. It must not be used outside tests.

pub mod agent_cluster;
pub mod agent_fixture;
pub mod agent_random;
pub mod experiment_fixture;
pub mod hub_agents;
pub mod hub_fleet;
pub mod hub_fleets;
mod hub_members;
mod hub_people;
pub mod hub_random;
pub mod hub_words;
