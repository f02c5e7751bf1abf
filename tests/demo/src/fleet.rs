//! The fleet of the demo. In: a run's folder. Out: three clusters with their agents, two hubs, Prometheus, a Git repository that
//! is applied, load on every gateway, and the witnesses. It only puts them up; what happens then is the story's.

use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use tests_demo::evidence::{Life, Notes, lives, place};
use tests_demo::manifests;
use tests_demo::scenario::{CLUSTERS, LOAD_RATE, NAME, NAMESPACE, REPLICAS, VERSIONS, Version};
use tests_fleet::records;
use tests_fleet::traffic::{Applier, Load};
use tests_fleet::witness::Witness;
use tests_fleet::{
    Agent, AgentAccess, AgentOptions, Cli, Error, GitRepo, Prometheus, Result, RunDir, Sandbox,
    eventually,
};

use crate::hubs::Hubs;
use crate::progress::Progress;

/// An agent makes its key, joins and says hello within seconds; on a busy machine it takes a few more.
const JOINED: Duration = Duration::from_secs(60);

/// Everything that runs. It is taken down from the first field to the last: who asks before who answers.
#[derive(Debug)]
pub struct Fleet {
    loads: Vec<Load>,
    /// Stands for Argo CD.
    pub applier: Applier,
    agents: Vec<Agent>,
    witnesses: Vec<Witness>,
    prometheus: Prometheus,
    /// The fleet program.
    pub hubs: Hubs,
    sandbox: Sandbox,
    /// What is in Git.
    pub repo: GitRepo,
    /// The command line of an administrator.
    pub admin: Cli,
    /// The command line of somebody who may approve.
    pub sre: Cli,
    /// The story's notes, written down at every change.
    notes: Notes,
    folder: PathBuf,
}

impl Fleet {
    /// Puts everything up but the load, which begins when there is somebody to answer.
    pub async fn up(
        run: &RunDir,
        progress: &Progress,
        agent_binary: Option<&Path>,
    ) -> Result<Self> {
        progress.say("starting three Kubernetes clusters, and two hubs on one database");
        let (sandbox, hubs) = tokio::try_join!(Sandbox::up(run, &CLUSTERS), Hubs::up(run))?;
        let (admin, sre) = (hubs.admin(run)?, hubs.person(run, "sam", &["sre"])?);
        let prometheus = Prometheus::start(run, sandbox.clusters()).await?;
        apply(run, &admin).await?;

        progress.say("an agent joins from each cluster");
        let (mut agents, mut witnesses) = (Vec::new(), Vec::new());
        for cluster in sandbox.clusters() {
            let access = AgentAccess::install(run, cluster).await?;
            let options = AgentOptions {
                hub: Some(hubs.url()),
                join_token: Some(token(&admin, cluster.name()).await?),
                prometheus: Some(prometheus.url()),
                binary: agent_binary.map(Path::to_path_buf),
                ..AgentOptions::default()
            };
            witnesses.push(Witness::start(run, cluster)?);
            agents.push(Agent::start(run, &access, &options)?);
        }
        joined(&admin, &mut agents).await?;
        progress.page(&admin.run(&["get", "clusters"]).await?);

        let repo = GitRepo::create(run)?;
        let applier = Applier::start(run, &repo, sandbox.clusters())?;
        Ok(Self {
            loads: Vec::new(),
            applier,
            agents,
            witnesses,
            prometheus,
            hubs,
            sandbox,
            repo,
            admin,
            sre,
            notes: Notes::default(),
            folder: run.path().to_path_buf(),
        })
    }

    /// Begins the load.
    pub fn load(&mut self, run: &RunDir) -> Result<()> {
        for cluster in self.sandbox.clusters() {
            let host = format!("{NAME}.{NAMESPACE}");
            self.loads
                .push(Load::start(run, cluster, &host, LOAD_RATE)?);
        }
        self.note(|notes| notes.load_from = Some(Timestamp::now()))
    }

    /// Writes something down.
    pub fn note(&mut self, write: impl FnOnce(&mut Notes)) -> Result<()> {
        write(&mut self.notes);
        let path = place::notes(&self.folder);
        let text = serde_json::to_string_pretty(&self.notes).map_err(Error::parse("the notes"))?;
        std::fs::write(&path, text).map_err(Error::io("write", &path))
    }

    /// The pods of a cluster, as its kubelet has written down so far.
    pub fn lives(&self, cluster: &str) -> Result<Vec<Life>> {
        lives(&records::read(&place::journal(&self.folder, cluster))?)
    }

