//! One transaction for what many agents say at once. In: first words, heartbeats, acknowledgements and reports, each with who waits for it.
//! Out: what the store answered, to each its own. It must not answer before the commit, nor make one agent's trouble
//! another's: a transaction that does not go through is tried again in halves.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use hub_store::heard::{Acknowledged, Beat, Heard, Seen};
use hub_store::report::{Batch, Taken};
use hub_store::session::{Begun, Hello};
use hub_store::{CALL_MAX, Error, STREAM_MAX, Store, within};
use jiff::Timestamp;
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

/// Ten thousand agents are heard two thousand times a second, and nobody waits for the answer before the next heartbeat: ten
/// statements do for all.
const HEARTBEATS_EVERY: Duration = Duration::from_millis(100);
/// Between two transactions with reports, or with acknowledgements, each of which stands in front of its agent's next report;
/// the first after a pause waits for nothing.
const GATHER: Duration = Duration::from_millis(10);
/// Heartbeats and acknowledgements of one transaction: one is some hundred bytes.
const WORDS_MAX: usize = 2_000;
/// Batches, or first words, of one transaction, which has to end well before the database gives up on it; each session brings a
/// part of `REPORTS_AT_ONCE` at most, each Hello `ROLLOUTS_TOGETHER`.
const BATCHES_MAX: usize = 50;
/// Who waits: a session asks once at a time, so this is for the fleet that talks at once; more wait at the door.
const WAITING_MAX: usize = 4_096;

/// Transactions of one kind at a time: a connection that falls silent stops one of them, and the other goes on.
const AT_ONCE: usize = 2;
/// A heartbeat is one statement, which the server itself ends after so long; the cluster's contact must not hang on one that
/// fell silent.
const HEARTBEATS_MAX: Duration = Duration::from_secs(5);

struct Asked<Word, Answer> {
    word: Word,
    answer: oneshot::Sender<Result<Answer, Error>>,
}

/// Where words go in.
#[derive(Debug)]
struct Lane<Word, Answer>(mpsc::Sender<Asked<Word, Answer>>);

impl<Word, Answer> Clone for Lane<Word, Answer> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<Word, Answer> Lane<Word, Answer> {
    async fn ask(&self, word: Word) -> Result<Answer, Error> {
        let (answer, answered) = oneshot::channel();
        let sent = self.0.send(Asked { word, answer }).await;
        if sent.is_err() {
            return Err(stopping());
        }
        answered.await.unwrap_or_else(|_| Err(stopping()))
    }
}

fn stopping() -> Error {
    Error::Unavailable {
        message: "the hub stops".to_owned(),
    }
}

/// What every session says goes through here.
#[derive(Debug, Clone)]
pub struct Gather {
    seen: Lane<Seen, Beat>,
    acknowledged: Lane<Acknowledged, Heard>,
    reports: Lane<Batch, Taken>,
    hellos: Lane<Hello, Option<Begun>>,
}

impl Gather {
    /// Starts to gather, until it is told to stop.
    #[must_use]
    pub fn start(store: &Store, stop: &CancellationToken) -> Self {
        let seen = Pace {
            most: WORDS_MAX,
            every: HEARTBEATS_EVERY,
            ..PACE
        };
        let acknowledged = Pace {
            most: WORDS_MAX,
            ..PACE
        };
        Self {
            seen: lane(store, seen, stop, |store, words| {
                Box::pin(within(HEARTBEATS_MAX, store.sessions_seen(words)))
            }),
            acknowledged: lane(store, acknowledged, stop, |store, words| {
                Box::pin(within(STREAM_MAX, store.sessions_acknowledged(words)))
            }),
            reports: lane(store, PACE, stop, |store, words| {
                Box::pin(within(STREAM_MAX, store.reports_store(words)))
            }),
            hellos: lane(store, PACE, stop, |store, words| {
                Box::pin(within(CALL_MAX, store.sessions_open(words)))
            }),
        }
    }

    /// An agent was heard, when by the database's time. None: its session is over.
    ///
    /// # Errors
    /// As `Store::sessions_seen`; `Unavailable`, too, when its session was locked.
    pub async fn seen(&self, word: Seen) -> Result<Option<Timestamp>, Error> {
        let beat = self.seen.ask(word).await?;
        let current = beat.heard.current()?;
        Ok(beat.at.filter(|_| current))
    }

    /// An agent has stored a set. False: its session is over.
    ///
    /// # Errors
    /// As `Store::sessions_acknowledged`; `Unavailable`, too, when its session was locked.
    pub async fn acknowledged(&self, word: Acknowledged) -> Result<bool, Error> {
        self.acknowledged.ask(word).await?.current()
    }

    /// The first word of an agent that may come as it went. None: nothing was done about it.
    ///
    /// # Errors
    /// As `Store::sessions_open`.
    pub async fn hello(&self, hello: Hello) -> Result<Option<Begun>, Error> {
        self.hellos.ask(hello).await
    }

    /// Reports of one session.
    ///
    /// # Errors
    /// As `Store::reports_store`.
    pub async fn reports(&self, batch: Batch) -> Result<Taken, Error> {
        self.reports.ask(batch).await
    }
}

/// How words of one kind are gathered.
#[derive(Debug, Clone, Copy)]
struct Pace {
    at_once: usize,
    most: usize,
    every: Duration,
}

const PACE: Pace = Pace {
    at_once: AT_ONCE,
    most: BATCHES_MAX,
    every: GATHER,
};

/// One transaction: an answer a word.
type Put<Place, Word, Answer> =
    for<'a> fn(&'a Place, &'a [Word]) -> BoxFuture<'a, Result<Vec<Answer>, Error>>;

