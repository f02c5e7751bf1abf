//! The hub of the demo: two processes over one database, behind one address as a Service gives it. In: a run's folder. Out:
//! that address, the command line of people, and who decides, as the database has it. It must not ask a hub who decides.

use std::path::Path;

use jiff::Timestamp;
use tests_demo::evidence::Leader;
use tests_fleet::postgres::Postgres;
use tests_fleet::proxy::link::LinkProxy;
use tests_fleet::{Cli, Error, Hub, HubOptions, Process, Result, RunDir};

/// The names of their folders for logs, in the order of their starts.
const FOLDERS: [&str; 2] = ["hub-1", "hub-2"];

/// The file in a hub's folder with the name by which it holds the lease.
const NAME: &str = "hub.name";

/// The line of a client configuration that says where the hub is.
const ADDRESS: &str = "hub: ";

/// All processes of the hub. They end from the first field to the last.
#[derive(Debug)]
pub struct Hubs {
    entrance: LinkProxy,
    living: Vec<Hub>,
    postgres: Postgres,
}

impl Hubs {
    /// Starts the database, and both hubs on it.
    pub async fn up(run: &RunDir) -> Result<Self> {
        let postgres = Postgres::start(run).await?;
        let options = HubOptions {
            database: postgres.url(),
            ..HubOptions::default()
        };
        let [first, second] = FOLDERS.map(|name| RunDir::named(&run.join(name)));
        let first = Hub::start(&first?, &options).await?;
        let second = first.beside(&second?, &options).await?;
        let addresses = [&first, &second].map(|hub| hub.address().to_owned());
        Ok(Self {
            entrance: LinkProxy::before(&addresses).await?,
            living: vec![first, second],
            postgres,
        })
    }

    /// `https://host:port`, whichever hub answers there.
    pub fn url(&self) -> String {
        format!("https://{}", self.entrance.address())
    }

    /// The command line as the administrator whom the first start made.
    pub fn admin(&self, run: &RunDir) -> Result<Cli> {
        self.through_the_entrance(run, self.first()?.admin()?.config())
    }

    /// The command line as a person of these groups.
    pub fn person(&self, run: &RunDir, name: &str, groups: &[&str]) -> Result<Cli> {
        let cli = self.first()?.person(name, groups)?;
        self.through_the_entrance(run, cli.config())
    }

    /// Who decides now, by the database's word.
    pub async fn leader(&self) -> Result<Leader> {
        let asked = "select holder, epoch from hub_lease, hub_epoch where expires_at > now()";
        let answer = self.postgres.psql("postgres", &[asked]).await?;
        let nobody = || Error::Check("no hub decides now".into());
        let (name, epoch) = answer.trim().split_once('|').ok_or_else(nobody)?;
        Ok(Leader {
            name: name.to_owned(),
            epoch: epoch.parse().map_err(|_| nobody())?,
            time: Timestamp::now(),
        })
    }

    /// SIGKILL to this one, which never comes back.
    pub async fn kill(&mut self, leader: &Leader) -> Result<()> {
        let named = |hub: &Hub| {
            let name = std::fs::read_to_string(hub.data().join(NAME));
            name.is_ok_and(|name| name.trim() == leader.name)
        };
        let unknown = || Error::Check(format!("{} is no hub of this run", leader.name));
        let at = self.living.iter().position(named).ok_or_else(unknown)?;
        let mut dead = self.living.remove(at);
        dead.process().kill().await?;
        dead.assert_no_fault()
    }

    /// An error if one that lives ever made a plan that its audit refuses.
    pub fn no_plan_is_refused(&self) -> Result<()> {
        self.living.iter().try_for_each(Hub::assert_no_fault)
    }

    /// Those that live, and their database.
    pub fn processes(&mut self) -> impl Iterator<Item = &mut Process> {
        self.living.iter_mut().map(Hub::process)
    }

    fn first(&self) -> Result<&Hub> {
        let gone = || Error::Check("no hub is left".into());
        self.living.first().ok_or_else(gone)
    }

    /// The same configuration, for the address before both.
    fn through_the_entrance(&self, run: &RunDir, config: &Path) -> Result<Cli> {
        let name = config.file_name().unwrap_or_default();
        let copy = run.path().join(name);
        // A copy keeps the mode: there is a key in it.
        std::fs::copy(config, &copy).map_err(Error::io("copy", config))?;
        let text = std::fs::read_to_string(&copy).map_err(Error::io("read", &copy))?;
        let there: Vec<String> = text
            .lines()
            .map(|line| match line.starts_with(ADDRESS) {
                true => format!("{ADDRESS}{}", self.url()),
                false => line.to_owned(),
            })
            .collect();
        std::fs::write(&copy, there.join("\n") + "\n").map_err(Error::io("write", &copy))?;
        Cli::new(&copy)
    }
}
