//! How much of itself a member may show at once: the same on both sides of the link, and the sentence where it is more. And
//! how much memory any word to a hub may take.
//!
//! In: a Hello, or the bytes of a word. Out: why no hub takes it. It must not know who says it.

use prost::Message as _;

use crate::v1::Hello;
use crate::weight::{self, Shaped};

/// Rollouts of one member: twice the largest cluster that is tested with.
pub const ROLLOUTS_MAX: usize = 10_000;
/// One message of the link. A Rollout is about 1 KiB in Hello and in a set, and three sixteenths are left over.
pub const MESSAGE_MAX: usize = 16 << 20;
/// Whatever a message is made of, it may take so much memory: what the longest has on the wire. Ten thousand Rollouts of
/// which nothing is said are half of it.
const DECODED_MIN: usize = MESSAGE_MAX;
/// And so much more for each of its bytes: what agents and people say is twice as large in memory as on the wire, besides.
const DECODED_A_BYTE: usize = 3;
/// What a person does about it.
const NEXT: &str =
    "let agents that look at a namespace each (`--namespaced`) be members in its place";

/// Why a hub does not take this Hello; none: it does.
#[must_use]
pub fn too_much(hello: &Hello) -> Option<String> {
    let rollouts = hello.rollouts.len();
    if rollouts > ROLLOUTS_MAX {
        return Some(format!(
            "this cluster has {rollouts} Rollouts, more than the {ROLLOUTS_MAX} that a hub keeps of one member: {NEXT}"
        ));
    }
    let bytes = hello.encoded_len();
    // The envelope is a few bytes.
    (bytes > MESSAGE_MAX - 64).then(|| too_long(&format!("{bytes} bytes with {rollouts} Rollouts")))
}

/// The sentence for a Hello that could not even be read.
#[must_use]
pub fn too_long(what: &str) -> String {
    format!(
        "Hello has {what}, more than the {} MiB of one message: {NEXT}",
        MESSAGE_MAX >> 20
    )
}

const fn decoded_max(bytes: usize) -> usize {
    DECODED_MIN.saturating_add(bytes.saturating_mul(DECODED_A_BYTE))
}

/// Whether a message of so many bytes takes no more than it may, whatever is in it: then it need not be looked at.
pub(crate) fn is_light<T: Shaped>(bytes: usize) -> bool {
    weight::at_most::<T>(bytes) <= decoded_max(bytes)
}

/// Why no hub decodes a message of these bytes; none: it does.
#[must_use]
pub fn too_heavy<T: Shaped>(bytes: &[u8]) -> Option<String> {
    let most = decoded_max(bytes.len());
    weight::of::<T>(bytes, most).err().map(|_| {
        format!(
            "a message of {} bytes takes more than {} MiB of memory once it is read, as one of very many empty parts does: no agent \
             and no `groundswell` says such a thing; look which program has their certificate, and use it for them alone",
            bytes.len(),
            most >> 20
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::v1::RolloutState;

    fn hello(count: usize, bytes: usize) -> Hello {
        let state = RolloutState {
            message: "x".repeat(bytes),
            ..RolloutState::default()
        };
        Hello {
            rollouts: vec![state; count],
            ..Hello::default()
        }
    }

    #[test]
    fn five_thousand_rollouts_are_said_and_what_is_more_than_a_hub_takes_is_a_sentence() {
        assert_eq!(too_much(&hello(5_000, 2_000)), None);
        assert_eq!(too_much(&hello(ROLLOUTS_MAX, 1_200)), None);
        let many = too_much(&hello(ROLLOUTS_MAX + 1, 1)).unwrap_or_default();
        assert!(
            many.starts_with("this cluster has 10001 Rollouts, more than the 10000"),
            "{many}"
        );
        let long = too_much(&hello(9_000, 2_000)).unwrap_or_default();
        assert!(
            long.contains("with 9000 Rollouts, more than the 16 MiB of one message: let agents"),
            "{long}"
        );
    }
}
