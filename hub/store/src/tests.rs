//! The store against a real Postgres: every statement against the migrated schema and the row that reads it, and what must
//! hold whatever the engine decides.

mod advance;
mod applied;
mod audit;
mod broken_glass;
mod changed;
mod dumped;
mod fixture;
mod foreign;
mod gathered;
mod handed_over;
mod listening;
mod not_decided;
mod older;
mod policies;
mod recovery;
mod refusals;
mod restored;
mod rules;
mod shown;
mod spent;
mod statement;
mod together;
mod words;
