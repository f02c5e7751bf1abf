//! Blue-green under the hub: in each cluster a permit, a preview, a person's promotion, the switch. In: manifests, an approval,
//! verbs. Out: what the active Service selected when, and that a fleet rollback switches it back while Git says otherwise.

use serde_json::{Value, json};
use tests_e2e::deed;
use tests_e2e::fleet::{Fleet, revised, state};
use tests_e2e::object::text;
use tests_e2e::shop::{NAME, Shop};

use super::World;

/// Namespace and FleetRollout.
const WINDOW: &str = "window";
/// The Service of the newest version.
const PREVIEW: &str = "preview";

/// To both clusters at once. A person promotes in each.
async fn push(world: &World<'_>, version: &str) {
    for shop in &world.shops {
        let mut manifest = revised(shop.manifest(version, &json!([])), version);
        manifest["spec"]["strategy"] = json!({"blueGreen": {
            "activeService": NAME, "previewService": PREVIEW,
            "autoPromotionEnabled": false, "scaleDownDelaySeconds": 1,
        }});
        shop.apply(&manifest).await.expect("applied");
    }
}

fn hash(rollout: &Value, field: &str) -> String {
    text(rollout, &format!("/status/{field}")).to_owned()
}

/// Waits until a version is previewed beside another one; gives its hash.
async fn previewed(shop: &Shop, old: &str, new: &str) -> String {
    let held = shop.until("previewed", |rollout| {
        text(rollout, "/status/message") == "BlueGreenPause"
    });
    let held = held.await.expect("held before the switch");
    let (active, preview) = (hash(&held, "stableRS"), hash(&held, "currentPodHash"));
    shop.serves(&[(old, 5), (new, 5)]).await.expect("both");
    shop.selected(PREVIEW, &preview).await.expect("selected");
    assert_eq!(shop.selects(NAME).await.expect("read"), active);
    preview
}

/// Brings a version through the first cluster and to its approval in the second, which has not seen it yet.
async fn through_the_first(world: &World<'_>, old: &str, new: &str, release: &str) -> String {
    let [one, two] = &world.shops[..] else {
        panic!("two clusters");
    };
    let active = two.selects(NAME).await.expect("read");
    push(world, new).await;
    let switched = previewed(one, old, new).await;
    one.verb(&deed::promote()).await.expect("promoted");
    one.selected(NAME, &switched).await.expect("selected");
    one.healthy(new).await.expect("the old one is gone");
    world.asks_for_approval(release).await;
    let shown = world.fleet.release(release).await.expect("shown");
    assert_eq!(state(&shown, "one"), "Succeeded", "served: {shown}");
    let held = two.phase("Paused").await.expect("held");
    let message = text(&held, "/status/message");
    let waits = format!("waiting for wave 2 of 2 (rest) of release {release}");
    assert_eq!(message, waits);
    assert_eq!(world.first_start(1, new), None, "not even a preview");
    for service in [NAME, PREVIEW] {
        assert_eq!(two.selects(service).await.expect("read"), active);
    }
    world.approve(release).await;
    switched
}

/// v2 is switched to in both clusters; v3 in the first alone, for it is aborted in the second.
pub(super) async fn switches(fleet: &Fleet) {
    let world = World::open(fleet, WINDOW).await;
    for shop in &world.shops {
        shop.service(PREVIEW).await.expect("a Service");
    }
    push(&world, "v1").await;
    for shop in &world.shops {
        let first = shop.healthy("v1").await.expect("a first deploy is free");
        shop.selected(NAME, &hash(&first, "stableRS"))
            .await
            .expect("selected");
    }
    let [one, two] = &world.shops[..] else {
        panic!("two clusters");
    };

    let v2 = through_the_first(&world, "v1", "v2", "window#1").await;
    let switched = previewed(two, "v1", "v2").await;
    two.verb(&deed::promote()).await.expect("promoted");
    fleet.ends("window#1", "Succeeded").await.expect("through");
    two.selected(NAME, &switched).await.expect("selected");
    two.healthy("v2").await.expect("the old one is gone");

    through_the_first(&world, "v2", "v3", "window#2").await;
    previewed(two, "v2", "v3").await;
    two.verb(&deed::abort()).await.expect("aborted");
    let release = fleet.ends("window#2", "RolledBack").await.expect("back");
    assert_eq!(state(&release, "one"), "RolledBack", "{release}");
    assert_eq!(state(&release, "two"), "Failed", "{release}");
    // The second was never switched; the first is switched back without a pause.
    one.selected(NAME, &v2).await.expect("selected");
    two.selected(NAME, &switched).await.expect("selected");
    for shop in &world.shops {
        shop.serves(&[("v2", 5)]).await.expect("on v2");
    }
    let rollout = one.phase("Degraded").await.expect("says so");
    let message = text(&rollout, "/status/message");
    let why = "RolloutAborted: fleet rollback of release window#2";
    assert!(message.starts_with(why), "{message}");
    let image = "/spec/template/spec/containers/0/image";
    assert_eq!(text(&rollout, image), "demo:v3", "Git's word stays");
}
