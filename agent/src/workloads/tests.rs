//! What is known of workloads, without an API server: what a read, a watch and a write leave behind.

use super::*;

fn client() -> Client {
    let service = tower::service_fn(|_: http::Request<kube::client::Body>| async {
        Err::<http::Response<kube::client::Body>, std::io::Error>(std::io::ErrorKind::Other.into())
    });
    Client::new(service, "default")
}

fn workloads() -> (Workloads, Arc<Queue<Work>>) {
    let queue = Arc::new(Queue::default());
    (
        Workloads::new(client(), Reach::Cluster, Arc::clone(&queue)),
        queue,
    )
}

fn at(generation: i64) -> Version {
    Version::At {
        uid: "u".to_owned(),
        generation,
    }
}

fn web() -> Name {
    (WorkloadKind::Deployment, ObjectKey::new("shop", "web"))
}

fn put(workloads: &Workloads, generation: i64) {
    let mut state = workloads.lock();
    let known = state.known.get_mut(&web()).unwrap();
    known.read = Some((at(generation), None));
    known.seen = Some(at(generation));
}

#[tokio::test]
async fn only_a_named_workload_is_kept_and_only_another_generation_is_news() {
    let (workloads, queue) = workloads();
    let rollout = ObjectKey::new("shop", "checkout");
    workloads.shows(&web(), at(1));
    assert!(workloads.lock().known.is_empty(), "nobody names it");
    assert_eq!(workloads.name(&rollout, &web()), Err(None));
    put(&workloads, 1);
    assert_eq!(workloads.name(&rollout, &web()), Ok(None));
    workloads.shows(&web(), at(1));
    assert_eq!(queue.depth(), 0, "a change of its status is no news");
    workloads.shows(&web(), at(2));
    assert_eq!(queue.next().await, Work::Rollout(rollout.clone()));
    assert_eq!(
        workloads.name(&rollout, &web()),
        Err(Some(at(2))),
        "it has to be read again"
    );
    workloads.forget(&rollout);
    assert!(workloads.lock().known.is_empty() && workloads.lock().by_rollout.is_empty());
}

#[tokio::test]
async fn a_list_without_it_means_that_it_is_gone() {
    let (workloads, queue) = workloads();
    let rollout = ObjectKey::new("shop", "checkout");
    let _ = workloads.name(&rollout, &web());
    put(&workloads, 1);
    gone(&workloads, WorkloadKind::ReplicaSet, Some(BTreeSet::new()));
    assert_eq!(queue.depth(), 0, "another kind says nothing of it");
    gone(&workloads, WorkloadKind::Deployment, Some(BTreeSet::new()));
    assert_eq!(queue.depth(), 1);
    assert_eq!(workloads.name(&rollout, &web()), Err(Some(Version::Gone)));
}

#[tokio::test]
async fn a_rollout_that_names_another_one_lets_the_first_go() {
    let (workloads, _) = workloads();
    let rollout = ObjectKey::new("shop", "checkout");
    let _ = workloads.name(&rollout, &web());
    let other = (WorkloadKind::PodTemplate, ObjectKey::new("shop", "pods"));
    let _ = workloads.name(&rollout, &other);
    let known: Vec<Name> = workloads.lock().known.keys().cloned().collect();
    assert_eq!(known, [other]);
}
