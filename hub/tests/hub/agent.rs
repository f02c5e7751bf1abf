//! A client that speaks the agent's part by hand.
use hub::identity::Peer;
use proto::v1::agent_message::Body;
use proto::v1::hub_message::Body as Told;
use proto::v1::link_client::LinkClient;
use proto::v1::{
    Ack, AgentMessage, DesiredSet, Fence, GateEntry, Heartbeat, Hello, HubMessage, JoinRequest,
    JoinResponse, Report, ReportBatch, Welcome, ack, report,
};
use rcgen::{CertificateParams, KeyPair};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use crate::fixture::{PATIENCE, World};

/// A key with its signing request.
pub struct Request {
    pub key: KeyPair,
    pub csr_pem: String,
}

impl Request {
    pub fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let csr_pem = CertificateParams::default()
            .serialize_request(&key)
            .unwrap()
            .pem()
            .unwrap();
        Self { key, csr_pem }
    }
}

/// Joins with a token, as an agent that has nothing but the token.
pub async fn join(
    world: &World,
    token: &str,
    cluster: &str,
    request: &Request,
) -> Result<JoinResponse, Status> {
    join_of(world, token, (cluster, &format!("uid-{cluster}")), request).await
}

/// Joins the Kubernetes cluster with this UID under this name.
pub async fn join_of(
    world: &World,
    token: &str,
    (cluster, uid): (&str, &str),
    request: &Request,
) -> Result<JoinResponse, Status> {
    let mut parts = token.split('.');
    let (id, secret) = (parts.next().unwrap(), parts.next().unwrap());
    assert_eq!(parts.next(), Some(world.authority.pin().as_str()));
    let request = JoinRequest {
        token_id: id.to_owned(),
        token_secret: secret.to_owned(),
        csr_pem: request.csr_pem.clone(),
        kube_system_uid: uid.to_owned(),
        cluster: cluster.to_owned(),
        agent_version: "test".to_owned(),
    };
    LinkClient::new(world.channel(None).await)
        .join(request)
        .await
        .map(tonic::Response::into_inner)
}

/// A member of the fleet.
pub struct Agent {
    pub cluster: String,
    pub certificate: String,
    pub key: String,
}

impl Agent {
    pub async fn member(world: &World, cluster: &str, labels: &[(&str, &str)]) -> Self {
        Self::member_of(world, (cluster, &format!("uid-{cluster}")), labels).await
    }

    /// The Kubernetes cluster with this UID, as a member of this name.
    pub async fn member_of(
        world: &World,
        (cluster, uid): (&str, &str),
        labels: &[(&str, &str)],
    ) -> Self {
        let token = world.token(cluster, labels, 0).await;
        let request = Request::new();
        let joined = join_of(world, &token, (cluster, uid), &request)
            .await
            .unwrap();
        assert_eq!(joined.permit_key, world.authority.permit_key());
        let der =
            rustls_pki_types::pem::PemObject::from_pem_slice(joined.certificate_pem.as_bytes())
                .unwrap();
        assert_eq!(
            Peer::from_certificate(&der).unwrap(),
            Peer::Cluster(cluster.to_owned())
        );
        Self {
            cluster: cluster.to_owned(),
            certificate: joined.certificate_pem,
            key: request.key.serialize_pem(),
        }
    }

    /// Says Hello and nothing more.
    pub async fn hello(&self, world: &World, hello: Hello) -> Stream {
        let channel = world.channel(Some((&self.certificate, &self.key))).await;
        let (say, said) = mpsc::channel(16);
        say.send(message(Body::Hello(hello))).await.unwrap();
        let told = LinkClient::new(channel)
            .open(ReceiverStream::new(said))
            .await
            .unwrap()
            .into_inner();
        Stream {
            say,
            told,
            session: 0,
            entries: Vec::new(),
        }
    }

    /// A Hello of a cluster that holds nothing.
    pub fn nothing(&self) -> Hello {
        Hello {
            kube_system_uid: format!("uid-{}", self.cluster),
            agent_version: "test".into(),
            ..Hello::default()
        }
    }

    /// Says Hello, takes the first whole set and stores it.
    pub async fn open(&self, world: &World) -> (Stream, DesiredSet) {
        let mut stream = self.hello(world, self.nothing()).await;
        stream.welcome().await;
        let set = stream.set().await;
        assert!(set.full);
        stream.store(&set).await;
        (stream, set)
    }
}

