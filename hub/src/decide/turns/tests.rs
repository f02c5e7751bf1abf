//! Turns without a database: who waits for whom.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use hub_engine::RolloutName;
use tokio::sync::{Notify, watch};
use tokio::time::timeout;

use super::*;

/// A word of a person has to arrive within 5 s (gate.md G30).
const ARRIVES: Duration = Duration::from_secs(5);

/// `slow` gets no answer as long as it hangs; `bad` is never decided; the others are at once.
#[derive(Clone)]
struct Fake {
    names: Vec<&'static str>,
    news: Arc<Mutex<News>>,
    woken: Arc<Notify>,
    hangs: watch::Receiver<bool>,
    /// In the order of their beginning.
    begun: Arc<Mutex<Vec<FleetRolloutName>>>,
}

impl Fake {
    fn of(names: &[&'static str]) -> (Self, watch::Sender<bool>) {
        let (hang, hangs) = watch::channel(true);
        let fake = Self {
            names: names.to_vec(),
            news: Arc::default(),
            woken: Arc::default(),
            hangs,
            begun: Arc::default(),
        };
        (fake, hang)
    }

    fn says(&self, name: &str) {
        let news = News {
            rollouts: [rollout(name)].into(),
            ..News::default()
        };
        self.news.lock().unwrap().join(news);
        self.woken.notify_one();
    }

    fn count(&self, name: &str) -> usize {
        let begun = self.begun.lock().unwrap();
        begun.iter().filter(|one| one.as_str() == name).count()
    }

    async fn until(&self, what: &str, is: impl Fn(&Self) -> bool) {
        let look = async {
            while !is(self) {
                tokio::task::yield_now().await;
            }
        };
        assert!(
            timeout(ARRIVES, look).await.is_ok(),
            "{what}: {:?}",
            self.begun
        );
    }
}

fn rollout(name: &str) -> RolloutName {
    RolloutName {
        namespace: "shop".to_owned(),
        name: name.to_owned(),
    }
}

impl Work for Fake {
    fn may(&self) -> bool {
        true
    }

    fn news(&self) -> News {
        std::mem::take(&mut self.news.lock().unwrap())
    }

    fn woken(&mut self) -> BoxFuture<'_, ()> {
        self.woken.notified().boxed()
    }

    fn names(&self) -> BoxFuture<'static, Result<Vec<FleetRolloutName>, Error>> {
        let names = self.names.iter().map(|name| (*name).into()).collect();
        async move { Ok(names) }.boxed()
    }

    fn turn(&self, name: FleetRolloutName) -> BoxFuture<'static, Result<Turn, Error>> {
        self.begun.lock().unwrap().push(name.clone());
        let mut hangs = self.hangs.clone();
        async move {
            match name.as_str() {
                "slow" => drop(hangs.wait_for(|hangs| !hangs).await),
                "bad" => {
                    let message = "nothing comes".to_owned();
                    return Err(Error::Unavailable { message });
                }
                _ => {}
            }
            Ok(Turn::Settled(Settled {
                rollout: rollout(name.as_str()),
                after: Vec::new(),
                wake: None,
            }))
        }
        .boxed()
    }
}

#[tokio::test]
async fn g30_nobody_waits_for_anothers_slow_turn() {
    let (fake, hang) = Fake::of(&["bad", "slow", "web"]);
    let stop = CancellationToken::new();
    let runs = tokio::spawn(run(fake.clone(), stop.clone()));
    fake.until("all begin", |fake| {
        fake.count("slow") == 1 && fake.count("web") == 1
    })
    .await;
    for word in 2..5 {
        let before = fake.count("web");
        fake.says("web");
        fake.until("a word of another one", |fake| fake.count("web") > before)
            .await;
        assert_eq!(
            fake.count("slow"),
            1,
            "one turn of a name at a time, word {word}"
        );
    }
    // What was said meanwhile is looked at when it answers again.
    fake.says("slow");
    fake.until("it is heard", |fake| {
        fake.news.lock().unwrap().rollouts.is_empty()
    })
    .await;
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(fake.count("slow"), 1);
    hang.send_replace(false);
    fake.until("it is decided again", |fake| fake.count("slow") == 2)
        .await;
    // One that is not decided is tried again and again, and not with every hint.
    for _ in 0..50 {
        fake.says("bad");
        tokio::task::yield_now().await;
    }
    assert!(fake.count("bad") < 10, "{:?}", fake.begun);
    let before = fake.count("bad");
    fake.until("once more", |fake| fake.count("bad") > before)
        .await;
    stop.cancel();
    runs.await.unwrap();
}

/// What is there for more than can be decided at once is not begun at the front again and again.
#[tokio::test]
async fn everybody_has_a_turn() {
    let names = ["a", "b", "c", "d", "e", "f", "g", "slow"];
    let (fake, hang) = Fake::of(&names);
    let stop = CancellationToken::new();
    let runs = tokio::spawn(run(fake.clone(), stop.clone()));
    for _ in 0..20 {
        fake.says("a");
        tokio::task::yield_now().await;
    }
    let all = |fake: &Fake| names.iter().all(|name| fake.count(name) > 0);
    fake.until("all", all).await;
    stop.cancel();
    hang.send_replace(false);
    runs.await.unwrap();
}