fn lane<Place, Word, Answer>(
    place: &Place,
    pace: Pace,
    stop: &CancellationToken,
    put: Put<Place, Word, Answer>,
) -> Lane<Word, Answer>
where
    Place: Clone + Send + Sync + 'static,
    Word: Send + Sync + 'static,
    Answer: Send + 'static,
{
    let (ask, asked) = mpsc::channel(WAITING_MAX);
    let asked = Arc::new(Mutex::new(asked));
    for _ in 0..pace.at_once {
        let (asked, place, stop) = (Arc::clone(&asked), place.clone(), stop.clone());
        tokio::spawn(async move {
            tokio::select! {
                () = run(&asked, &place, pace, put) => {}
                () = stop.cancelled() => {}
            }
        });
    }
    Lane(ask)
}

async fn run<Place, Word, Answer>(
    asked: &Mutex<mpsc::Receiver<Asked<Word, Answer>>>,
    place: &Place,
    pace: Pace,
    put: Put<Place, Word, Answer>,
) {
    let mut turns = interval(pace.every);
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let mut asked = asked.lock().await;
        let Some(first) = asked.recv().await else {
            return;
        };
        let mut all = vec![first];
        // What comes until its turn goes with it.
        turns.tick().await;
        while all.len() < pace.most
            && let Ok(next) = asked.try_recv()
        {
            all.push(next);
        }
        drop(asked);
        settle(place, put, all).await;
    }
}

/// Everybody gets an answer. The database is away: all hear that; else whose word it was that did not go through is found by
/// halves, and only that one hears it.
async fn settle<Place, Word, Answer>(
    place: &Place,
    put: Put<Place, Word, Answer>,
    all: Vec<Asked<Word, Answer>>,
) {
    let mut left = vec![all];
    while let Some(some) = left.pop() {
        let (words, waiting): (Vec<_>, Vec<_>) = some
            .into_iter()
            .map(|asked| (asked.word, asked.answer))
            .unzip();
        match put(place, &words).await {
            Ok(answers) => {
                for (answer, waits) in answers.into_iter().zip(waiting) {
                    // Its stream has ended meanwhile.
                    let _ = waits.send(Ok(answer));
                }
            }
            Err(error) if waiting.len() == 1 || matches!(error, Error::Unavailable { .. }) => {
                for waits in waiting {
                    let _ = waits.send(Err(error.clone()));
                }
            }
            Err(error) => {
                tracing::debug!(%error, words = words.len(), "what was gathered is stored in halves");
                let mut some: Vec<_> = words
                    .into_iter()
                    .zip(waiting)
                    .map(|(word, answer)| Asked { word, answer })
                    .collect();
                let second = some.split_off(some.len() / 2);
                left.push(second);
                left.push(some);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Doubles; refuses whatever holds a 13, and is away for whatever holds a 0.
    fn put<'a>(_: &'a (), words: &'a [u32]) -> BoxFuture<'a, Result<Vec<u32>, Error>> {
        let refused = |message: &str| Error::Refused {
            message: message.to_owned(),
        };
        let answers = if words.contains(&0) {
            Err(stopping())
        } else if words.contains(&13) {
            Err(refused("unlucky"))
        } else {
            Ok(words.iter().map(|word| word * 2).collect())
        };
        Box::pin(async move { answers })
    }

    async fn answers(words: &[u32]) -> Vec<Result<u32, String>> {
        let (all, waiting): (Vec<_>, Vec<_>) = words
            .iter()
            .map(|word| {
                let (answer, answered) = oneshot::channel();
                (
                    Asked {
                        word: *word,
                        answer,
                    },
                    answered,
                )
            })
            .unzip();
        settle(&(), put, all).await;
        let mut said = Vec::new();
        for answered in waiting {
            let answer = answered.await.unwrap();
            said.push(answer.map_err(|error| error.to_string()));
        }
        said
    }

    #[tokio::test]
    async fn each_gets_its_own_answer_and_its_own_trouble() {
        assert_eq!(answers(&[1, 2, 3]).await, [Ok(2), Ok(4), Ok(6)]);
        let unlucky = || Err("unlucky".to_owned());
        assert_eq!(
            answers(&[13, 2, 3, 4, 13]).await,
            [unlucky(), Ok(4), Ok(6), Ok(8), unlucky()]
        );
        let away = answers(&[0, 13, 2]).await;
        assert!(
            away.iter().all(|one| one
                .as_ref()
                .is_err_and(|text| text.contains("does not answer"))),
            "{away:?}"
        );
    }

    #[tokio::test]
    async fn what_comes_while_the_store_works_goes_in_one_transaction() {
        let (begun, mut begins) = mpsc::channel::<usize>(8);
        let (go, goes) = tokio::sync::watch::channel(false);
        let stop = CancellationToken::new();
        let pace = Pace {
            at_once: 1,
            most: 100,
            every: Duration::from_millis(1),
        };
        let lane = lane(&(begun, goes), pace, &stop, |(begun, goes), words| {
            Box::pin(async move {
                let _ = begun.send(words.len()).await;
                let _ = goes.clone().wait_for(|go| *go).await;
                Ok(words.to_vec())
            })
        });
        let ask = |word| {
            let lane = lane.clone();
            tokio::spawn(async move { lane.ask(word).await.unwrap() })
        };
        let first = ask(1);
        assert_eq!(begins.recv().await, Some(1));
        let others = [ask(2), ask(3), ask(4)];
        while lane.0.capacity() > WAITING_MAX - 3 {
            tokio::task::yield_now().await;
        }
        go.send(true).unwrap();
        assert_eq!(begins.recv().await, Some(3));
        assert_eq!(first.await.unwrap(), 1);
        for (other, word) in others.into_iter().zip([2, 3, 4]) {
            assert_eq!(other.await.unwrap(), word);
        }
        stop.cancel();
    }
}