    /// Waits until a cluster serves one version and nothing else.
    pub async fn serves(&self, cluster: &str, version: Version, deadline: Duration) -> Result<()> {
        let what = format!("{cluster} serves {version}");
        eventually(&what, deadline, async || {
            let lives = self.lives(cluster).map_err(|error| error.to_string())?;
            let now = Timestamp::now();
            let ready = |version: Version| {
                let of_version = lives.iter().filter(move |life| life.version == version);
                of_version.filter(|life| life.ready_at(now)).count()
            };
            let counts: Vec<usize> = VERSIONS.iter().map(|version| ready(*version)).collect();
            let all: usize = counts.iter().sum();
            if ready(version) == REPLICAS && all == REPLICAS {
                Ok(())
            } else {
                Err(format!("ready pods of v1 to v5: {counts:?}"))
            }
        })
        .await
    }

    /// What the hub has written down, for the one check that asks it. A hub that does not answer is judged by that.
    pub async fn keep_history(&self) {
        let text = self.admin.run(&["-o", "json", "history"]).await;
        let text = text.unwrap_or_else(|_| String::from("[]"));
        // Judging fails by itself if the file is not there.
        let _ = std::fs::write(place::history(&self.folder), text);
    }

    /// An error if an agent ever lacked a right, or anybody made a plan that an audit refuses.
    pub fn nobody_is_at_fault(&self) -> Result<()> {
        self.hubs.no_plan_is_refused()?;
        self.agents.iter().try_for_each(Agent::assert_no_fault)
    }

    /// Commands for somebody who wants to look around.
    pub fn hints(&self) -> Vec<String> {
        let config = self.admin.config().display();
        let mut hints = vec![
            format!("export GROUNDSWELL_CONFIG={config}"),
            "target/debug/groundswell get releases".into(),
            format!("target/debug/groundswell history {NAME}"),
        ];
        hints.extend(self.sandbox.clusters().iter().map(|cluster| {
            format!(
                "kubectl --kubeconfig {} -n {NAMESPACE} get rollouts,pods",
                cluster.kubeconfig().display()
            )
        }));
        hints.push(format!("Prometheus: {}", self.prometheus.url()));
        hints
    }

    /// Waits for ever; an error if a part of the fleet ends by itself.
    pub async fn outlived(&mut self) -> Result<()> {
        loop {
            // Its deadline is only when it looks anew.
            let looked = eventually("a part ends", Duration::from_secs(3600), async || {
                let witnesses = self.witnesses.iter_mut().map(Witness::process);
                let loads = self.loads.iter_mut().map(Load::process);
                let parts = self.agents.iter_mut().map(Agent::process);
                let parts = parts.chain(witnesses).chain(loads);
                let parts = parts.chain(self.hubs.processes());
                let parts = parts.chain([self.sandbox.process(), self.prometheus.process()]);
                for part in parts {
                    if let Err(error) = part.must_run() {
                        return Ok(error);
                    }
                }
                Err(String::from("all run"))
            });
            if let Ok(error) = looked.await {
                return Err(error);
            }
        }
    }
}

/// Stores the documents, as a person would.
async fn apply(run: &RunDir, admin: &Cli) -> Result<()> {
    let path = run.join("fleetrollout.yaml");
    std::fs::write(&path, manifests::documents(Timestamp::now()))
        .map_err(Error::io("write", &path))?;
    admin
        .run(&["apply", "-f", &path.display().to_string()])
        .await
        .map(|_| ())
}

/// A token for one cluster, with the labels that the waves select by.
async fn token(admin: &Cli, cluster: &str) -> Result<String> {
    let labels = manifests::labels(cluster);
    let mut arguments = vec!["cluster", "token", cluster];
    for label in &labels {
        arguments.extend(["--label", label]);
    }
    Ok(admin.run(&arguments).await?.trim().to_owned())
}

async fn joined(admin: &Cli, agents: &mut [Agent]) -> Result<()> {
    eventually("every cluster is connected", JOINED, async || {
        for agent in agents.iter_mut() {
            agent
                .process()
                .must_run()
                .map_err(|error| error.to_string())?;
        }
        let clusters = admin
            .json(&["get", "clusters"])
            .await
            .map_err(|error| error.to_string())?;
        let connected = clusters.as_array().map_or(0, |clusters| {
            let is = |cluster: &&serde_json::Value| {
                cluster
                    .get("connected")
                    .and_then(serde_json::Value::as_bool)
                    == Some(true)
            };
            clusters.iter().filter(is).count()
        });
        if connected == CLUSTERS.len() {
            Ok(())
        } else {
            let words: Vec<String> = agents
                .iter_mut()
                .map(|agent| agent.process().last_words())
                .collect();
            Err(format!(
                "{connected} of {}; the agents said: {}",
                CLUSTERS.len(),
                words.join("\n  ")
            ))
        }
    })
    .await
}
