//! A cluster that comes under another name (gate.md L1, L4): over the wire, before a real Postgres.
use proto::v1::change_member_request::Change;
use proto::v1::{Hello, Leave};

use crate::agent::Agent;
use crate::fixture::{World, document};
use crate::member::change;

/// The agent keeps what it has by the numbers of what it was sent, under whatever name (L1).
#[tokio::test(flavor = "multi_thread")]
async fn one_that_joins_under_another_name_is_told_everything_above_what_it_was_told() {
    let world = World::start().await;
    let prod = [("tier", "prod")];
    let agent = Agent::member(&world, "eu-1", &prod).await;
    let (mut stream, _) = agent.open(&world).await;
    for name in ["basket", "checkout"] {
        let governed = document(name, name, "prod", "name: all");
        assert!(world.apply(&governed).await.problems.is_empty());
        let set = stream.set().await;
        stream.store(&set).await;
    }
    let mut admin = world.admin().await;
    let mut least = 0;
    // The last time without a person's word that the former one left.
    for (former, name, leaves) in [
        ("eu-1", "eu-1b", true),
        ("eu-1b", "eu-1", true),
        ("eu-1", "eu-1b", false),
    ] {
        let highest = stream.entries.iter().map(|entry| entry.version).max();
        assert!(highest > Some(least), "{highest:?} {least}");
        least = highest.unwrap();
        if leaves {
            let leave = change(former, Change::Leave(Leave {}));
            admin.change_member(leave).await.unwrap();
            stream.ended().await;
        }
        let agent = Agent::member_of(&world, (name, "uid-eu-1"), &prod).await;
        let hello = Hello {
            kube_system_uid: "uid-eu-1".to_owned(),
            ..agent.nothing()
        };
        stream = agent.hello(&world, hello).await;
        stream.welcome().await;
        let set = stream.set().await;
        assert_eq!(set.entries.len(), 2, "{set:?}");
        for entry in &set.entries {
            assert!(entry.version > least, "{name}: {entry:?} {least}");
        }
        stream.store(&set).await;
    }
    let history = world.history().await;
    assert!(history.iter().all(|row| row.kind != "ClusterRegressed"));
    let says = "it is or was a member as eu-1, too";
    assert!(history.iter().any(|row| row.message.ends_with(says)));
}
