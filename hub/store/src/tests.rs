//! The store against a real Postgres: every statement against the migrated schema and the row that reads it, and what must
//! hold whatever the engine decides.

mod applied;
mod fixture;
mod policies;
mod rules;
mod statement;
mod words;
