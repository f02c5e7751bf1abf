//! When to kill. In: counted operations and a chosen one. Out: what to do with each. It kills by process id, once.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use crate::error::{Error, Result};
use crate::process::kill_pid;

/// On which side of an operation the program dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// The server never hears of it.
    BeforeForward,
    /// The server has done it and the program never hears so.
    AfterReply,
    /// The same, but the program lives: its connection breaks before the reply.
    LostReply,
    /// The program lives, and its connection falls silent: the server never hears of it, and nobody hears of the other's end.
    Silent,
    /// The server has done it, and then the connection falls silent.
    SilentReply,
}

/// The chosen operation.
#[derive(Debug, Clone, Copy)]
pub struct KillPoint {
    /// Counted from 1.
    pub number: u64,
    /// Which side of it.
    pub moment: Moment,
    /// Whom; 0: nobody.
    pub pid: u32,
}

/// What a proxy does with one operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Forward,
    KillFirst,
    KillAfterReply,
    LoseReply,
    SilenceFirst,
    SilenceReply,
    /// The program is dead; what it still had on the wire must not arrive.
    Refuse,
}

/// Counts, and strikes once.
#[derive(Debug)]
pub struct Trigger {
    state: Mutex<State>,
    struck: watch::Sender<bool>,
}

#[derive(Debug, Default)]
struct State {
    count: u64,
    point: Option<KillPoint>,
    /// Only operations that carry these bytes count; none: all do.
    mark: Option<Vec<u8>>,
    /// How often it was armed: what bore an earlier mark does not bear this one.
    armed: u64,
    lost: u64,
}

impl State {
    /// The program lives, so this happens once.
    fn lose(&mut self, verdict: Verdict) -> Verdict {
        self.point = None;
        self.lost += 1;
        verdict
    }
}

impl Default for Trigger {
    fn default() -> Self {
        Self {
            state: Mutex::default(),
            struck: watch::Sender::new(false),
        }
    }
}

impl Trigger {
    fn state(&self) -> MutexGuard<'_, State> {
        // The state is two plain values: whoever failed while holding it left them whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many operations were counted.
    pub fn count(&self) -> u64 {
        self.state().count
    }

    /// Chooses the operation (counted from now on as the first) and forgets an earlier strike.
    pub fn arm(&self, point: Option<KillPoint>) {
        let mut state = self.state();
        state.count = 0;
        state.point = point;
        state.mark = None;
        state.armed += 1;
        self.struck.send_replace(false);
    }

    /// The same, where only operations that carry `mark` count: a statement's argument.
    pub fn arm_at(&self, mark: &str, point: KillPoint) {
        self.arm(Some(point));
        self.state().mark = Some(mark.as_bytes().to_vec());
    }

    /// Replies that were lost.
    pub fn lost(&self) -> u64 {
        self.state().lost
    }

    /// The arming whose mark a message bears, if it bears it; every message bears none.
    pub(crate) fn marks(&self, message: &[u8]) -> Option<u64> {
        let state = self.state();
        let bears = match &state.mark {
            Some(mark) => message.windows(mark.len()).any(|part| part == mark),
            None => true,
        };
        bears.then_some(state.armed)
    }

    /// Whether an operation whose messages bore this counts now.
    pub(crate) fn counts(&self, borne: Option<u64>) -> bool {
        let state = self.state();
        state.mark.is_none() || borne == Some(state.armed)
    }

    /// Waits until it has struck.
    pub async fn struck(&self, deadline: Duration) -> Result<()> {
        let mut struck = self.struck.subscribe();
        match tokio::time::timeout(deadline, struck.wait_for(|struck| *struck)).await {
            Ok(_) => Ok(()),
            Err(_) => Err(Error::Timeout {
                what: format!("the kill at {:?}", self.state().point),
                after: deadline,
                last: format!("{} operations", self.count()),
            }),
        }
    }

    /// Lets everything through again, for the next life of the program.
    pub fn release(&self) {
        let mut state = self.state();
        state.point = None;
        state.mark = None;
        self.struck.send_replace(false);
    }

    pub(crate) fn dead(&self) -> bool {
        *self.struck.borrow()
    }

    pub(crate) fn next(&self) -> Verdict {
        if self.dead() {
            return Verdict::Refuse;
        }
        let mut state = self.state();
        state.count += 1;
        match state.point {
            Some(point) if point.number == state.count => match point.moment {
                Moment::BeforeForward => Verdict::KillFirst,
                Moment::AfterReply => Verdict::KillAfterReply,
                Moment::LostReply => state.lose(Verdict::LoseReply),
                Moment::Silent => state.lose(Verdict::SilenceFirst),
                Moment::SilentReply => state.lose(Verdict::SilenceReply),
            },
            Some(_) | None => Verdict::Forward,
        }
    }

    pub(crate) fn strike(&self) {
        // First nothing more passes, then it dies: what it had on the wire is lost with it.
        self.struck.send_replace(true);
        if let Some(point) = self.state().point {
            kill_pid(point.pid);
        }
    }
}
