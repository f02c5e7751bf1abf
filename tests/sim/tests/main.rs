//! What a simulated fleet proves, in one binary: the five minutes of seeds need one core, and beside them the other one lives the
//! planted bugs. In: seeds. Out: what goes wrong. The model of the store is compared with PostgreSQL elsewhere (`store`), where
//! time is real.

mod exhaustive;
mod planted;
mod seeds;
mod told;
