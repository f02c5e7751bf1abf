//! What becomes of a set, without an API server.

use http_body_util::BodyExt as _;
use kube::client::Body;

use super::*;

fn entry(name: &str, governance: v1::gate_entry::Governance) -> v1::GateEntry {
    v1::GateEntry {
        namespace: "shop".into(),
        name: name.into(),
        fleet_rollout: name.into(),
        version: 1,
        governance: Some(governance),
    }
}

fn taken(entries: Vec<v1::GateEntry>) -> Taken {
    Taken {
        before: None,
        fence: Fence {
            incarnation: 1,
            version: 4,
        },
        set_hash: "h".into(),
        fence_signature: Some("c2ln".into()),
        entries,
    }
}

fn names(status: &FleetMemberStatus) -> Vec<&str> {
    status
        .governed
        .iter()
        .map(|one| one.name.as_str())
        .collect()
}

#[test]
fn absence_never_frees_and_ungovern_does() {
    let governed = |name| {
        entry(
            name,
            v1::gate_entry::Governance::Governed(v1::Governed::default()),
        )
    };
    let first = member_status(None, &taken(vec![governed("b"), governed("a")]), 3);
    assert_eq!(names(&first), ["a", "b"]);
    assert!(first.first_contact_done);
    assert_eq!((first.fence.version, first.session), (4, 3));
    let second = member_status(Some(&first), &taken(vec![governed("c")]), 4);
    assert_eq!(names(&second), ["a", "b", "c"]);
    let ungovern = entry(
        "b",
        v1::gate_entry::Governance::Ungovern(v1::Ungovern { mode: 2 }),
    );
    let third = member_status(Some(&second), &taken(vec![ungovern]), 4);
    assert_eq!(names(&third), ["a", "c"]);
}

#[test]
fn what_the_hub_was_told_is_read_back() {
    let annotated = |text: &str| ObjectMeta {
        annotations: Some(BTreeMap::from([(
            ANNOTATION_REPORTED.to_owned(),
            text.to_owned(),
        )])),
        ..ObjectMeta::default()
    };
    assert_eq!(
        reported(&annotated("7 v1:abc")),
        Some(("v1:abc".to_owned(), 7))
    );
    assert_eq!(reported(&annotated("v1:abc")), None);
    assert_eq!(reported(&ObjectMeta::default()), None);
}

#[test]
fn a_record_from_before_it_was_let_go_is_not_believed() {
    let record = json!({
        "served": {"digest": "v1:a", "podHash": "a"}, "held": {"digest": "v1:b"},
        "effective": {"fence": {"incarnation": 1, "version": 7}, "digest": "v1:b", "generation": 2},
        "outcome": {"fence": {"incarnation": 1, "version": 7}, "digest": "v1:b", "result": "Failed"},
        "lease": {"grantedSeconds": 30, "deadline": "2026-01-01T00:00:00Z"},
        "localPermit": {"origin": "Adopted", "digest": "v1:b"}, "withoutHub": "waits"
    });
    let gate = |governed: bool| Gate {
        spec: GateSpec {
            governed,
            ..GateSpec::default()
        },
        status: Some(serde_json::from_value(record.clone()).unwrap()),
        ..Gate::default()
    };
    let spec = |governed: bool| gate(governed).spec;
    let after = |was: bool, is: bool| status_after(&gate(was), &spec(is)).unwrap();
    let kept = gate(true).status.unwrap();
    assert_eq!(after(true, true), kept);
    let let_go = after(true, false);
    assert_eq!((&let_go.served, &let_go.without_hub), (&kept.served, &None));
    let again = after(false, true);
    let left = GateStatus {
        outcome: kept.outcome.clone(),
        without_hub: kept.without_hub.clone(),
        ..GateStatus::default()
    };
    assert_eq!(again, left);
    assert!(is_governed_again(&gate(false), &spec(true)));
}

/// An API server that keeps what it is sent.
#[derive(Default)]
struct Server(std::sync::Mutex<BTreeMap<String, Value>>);

impl Server {
    fn put(&self, path: &str, object: Value) {
        self.0.lock().unwrap().insert(path.to_owned(), object);
    }

    fn member(&self, name: &str) -> FleetMember {
        let objects = self.0.lock().unwrap();
        serde_json::from_value(objects[&member_path(name)].clone()).unwrap()
    }