/// An open stream, with the set that the agent holds.
pub struct Stream {
    pub say: mpsc::Sender<AgentMessage>,
    pub told: Streaming<HubMessage>,
    pub session: u64,
    pub entries: Vec<GateEntry>,
}

fn message(body: Body) -> AgentMessage {
    AgentMessage {
        trace: None,
        body: Some(body),
    }
}

impl Stream {
    pub async fn say(&self, body: Body) {
        self.say.send(message(body)).await.unwrap();
    }

    /// The next message; none at the stream's end.
    pub async fn next(&mut self) -> Option<Told> {
        let next = tokio::time::timeout(PATIENCE, self.told.message())
            .await
            .expect("the hub is silent");
        next.ok().flatten().and_then(|message| message.body)
    }

    /// Waits for the stream's end.
    pub async fn ended(&mut self) {
        while self.next().await.is_some() {}
    }

    /// The next message that fits, saying heartbeats meanwhile, as an agent does.
    pub async fn until<T>(&mut self, what: &str, mut fits: impl FnMut(Told) -> Option<T>) -> T {
        let end = tokio::time::Instant::now() + PATIENCE;
        loop {
            assert!(
                tokio::time::Instant::now() < end,
                "not told within {PATIENCE:?}: {what}"
            );
            match tokio::time::timeout(std::time::Duration::from_secs(1), self.told.message()).await
            {
                Ok(Ok(Some(told))) => {
                    if let Some(value) = told.body.and_then(&mut fits) {
                        return value;
                    }
                }
                Ok(Ok(None)) => panic!("the stream ended before: {what}"),
                Ok(Err(status)) => panic!("the stream broke before: {what}: {status}"),
                // A stream that is ending takes no more; its last message is still read above.
                Err(_) => drop(
                    self.say
                        .send(message(Body::Heartbeat(Heartbeat::default())))
                        .await,
                ),
            }
        }
    }

    pub async fn welcome(&mut self) -> Welcome {
        let welcome = self
            .until("Welcome", |told| {
                if let Told::Welcome(one) = told {
                    Some(one)
                } else {
                    None
                }
            })
            .await;
        self.session = welcome.session;
        welcome
    }

    pub async fn set(&mut self) -> DesiredSet {
        self.until("a set", |told| {
            if let Told::Set(one) = told {
                Some(one)
            } else {
                None
            }
        })
        .await
    }

    pub async fn renewal(&mut self) -> Fence {
        self.until("a renewal", |told| {
            if let Told::Renewal(one) = told {
                one.fence
            } else {
                None
            }
        })
        .await
    }

    pub async fn refusal(&mut self) -> proto::v1::Refusal {
        self.until("a refusal", |told| {
            if let Told::Refusal(one) = told {
                Some(one)
            } else {
                None
            }
        })
        .await
    }

    /// Takes a set over as an agent does, checks its hash, and says so.
    pub async fn store(&mut self, set: &DesiredSet) {
        if set.full {
            self.entries.clear();
        }
        for entry in &set.entries {
            self.entries
                .retain(|own| (&own.namespace, &own.name) != (&entry.namespace, &entry.name));
            self.entries.push(entry.clone());
        }
        assert_eq!(proto::set::hash(&self.entries), set.set_hash);
        let ack = Ack {
            fence: set.fence,
            set_hash: set.set_hash.clone(),
            problems: Vec::new(),
            result: ack::Result::Stored.into(),
        };
        self.say(Body::Ack(ack)).await;
    }

    pub async fn report(&mut self, sequence: u64, body: report::Body) {
        let report = Report {
            sequence,
            at: None,
            trace: None,
            body: Some(body),
        };
        self.say(Body::Reports(ReportBatch {
            session: self.session,
            reports: vec![report],
        }))
        .await;
    }

    /// Waits until everything up to this report is committed.
    pub async fn committed(&mut self, sequence: u64) {
        self.until("an acknowledgement", |told| match told {
            Told::ReportAck(ack) if ack.sequence >= sequence => Some(()),
            Told::Welcome(_)
            | Told::Set(_)
            | Told::ReportAck(_)
            | Told::Renewal(_)
            | Told::Refusal(_) => None,
        })
        .await;
    }
}
