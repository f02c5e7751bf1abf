//! What is weighed is what is held, and no bytes are too strange to be weighed.
use std::collections::BTreeMap;

use proptest::prelude::*;
use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint};

use super::*;
use crate::limit::{MESSAGE_MAX, ROLLOUTS_MAX, is_light, too_heavy};
use crate::v1::agent_message::Body;
use crate::v1::{
    AgentMessage, ApproveRequest, ChangeMemberRequest, Content as Spec, Hello, HubMessage, Reason,
    Report, ReportBatch, RolloutRef, RolloutState, report,
};

/// Parts of one message.
const MANY: usize = 2_000_000;

fn texts<'a>(all: impl IntoIterator<Item = &'a String>) -> usize {
    all.into_iter()
        .map(|text| size_of::<String>() + text.len())
        .sum()
}

fn name(rollout: &RolloutRef) -> usize {
    rollout.namespace.len() + rollout.name.len() + rollout.uid.len()
}

fn spec(spec: &Spec) -> usize {
    let own = spec.digest.len() + spec.delivery_digest.len() + spec.revision.len();
    own + texts(&spec.images)
}

fn reason(reason: &Reason) -> usize {
    size_of::<Reason>() + reason.code.len() + reason.message.len() + reason.next.len()
}

/// Of what `state` below makes.
fn held(state: &RolloutState) -> usize {
    let (phase, message) = (state.phase.len(), state.message.len());
    let maps = &state.kept_deliveries;
    size_of::<RolloutState>()
        + state.rollout.as_ref().map_or(0, name)
        + state.spec.as_ref().map_or(0, spec)
        + phase
        + message
        + texts(&state.kept)
        + texts(&state.healthy)
        + state.reasons.iter().map(reason).sum::<usize>()
        + texts(maps.keys())
        + texts(maps.values())
}

fn held_by(word: &AgentMessage) -> usize {
    let Some(Body::Hello(hello)) = &word.body else {
        return size_of::<AgentMessage>();
    };
    let own = hello.kube_system_uid.len() + hello.agent_version.len() + hello.audit_head.len();
    size_of::<AgentMessage>() + own + hello.rollouts.iter().map(held).sum::<usize>()
}

fn text() -> impl Strategy<Value = String> {
    "[a-z]{0,9}"
}

fn some_texts() -> impl Strategy<Value = Vec<String>> {
    prop::collection::vec(text(), 0..4)
}

prop_compose! {
    fn rollout()(namespace in text(), name in text(), uid in text()) -> RolloutRef {
        RolloutRef { namespace, name, uid }
    }
}

prop_compose! {
    fn some_spec()(digest in text(), revision in text(), images in some_texts()) -> Spec {
        Spec { digest, revision, images, ..Spec::default() }
    }
}

prop_compose! {
    fn some_reason()(code in text(), message in text(), next in text()) -> Reason {
        Reason { code, message, next }
    }
}

prop_compose! {
    fn state()(
        rollout in prop::option::of(rollout()),
        spec in prop::option::of(some_spec()),
        (kept, healthy) in (some_texts(), some_texts()),
        (phase, message) in (text(), text()),
        reasons in prop::collection::vec(some_reason(), 0..3),
        kept_deliveries in prop::collection::btree_map(text(), text(), 0..4),
        step in 0_u32..300,
    ) -> RolloutState {
        RolloutState { rollout, spec, kept, healthy, phase, message, reasons, kept_deliveries, step, ..RolloutState::default() }
    }
}

prop_compose! {
    fn word()(kube_system_uid in text(), rollouts in prop::collection::vec(state(), 0..5)) -> AgentMessage {
        said(Body::Hello(Hello { kube_system_uid, rollouts, ..Hello::default() }))
    }
}

fn said(body: Body) -> AgentMessage {
    AgentMessage {
        trace: None,
        body: Some(body),
    }
}

proptest! {
    #[test]
    fn what_is_weighed_is_what_is_held(word in word()) {
        let (bytes, held) = (word.encode_to_vec(), held_by(&word));
        prop_assert_eq!(of::<AgentMessage>(&bytes, usize::MAX), Ok(held));
        prop_assert!(held <= at_most::<AgentMessage>(bytes.len()));
        prop_assert_eq!(of::<AgentMessage>(&bytes, held - 1), Err(TooHeavy));
    }

    /// Bytes that are changed on their way, and are still a message.
    #[test]
    fn what_can_be_decoded_weighs_no_less_than_it_holds(
        word in word(), changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4), cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = word.encode_to_vec();
        for (place, byte) in changes {
            if !bytes.is_empty() {
                let place = place.index(bytes.len());
                bytes[place] = byte;
            }
        }
        if bytes.len() % 4 == 0 {
            bytes.truncate(cut.index(bytes.len() + 1));
        }
        let weight = of::<AgentMessage>(&bytes, usize::MAX).unwrap();
        prop_assert!(weight <= at_most::<AgentMessage>(bytes.len()));
        if let Ok(decoded) = AgentMessage::decode(bytes.as_slice()) {
            prop_assert!(weight >= held_by(&decoded));
        }
    }

    #[test]
    fn no_bytes_are_too_strange(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let weight = of::<AgentMessage>(&bytes, usize::MAX).unwrap();
        prop_assert!(weight <= at_most::<AgentMessage>(bytes.len()));
        prop_assert!(of::<ChangeMemberRequest>(&bytes, usize::MAX).is_ok());
    }
}

