//! A peer that says what a test tells it to say, also what no agent would. In: a member's identity. Out: the hub's messages,
//! one after another. It keeps nothing and answers nothing by itself.

use std::time::Duration;

use proto::v1::agent_message::Body as Say;
use proto::v1::hub_message::Body as Told;
use proto::v1::{AgentMessage, Hello, HubMessage, Report, ReportBatch, Welcome, report};
use tests_bench::fleet::identity::Member;
use tests_fleet::{Error, Result};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

/// Messages on their way to the hub.
const OUTGOING: usize = 64;
/// The hub answers within this, or it does not.
const PATIENCE: Duration = Duration::from_secs(15);

/// An open stream.
#[derive(Debug)]
pub struct Peer {
    say: mpsc::Sender<AgentMessage>,
    told: Streaming<HubMessage>,
}

/// Why there is no (further) message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// The hub said so, with its code and sentence.
    Refused(i32, String),
    /// The stream ended or broke.
    Broken(String),
}

fn failed(what: &str, why: impl std::fmt::Display) -> Error {
    Error::Check(format!("{what}: {why}"))
}

impl Peer {
    /// Opens a stream and says this first.
    pub async fn open(member: &Member, hello: Hello) -> Result<Self> {
        let mut client = member
            .connect()
            .await
            .map_err(|error| failed("connect", error))?;
        let (say, said) = mpsc::channel(OUTGOING);
        let peer_says = AgentMessage {
            trace: None,
            body: Some(Say::Hello(hello)),
        };
        say.send(peer_says)
            .await
            .map_err(|error| failed("say Hello", error))?;
        let told = client.open(ReceiverStream::new(said)).await;
        let told = told.map_err(|status| failed("open", status))?.into_inner();
        Ok(Self { say, told })
    }

    /// Says something; an error if the stream is over.
    pub async fn say(&self, body: Say) -> Result<()> {
        let message = AgentMessage {
            trace: None,
            body: Some(body),
        };
        let said = self.say.send(message).await;
        said.map_err(|error| failed("say", error))
    }

    /// Says reports under these numbers.
    pub async fn report(&self, session: u64, reports: Vec<(u64, report::Body)>) -> Result<()> {
        let reports = reports.into_iter().map(|(sequence, body)| Report {
            sequence,
            body: Some(body),
            ..Report::default()
        });
        let reports = reports.collect();
        self.say(Say::Reports(ReportBatch { session, reports }))
            .await
    }

    /// The hub's next message.
    pub async fn next(&mut self) -> std::result::Result<Told, End> {
        let next = tokio::time::timeout(PATIENCE, self.told.message()).await;
        let message = match next {
            Err(_) => return Err(End::Broken("nothing came".to_owned())),
            Ok(Err(status)) => return Err(End::Broken(status.to_string())),
            Ok(Ok(message)) => message,
        };
        match message.and_then(|message| message.body) {
            Some(Told::Refusal(refusal)) => Err(End::Refused(refusal.code, refusal.message)),
            Some(body) => Ok(body),
            None => Err(End::Broken("the stream ended".to_owned())),
        }
    }

    /// The first message of a session.
    pub async fn welcome(&mut self) -> std::result::Result<Welcome, End> {
        let first = self.next().await?;
        if let Told::Welcome(welcome) = first {
            return Ok(welcome);
        }
        Err(End::Broken(format!("{first:?} before Welcome")))
    }

    /// Waits for the acknowledgement of everything up to this number.
    pub async fn acknowledged(&mut self, sequence: u64) -> std::result::Result<(), End> {
        loop {
            if let Told::ReportAck(ack) = self.next().await?
                && ack.sequence >= sequence
            {
                return Ok(());
            }
        }
    }

    /// How the stream ends, whatever comes before.
    pub async fn end(&mut self) -> End {
        loop {
            if let Err(end) = self.next().await {
                return end;
            }
        }
    }
}
