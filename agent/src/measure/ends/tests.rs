//! Job clusters that hang, fail and refuse. In: Jobs that are to end. Out: their runs named in time, what was asked.

use std::sync::atomic::{AtomicUsize, Ordering};

use kube::Client;
use kube::client::Body;
use serde_json::json;

use super::*;

/// How a Job cluster answers, request by request; none: it accepts and hangs.
#[derive(Default)]
struct Cluster {
    script: Vec<Option<u16>>,
    asked: AtomicUsize,
    deleted: Mutex<Vec<String>>,
}

impl Cluster {
    fn client(self: &Arc<Self>) -> Client {
        let cluster = Arc::clone(self);
        let service = tower::service_fn(move |request: http::Request<Body>| {
            let cluster = Arc::clone(&cluster);
            async move {
                let index = cluster.asked.fetch_add(1, Ordering::SeqCst);
                let last = cluster.script.len().saturating_sub(1);
                let Some(code) = cluster.script[index.min(last)] else {
                    return std::future::pending().await;
                };
                if code == 200 && request.method() == "DELETE" {
                    let path = request.uri().path();
                    let name = path.rsplit('/').next().unwrap().to_owned();
                    cluster.deleted.lock().unwrap().push(name);
                }
                let status = json!({"kind": "Status", "status": "Failure", "code": code, "message": "no", "reason": "x"});
                let answer = http::Response::builder().status(code);
                Ok::<_, std::io::Error>(
                    answer
                        .body(Body::from(status.to_string().into_bytes()))
                        .unwrap(),
                )
            }
        });
        Client::new(service, "default")
    }
}

struct World {
    cluster: Arc<Cluster>,
    ends: Arc<Ends>,
    queue: Arc<Queue<Work>>,
    run: ObjectKey,
    job: ObjectKey,
}

impl World {
    fn new(script: &[Option<u16>]) -> Self {
        let cluster = Arc::new(Cluster {
            script: script.to_vec(),
            ..Cluster::default()
        });
        let jobs = Jobs::elsewhere(cluster.client(), Some("jobs".to_owned()), false);
        let (queue, slots) = (Arc::new(Queue::default()), Arc::new(Semaphore::new(1)));
        let ends = Ends {
            longest: Duration::from_secs(2),
            ..Ends::new(Arc::new(jobs), Arc::clone(&queue), slots)
        };
        Self {
            cluster,
            ends: Arc::new(ends),
            queue,
            run: ObjectKey::new("shop", "run"),
            job: ObjectKey::new("jobs", "uid.smoke.1"),
        }
    }

    /// The end of the Job, as a run's passes see it.
    async fn ended(&self) {
        assert!(!self.ends.ended(&self.run, &self.job), "nobody waits here");
        assert!(
            !self.ends.ended(&self.run, &self.job),
            "and it is asked once"
        );
        let named = self.queue.next().await;
        self.queue.done(&named);
        assert_eq!(named, Work::Run(self.run.clone()));
        assert!(self.ends.ended(&self.run, &self.job));
    }

    fn asked(&self) -> usize {
        self.cluster.asked.load(Ordering::SeqCst)
    }
}

#[tokio::test]
async fn a_job_cluster_that_hangs_holds_no_verdict_up_for_ever() {
    let world = World::new(&[None]);
    world.ended().await;
    // Nor one whose Job did not even have its turn.
    let hung = world.ends.slots.acquire().await;
    world.ends.forget(&world.run);
    world.ended().await;
    assert_eq!(world.asked(), 1);
    drop(hung);
}

#[tokio::test]
async fn an_end_that_fails_is_tried_again_and_one_that_is_refused_is_not() {
    for (script, asked) in [
        (&[Some(500), Some(429), Some(200)][..], 3),
        (&[Some(404)], 1),
        (&[Some(403)], 1),
    ] {
        let world = World::new(script);
        world.ended().await;
        assert_eq!(world.asked(), asked, "{script:?}");
    }
}

#[tokio::test]
async fn jobs_elsewhere_end_with_a_run_that_is_deleted() {
    let world = World::new(&[Some(200)]);
    let more = ObjectKey::new("jobs", "uid.load.1");
    let open = [world.job.clone(), more.clone()];
    world.ends.holds(&world.run, open.into_iter());
    // The first is over meanwhile.
    world.ends.holds(&world.run, std::iter::once(more));
    world.ends.gone(&world.run);
    world.ends.gone(&world.run);
    while world.cluster.deleted.lock().unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    assert_eq!(*world.cluster.deleted.lock().unwrap(), ["uid.load.1"]);
    let state = world.ends.lock();
    assert!(state.unowned.is_empty() && state.ends.is_empty());

    let here = Jobs::elsewhere(world.cluster.client(), None, true);
    let ends = Ends::new(Arc::new(here), Arc::default(), Arc::new(Semaphore::new(1)));
    ends.holds(&world.run, std::iter::once(ObjectKey::new("shop", "j")));
    assert!(ends.lock().unowned.is_empty(), "its run owns it");
}

/// A look at a Job that we delete found it deleted, and made an Error of a run that was only asked to end.
#[tokio::test]
async fn it_is_known_which_jobs_end_by_us() {
    let world = World::new(&[Some(200)]);
    let other = ObjectKey::new("jobs", "uid.smoke.2");
    assert!(!world.ends.ends(&world.run, &world.job));
    world.ended().await;
    assert!(world.ends.ends(&world.run, &world.job));
    assert!(!world.ends.ends(&world.run, &other));
    world.ends.forget(&world.run);
    assert!(!world.ends.ends(&world.run, &world.job));
}