    async fn answer(self: Arc<Self>, request: http::Request<Body>) -> http::Response<Body> {
        let (parts, body) = request.into_parts();
        let sent = body.collect().await.unwrap().to_bytes();
        let sent: Value = serde_json::from_slice(&sent).unwrap_or_default();
        let mut objects = self.0.lock().unwrap();
        let path = parts.uri.path().to_owned();
        let stored = match parts.method.as_str() {
            "POST" => {
                let name = sent["metadata"]["name"].as_str().unwrap();
                objects.insert(format!("{path}/{name}"), sent.clone());
                Some(sent)
            }
            "PATCH" => objects.get_mut(&path).map(|object| {
                if sent["status"].is_null() {
                    object.as_object_mut().unwrap().remove("status");
                }
                for (name, value) in sent["spec"].as_object().into_iter().flatten() {
                    object["spec"][name] = value.clone();
                }
                object.clone()
            }),
            _ => objects.get(&path).cloned(),
        };
        let (code, answer) = match stored {
            Some(object) => (200, object),
            None => (
                404,
                json!({"kind": "Status", "status": "Failure", "code": 404, "reason": "NotFound", "message": path}),
            ),
        };
        http::Response::builder()
            .status(code)
            .body(Body::from(answer.to_string().into_bytes()))
            .unwrap()
    }
}

fn member_path(name: &str) -> String {
    format!("/apis/fleet.groundswell.dev/v1alpha1/namespaces/groundswell/fleetmembers/{name}")
}

/// The store of the cluster whose name is `eu-1b` now.
fn store(server: &Arc<Server>, caches: &Arc<Caches>) -> GateStore {
    let answers = Arc::clone(server);
    let service = tower::service_fn(move |request| {
        let answer = Arc::clone(&answers).answer(request);
        async move { Ok::<_, std::io::Error>(answer.await) }
    });
    let client = Client::new(service, "default");
    let queue = Arc::new(crate::controller::work_queue());
    let reach = crate::cache::Reach::Cluster;
    GateStore {
        namespace: "groundswell".to_owned(),
        member: FleetMemberSpec {
            cluster: "eu-1b".to_owned(),
            kube_system_uid: agent_api::Uid("system".to_owned()),
            ..FleetMemberSpec::default()
        },
        client: client.clone(),
        writer: Writer::new(client.clone()),
        written: Arc::default(),
        workloads: Arc::new(Workloads::new(client, reach, queue)),
        caches: Arc::clone(caches),
        fleet: Arc::new(Fleet::new(
            true,
            agent_api::FirstContact::Hold,
            agent_api::Uid("system".to_owned()),
        )),
    }
}

fn governed() -> v1::gate_entry::Governance {
    v1::gate_entry::Governance::Governed(v1::Governed {
        policy: Some(v1::Policy {
            on_hub_loss: v1::policy::OnHubLoss::Finish.into(),
            enforcement: "Enforce".into(),
            ..v1::Policy::default()
        }),
        ..v1::Governed::default()
    })
}

fn shown<K: serde::de::DeserializeOwned>(object: Value) -> agent_api::Decoded<K> {
    serde_json::from_value(object).unwrap()
}

#[tokio::test]
async fn under_another_name_a_cluster_goes_on_from_what_it_held_under_the_former() {
    let (server, caches) = (Arc::new(Server::default()), Arc::new(Caches::default()));
    let outcome = serde_json::to_value(agent_api::Outcome::default()).unwrap();
    let member = |name: &str, uid: &str| {
        let governed = json!([{"fleetRollout": "payments", "namespace": "shop", "name": name}]);
        json!({
            "apiVersion": "fleet.groundswell.dev/v1alpha1", "kind": "FleetMember",
            "metadata": {"name": name, "namespace": "groundswell", "resourceVersion": "7"},
            "spec": {"cluster": name, "hub": "h", "kubeSystemUid": uid},
            "status": {
                "fence": {"incarnation": 1, "version": 3}, "governed": governed, "firstContactDone": true,
                "spent": {"uid-web": outcome},
            },
        })
    };
    // The second was copied here from another cluster.
    for (name, uid) in [("eu-1", "system"), ("copied", "of another")] {
        server.put(&member_path(name), member(name, uid));
        caches.members.show(shown(member(name, uid)));
    }
    let set = taken(vec![entry("checkout", governed())]);
    let problems = store(&server, &caches).store(&set, 1).await.unwrap();
    assert_eq!(problems, []);
    let own = server.member("eu-1b").status.unwrap();
    assert_eq!(names(&own), ["checkout", "eu-1"], "absence never frees");
    assert_eq!((own.fence.version, own.spent.len()), (4, 1));
    assert_eq!(server.member("eu-1").status, None);
    assert!(
        server.member("copied").status.is_some(),
        "not this cluster's"
    );
}

