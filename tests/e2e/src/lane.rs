//! An agent of its own for one test in the cluster that tests share: it has an instance id, so that the others leave its
//! Rollout alone, and a proxy before the API server, so that what is done to it is done to no other. In: a name. Out: the
//! agent, the proxy and the application, with nothing deployed.

use tests_fleet::proxy::api::ApiProxy;
use tests_fleet::{Agent, AgentOptions, Result};

use crate::bed::Shared;
use crate::object::Kind;
use crate::shop::{NAME, Shop};

/// Writes that are neither counted nor made to fail: how many there are depends on time.
pub const UNCOUNTED: [&str; 2] = ["/leases", "/events"];

/// The agent goes first, then what it talks to.
pub struct Lane {
    /// The agent.
    pub agent: Agent,
    /// What it takes for the API server.
    pub proxy: ApiProxy,
    /// The application, in a namespace of the lane's name.
    pub shop: Shop,
}

impl Lane {
    /// Starts the agent; its instance id is the lane's name.
    pub async fn open(shared: &Shared, name: &str) -> Result<Self> {
        Self::open_with(shared, name, &options(shared, name)).await
    }

    /// The same with other options, which have the instance id.
    pub async fn open_with(shared: &Shared, name: &str, options: &AgentOptions) -> Result<Self> {
        let proxy = ApiProxy::start(shared.access.server(), &UNCOUNTED).await?;
        let access = shared
            .access
            .through(shared.run(), name, proxy.url(), None)?;
        let agent = Agent::start(shared.run(), &access, options)?;
        let shop = Shop::open(shared.cluster()?, name).await?.of(name);
        Ok(Self { agent, proxy, shop })
    }

    /// The end: an error if the agent has ended, ever lacked a right or made a plan that its audit refuses. Its pods make room for those of other tests.
    pub async fn close(mut self) -> Result<()> {
        self.agent.process().must_run()?;
        self.agent.assert_no_fault()?;
        self.shop.delete(Kind::Rollout, NAME).await
    }
}

/// How an agent with an instance id is started.
pub fn options(shared: &Shared, name: &str) -> AgentOptions {
    AgentOptions {
        prometheus: Some(shared.prometheus.url()),
        more: vec!["--instance-id".to_owned(), name.to_owned()],
        ..AgentOptions::default()
    }
}
