//! Proxies that make faults between two of our programs. In: an address on loopback. Out: another one that behaves worse,
//! as a test says. They forward bytes unchanged; what they count is theirs alone.

pub mod api;
pub mod fault;
mod frames;
pub mod link;
pub mod postgres;
pub mod trigger;

#[cfg(test)]
mod tests;