#[test]
fn bytes_without_end_or_sense_come_to_an_end() {
    for bytes in [
        &[0xff; 40][..],
        // A length that no memory has, and one beyond its end.
        &[
            0x12, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01,
        ],
        &[0x12, 0x05, 0x2a],
        // Groups that begin and never end, a kind that there is not, a number above all.
        &[0x0b; 64],
        &[0x17],
        &[0x80, 0x80, 0x80, 0x80, 0x80, 0x01, 0x00],
    ] {
        let weight = of::<AgentMessage>(bytes, usize::MAX);
        assert_eq!(weight, Ok(size_of::<AgentMessage>()), "{bytes:x?}");
    }
}

/// So many empty parts with this number, within messages with these.
fn empty_parts(path: &[u32], count: usize) -> Vec<u8> {
    let (last, around) = path.split_last().unwrap();
    let mut one = Vec::new();
    encode_key(*last, WireType::LengthDelimited, &mut one);
    one.push(0);
    around
        .iter()
        .rev()
        .fold(one.repeat(count), |within, number| {
            let mut out = Vec::new();
            encode_key(*number, WireType::LengthDelimited, &mut out);
            encode_varint(within.len() as u64, &mut out);
            out.extend(within);
            out
        })
}

#[test]
fn millions_of_empty_parts_are_no_message() {
    for path in [
        &[3, 2][..],   // reports
        &[2, 5],       // Rollouts
        &[2, 5, 6],    // what one of them keeps
        &[2, 5, 15],   // why it waits
        &[2, 5, 18],   // a map
        &[2, 5, 2, 4], // images
        &[2, 7],       // forms of digests
        &[4, 3],       // Gates that could not be written
        &[3, 2, 5, 2], // of one report, its first content: the same, again and again
    ] {
        let bytes = empty_parts(path, MANY);
        let why = too_heavy::<AgentMessage>(&bytes);
        // What is said again and again takes one place.
        let again = path == [3, 2, 5, 2];
        assert_eq!(why.is_none(), again, "{path:?}: {why:?}");
        assert!(bytes.len() < MESSAGE_MAX);
    }
    assert!(too_heavy::<ApproveRequest>(&empty_parts(&[29, 1], MANY)).is_some());
    assert!(too_heavy::<ChangeMemberRequest>(&empty_parts(&[3, 1], MANY)).is_some());
    assert!(too_heavy::<ChangeMemberRequest>(&empty_parts(&[3, 2], MANY)).is_some());
    let why = too_heavy::<AgentMessage>(&empty_parts(&[3, 2], MANY)).unwrap();
    assert!(
        why.starts_with("a message of 4000005 bytes takes more than 27 MiB"),
        "{why}"
    );
}

/// Everything that an agent says of a Rollout.
fn large(number: usize) -> RolloutState {
    let digest = |kind: &str| format!("v1:{kind}{number:0>62}");
    let kept: Vec<String> = ["a", "b", "c"].map(digest).into();
    let deliveries: BTreeMap<String, String> =
        kept.iter().map(|one| (one.clone(), digest("d"))).collect();
    RolloutState {
        rollout: Some(RolloutRef {
            namespace: format!("team-{number}"),
            name: format!("checkout-{number}"),
            uid: "f4b0a3c2-1111-2222-3333-444455556666".into(),
        }),
        spec: Some(Spec {
            digest: digest("a"),
            delivery_digest: digest("d"),
            revision: "0123456789012345678901234567890123456789".into(),
            images: vec!["registry.example.com/shop/checkout:v1.2.3".into(); 2],
            generation: 12,
        }),
        served_digest: digest("b"),
        healthy: kept.clone(),
        kept,
        phase: "Progressing".into(),
        reasons: vec![Reason::default(); 2],
        kept_deliveries: deliveries,
        ..RolloutState::default()
    }
}

#[test]
fn what_agents_say_is_read() {
    let hello = |rollouts| {
        said(Body::Hello(Hello {
            rollouts,
            ..Hello::default()
        }))
    };
    let small = |number: usize| RolloutState {
        rollout: Some(RolloutRef {
            name: number.to_string(),
            ..RolloutRef::default()
        }),
        ..RolloutState::default()
    };
    let reports = |state: &dyn Fn(usize) -> RolloutState| {
        let one = |number| Report {
            body: Some(report::Body::State(state(number))),
            ..Report::default()
        };
        let reports = (0..ROLLOUTS_MAX).map(one).collect();
        said(Body::Reports(ReportBatch {
            session: 1,
            reports,
        }))
    };
    let all = || 0..ROLLOUTS_MAX;
    for word in [
        hello(all().map(large).collect()),
        hello(all().map(small).collect()),
        reports(&large),
        reports(&small),
    ] {
        let bytes = word.encode_to_vec();
        assert!(bytes.len() <= MESSAGE_MAX, "{}", bytes.len());
        assert_eq!(too_heavy::<AgentMessage>(&bytes), None);
    }
    // A heartbeat is not even looked at, nor is a usual batch.
    assert!(is_light::<AgentMessage>(16 << 10));
    assert!(is_light::<ApproveRequest>(64 << 10));
    assert!(!is_light::<AgentMessage>(MESSAGE_MAX));
    assert_eq!(
        (AgentMessage::HUB_HEARS, HubMessage::HUB_HEARS),
        (true, false)
    );
}