#[tokio::test]
async fn a_gate_that_is_newer_than_its_entry_is_a_problem_and_one_of_the_same_version_is_none() {
    let (server, caches) = (Arc::new(Server::default()), Arc::new(Caches::default()));
    for (name, version) in [("same", 1), ("newer", 50)] {
        caches.gates.show(shown(json!({
            "apiVersion": "fleet.groundswell.dev/v1alpha1", "kind": "Gate",
            "metadata": {"name": gate_name("shop", name), "namespace": "groundswell", "resourceVersion": "7"},
            "spec": {
                "rollout": {"namespace": "shop", "name": name}, "fleetRollout": name, "governed": true,
                "incarnation": 1, "version": version,
            },
        })));
    }
    let set = taken(vec![entry("same", governed()), entry("newer", governed())]);
    let problems = store(&server, &caches).store(&set, 1).await.unwrap();
    let [problem] = problems.as_slice() else {
        panic!("{problems:?}")
    };
    assert_eq!(problem.name, "newer");
    let says = "Gate shop.newer holds 1.50, more than the 1.1 that the hub has for it, and is left alone: delete it";
    assert!(problem.message.starts_with(says), "{}", problem.message);
}

/// The agent died after a Gate of set 1.5 and before its fence; then the hub's database was put back to 1.3, and gives the
/// number to another set: what is left of the lost one must not count by it (G17).
#[tokio::test]
async fn a_gate_of_a_set_that_was_never_whole_is_written_over_whatever_its_number() {
    let (server, caches) = (Arc::new(Server::default()), Arc::new(Caches::default()));
    let gate = |version: u64| {
        json!({
            "apiVersion": "fleet.groundswell.dev/v1alpha1", "kind": "Gate",
            "metadata": {"name": gate_name("shop", "web"), "namespace": "groundswell", "resourceVersion": "7"},
            "spec": {
                "rollout": {"namespace": "shop", "name": "web"}, "fleetRollout": "web", "governed": true,
                "incarnation": 1, "version": version,
            },
        })
    };
    let path = "/apis/fleet.groundswell.dev/v1alpha1/namespaces/groundswell/gates/shop.web";
    let stored = |version| Fence {
        incarnation: 1,
        version,
    };
    let version = || server.0.lock().unwrap()[path]["spec"]["version"].clone();
    let entries = [entry("web", governed())];
    for (left, whole, written) in [(5, 3, 1), (3, 3, 3)] {
        server.put(path, gate(left));
        caches.gates.show(shown(gate(left)));
        let store = store(&server, &caches);
        let any = store.catch_up(entries.iter(), stored(whole)).await;
        assert_eq!((any, version()), (written == 1, json!(written)), "{left}");
        server.put(path, gate(left));
        let next = Taken {
            before: Some(stored(whole)),
            fence: stored(5),
            ..taken(entries.to_vec())
        };
        let problems = store.store(&next, 1).await.unwrap();
        assert_eq!(problems.is_empty(), written == 1, "{problems:?}");
        assert_eq!(version(), json!(written), "{left}");
    }
}

#[test]
fn words_of_a_later_hub_free_nothing() {
    let later = |governance| v1::GateEntry {
        governance,
        ..entry("web", governed())
    };
    let mode = v1::Ungovern { mode: 99 };
    let ended = Some(v1::gate_entry::Governance::Ungovern(mode));
    for governance in [None, ended] {
        let first = member_status(None, &taken(vec![later(governance)]), 3);
        assert_eq!(
            names(&first),
            ["web"],
            "it is governed before its first Gate"
        );
    }
}

/// What the hub says now is not known, so what it said before counts no more (G17): a permit that it took away in such words would
/// go on.
#[tokio::test]
async fn a_permit_is_withheld_where_the_newer_word_cannot_be_read() {
    let (server, caches) = (Arc::new(Server::default()), Arc::new(Caches::default()));
    let path = "/apis/fleet.groundswell.dev/v1alpha1/namespaces/groundswell/gates/shop.web";
    let gate = json!({
        "apiVersion": "fleet.groundswell.dev/v1alpha1", "kind": "Gate",
        "metadata": {"name": gate_name("shop", "web"), "namespace": "groundswell", "resourceVersion": "7"},
        "spec": {
            "rollout": {"namespace": "shop", "name": "web"}, "fleetRollout": "web", "governed": true,
            "incarnation": 1, "version": 3, "permit": agent_api::Permit::default(),
        },
    });
    server.put(path, gate.clone());
    caches.gates.show(shown(gate));
    let later = v1::GateEntry {
        version: 4,
        governance: None,
        ..entry("web", governed())
    };
    let store = store(&server, &caches);
    let problems = store.store(&taken(vec![later]), 1).await.unwrap();
    assert_eq!(problems.len(), 1, "the hub is told");
    let spec = server.0.lock().unwrap()[path]["spec"].clone();
    assert_eq!(
        (&spec["version"], &spec["permit"]),
        (&json!(3), &Value::Null)
    );
}
