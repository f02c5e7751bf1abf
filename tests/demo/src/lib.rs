//! The demo: one service, five versions, three clusters. In: the programs of the workspace. Out: a story told by a real
//! fleet, and a judgement of it that looks only at the witnesses. The judgement shares the scenario with the story, and
//! nothing else.

pub mod evidence;
pub mod manifests;
pub mod scenario;
pub mod summary;
pub mod verify;
