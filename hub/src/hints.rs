//! Wake-ups. In: the database's notifications. Out: any number of waiters woken, one wake-up for many notifications. Nobody
//! may rely on it: whoever waits here also polls.

use std::time::Duration;

use hub_store::Store;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Between two tries to listen again; until then everybody polls.
const RETRY: Duration = Duration::from_secs(1);

/// One waiter.
#[derive(Debug, Clone)]
pub struct Hints {
    count: watch::Receiver<u64>,
}

impl Hints {
    /// Waits until something was committed since the last call.
    pub async fn changed(&mut self) {
        if self.count.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// Listens until it is told to stop; a lost connection is made again.
pub fn start(store: Store, stop: CancellationToken) -> Hints {
    let (sender, count) = watch::channel(0);
    tokio::spawn(async move {
        tokio::select! {
            () = listen(store, sender) => {}
            () = stop.cancelled() => {}
        }
    });
    Hints { count }
}

async fn listen(store: Store, sender: watch::Sender<u64>) {
    loop {
        match store.hints().await {
            Ok(mut hints) => {
                // Something may have been committed while nobody listened.
                sender.send_modify(|count| *count = count.wrapping_add(1));
                while hints.next().await.is_ok() {
                    sender.send_modify(|count| *count = count.wrapping_add(1));
                }
            }
            Err(error) => tracing::debug!(%error, "cannot listen for hints"),
        }
        tokio::time::sleep(RETRY).await;
    }
}
