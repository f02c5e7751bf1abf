//! Whatever is written, by whomever and however it ends: what is remembered and what has changed since make up what is there.

use std::collections::BTreeMap;

use hub_engine::document::Selector;
use hub_engine::{FleetRollout, FleetRolloutName};
use sqlx::{Connection as _, PgConnection};

use super::advance::plans::Random;
use super::fixture;
use crate::membership::identity::RENAME;
use crate::remembered::Memory;
use crate::{changed, decide, fleet_rollout, observe};

const DOCUMENTS: &str = "
apiVersion: fleet.groundswell.dev/v1alpha1
kind: FleetRollout
metadata: {name: checkout}
spec:
  rollout: {namespace: shop, name: checkout}
  enforcement: Enforce
  clusters: {matchLabels: {tier: prod}, matchExpressions: [{key: old, operator: DoesNotExist}]}
  waves: [{name: all}]
---
apiVersion: fleet.groundswell.dev/v1alpha1
kind: FleetRollout
metadata: {name: other}
spec:
  rollout: {namespace: shop, name: checkout}
  enforcement: Enforce
  clusters: {matchLabels: {tier: other}}
  waves: [{name: all}]
";
/// Writes a run.
const STEPS: usize = 700;
/// Transactions that are open at once; each has clusters and releases of its own, so that none waits for another.
const WRITERS: usize = 4;
/// Clusters of each.
const OWN: usize = 3;

/// What an older hub, an agent or a person writes about a cluster ($1) and a number ($2), knowing nothing of `changed_in`.
const WRITES: [&str; 21] = [
    "insert into gates (cluster, namespace, rollout, fleet_rollout, version, terms) select $1, 'shop', 'checkout', \
     case when $2::bigint % 3 = 0 then 'other' else 'checkout' end, $2::bigint, '{}' on conflict (cluster, namespace, rollout) do update set version = excluded.version, \
     fleet_rollout = excluded.fleet_rollout",
    "update gates set waiting = jsonb_build_object('message', 'for ' || $2::bigint) where cluster = $1",
    "update gates set governance = case when $2::bigint % 2 = 0 then 'KeepServing' else 'Governed' end where cluster = $1",
    "delete from gates where cluster = $1 and $2::bigint % 2 = 0",
    "insert into rollouts (cluster, namespace, rollout, session, sequence, state) select $1, 'shop', 'checkout', 1, $2::bigint, \
     jsonb_build_object('uid', 'u', 'step', $2::bigint % 100) on conflict (cluster, namespace, rollout) do update set state = excluded.state",
    "update rollouts set state = jsonb_build_object('uid', 'u', 'phase', 'p' || $2::bigint) where cluster = $1",
    "delete from rollouts where cluster = $1 and $2::bigint % 2 = 0",
    "insert into rollouts (cluster, namespace, rollout, session, sequence, state) select $1, 'shop', 'another', 1, $2::bigint, \
     '{\"uid\": \"another\"}' on conflict (cluster, namespace, rollout) do update set sequence = excluded.sequence",
    "update clusters set labels = case $2::bigint % 4 when 0 then '{\"tier\": \"prod\", \"old\": \"yes\"}' when 1 then '{\"tier\": \"other\"}' \
     else jsonb_build_object('tier', 'prod', 'n', ($2::bigint % 10)::text) end::jsonb where name = $1",
    "update clusters set left_at = case when $2::bigint % 2 = 0 then now() end, left_by = 'ann', left_reason = 'r' || $2::bigint where name = $1",
    "update clusters set replaced_at = case when $2::bigint % 2 = 0 then now() end where name = $1",
    "update clusters set note = 'n' || $2::bigint where name = $1",
    "update cluster_sessions set regressed = $2::bigint % 2 = 0, stored_version = $2::bigint where cluster = $1",
    "update cluster_sessions set open = true, last_seen_at = case when $2::bigint % 2 = 0 then now() end where cluster = $1",
    "update cluster_sets set version = $2::bigint where cluster = $1",
    "insert into let_go (fleet_rollout, cluster, mode, person, reason, since) select 'checkout', $1, 'KeepServing', 'ann', \
     'r' || $2::bigint, now() on conflict (fleet_rollout, cluster) do update set reason = excluded.reason",
    "delete from let_go where cluster = $1 and $2::bigint % 2 = 0",
    TARGET,
    TARGET,
    "update targets set state = (array['Held', 'Succeeded', 'Progressing', 'Failed'])[1 + $2::bigint % 4], \
     content = jsonb_build_object('digest', 'v1:' || $2::bigint % 7) where cluster = $1 and release % 8 = $2::bigint % 8",
    "update targets set permit = null, message = 'm' || $2::bigint where cluster = $1 and release % 8 = $2::bigint % 8",
];
const TARGET: &str = "insert into targets (fleet_rollout, release, cluster, wave, position, late, state, content) \
     select 'checkout', number, $1, 1, $2::bigint % 3, $2::bigint % 2 = 0, 'Succeeded', jsonb_build_object('digest', 'v1:' || $2::bigint % 7) \
     from releases where number % 8 = $2::bigint % 8 on conflict (fleet_rollout, release, cluster) do update set message = 'again'";
/// Of the releases whose number leaves $1 when divided by the number of writers.
const RELEASES: [&str; 3] = [
    "insert into releases (fleet_rollout, number, images, cause, plan, plan_digest, phase, overtook, opened_at, revision) \
     select 'checkout', 4 + $1 + 4 * (select count(*) from releases where number % 4 = $1), '[]', \
     '{\"person\": {\"person\": \"ann\", \"reason\": \"r\", \"request\": 1}}', '{\"waves\": []}', 'd', 'Succeeded', 0, now(), 'r' || $2::bigint \
     on conflict (fleet_rollout, number) do nothing",
    "update releases set phase = (array['Succeeded', 'Failed', 'RolledBack', 'Superseded'])[1 + $2::bigint % 4] \
     where number = (select max(number) from releases where number % 4 = $1)",
    "update releases set phase = case when $2::bigint % 2 = 0 then 'Progressing' else 'Succeeded' end, overtook = $2::bigint % 10 \
     where number = (select min(number) from releases where number % 4 = $1)",
];

/// A connection with a transaction that may be open.
struct Writer {
    connection: PgConnection,
    open: bool,
    /// Which it is.
    number: usize,
    /// Its clusters by their names of now; what is renamed within a transaction may be renamed back.
    names: Vec<String>,
    before: Vec<String>,
}

impl Writer {
    async fn say(&mut self, statement: &'static str) {
        let done = sqlx::query(statement).execute(&mut self.connection).await;
        done.unwrap();
    }

    async fn begin(&mut self) {
        if !self.open {
            self.say("begin").await;
            self.before = self.names.clone();
            self.open = true;
        }
    }

    async fn end(&mut self, good: bool) {
        if self.open {
            self.say(if good { "commit" } else { "rollback" }).await;
            if !good {
                self.names = self.before.clone();
            }
            self.open = false;
        }
    }

    async fn write(&mut self, random: &mut Random) {
        let number = i64::try_from(random.below(10_000)).unwrap();
        let one = random.below(self.names.len());
        let kinds = WRITES.len() + RELEASES.len() + 1;
        let kind = random.below(kinds);
        let query = if let Some(statement) = WRITES.get(kind).copied() {
            sqlx::query(statement).bind(self.names[one].clone())
        } else if let Some(statement) = RELEASES.get(kind - WRITES.len()).copied() {
            sqlx::query(statement).bind(i64::try_from(self.number).unwrap())
        } else {
            let new = format!("{}-{number}", &self.names[one][..1]);
            if self.names.contains(&new) {
                return;
            }
            let old = std::mem::replace(&mut self.names[one], new.clone());
            let query = sqlx::query(RENAME).bind(old).bind(new);
            query.execute(&mut self.connection).await.unwrap();
            return;
        };
        let query = query.bind(number);
        query.execute(&mut self.connection).await.unwrap();
    }

    /// Some writes, some of them within savepoints that are kept or taken back.
    async fn go_on(&mut self, random: &mut Random) {
        self.begin().await;
        match random.below(3) {
            0 => self.write(random).await,
            1 => {
                self.say("savepoint one").await;
                self.write(random).await;
                self.say("release savepoint one").await;
            }
            _ => {
                let names = self.names.clone();
                self.say("savepoint one").await;
                self.write(random).await;
                self.say("savepoint two").await;
                self.write(random).await;
                self.say("rollback to savepoint one").await;
                self.names = names;
                self.write(random).await;
            }
        }
    }
}

async fn world() -> Vec<Writer> {
    let store = fixture::store().await;
    let url = fixture::url(&store).await;
    let mut writers = Vec::new();
    for number in 0..WRITERS {
        let mut connection = PgConnection::connect(&url).await.unwrap();
        let first = ["a", "b", "c", "d"][number];
        let names: Vec<String> = (0..OWN).map(|own| format!("{first}{own}")).collect();
        for name in &names {
            for statement in [
                "insert into clusters (name, labels, kube_system_uid) values ($1, '{\"tier\": \"prod\"}', 'u')",
                "insert into cluster_sets (cluster, incarnation) values ($1, 1)",
                "insert into cluster_sessions (cluster) values ($1)",
            ] {
                let query = sqlx::query(statement).bind(name);
                query.execute(&mut connection).await.unwrap();
            }
        }
        writers.push(Writer {
            connection,
            open: false,
            number,
            before: names.clone(),
            names,
        });
    }
    let file = hub_engine::parse_file(DOCUMENTS).unwrap();
    let person = "ann".into();
    let applied = store.fleet_rollout_apply(&file, &person, false);
    applied.await.unwrap();
    writers
}

/// A decision reads with what it remembers, and everything anew, in one snapshot; then it may write something itself.
async fn decide(own: &mut Writer, random: &mut Random, memory: &mut Memory, others: &mut [Writer]) {
    own.say("begin").await;
    own.say(decide::REPEATABLE).await;
    own.say("select epoch from hub_epoch for share").await;
    // What ends between its snapshot and its reading is not there for it.
    for writer in others.iter_mut() {
        if random.below(6) == 0 {
            writer.end(random.below(3) > 0).await;
        }
    }
    let tx = &mut own.connection;
    let name = FleetRolloutName::from("checkout");
    let stored = fleet_rollout::get(tx, &name, false).await.unwrap();
    let document = asked(random, stored.unwrap().fleet_rollout);
    let mut nothing = Memory::default();
    let anew = observe::all(tx, document.clone(), &mut nothing);
    let anew = anew.await.unwrap();
    let known = observe::all(tx, document, memory).await.unwrap();
    assert_eq!(known, anew);
    if !memory.lasts() {
        changed::mark_uncrashed(tx).await.unwrap();
        *memory = Memory::default();
    }
    drop((known, anew));
    own.open = true;
    own.before = own.names.clone();
    if random.below(2) == 0 {
        own.write(random).await;
    }
    own.end(random.below(4) > 0).await;
}

/// The document is now and then another one.
fn asked(random: &mut Random, mut document: FleetRollout) -> FleetRollout {
    match random.below(40) {
        0 => document.rollout.name = "another".to_owned(),
        1 => document.clusters = Selector::default(),
        2 => {
            document.clusters.match_labels =
                BTreeMap::from([("tier".to_owned(), "other".to_owned())])
        }
        _ => {}
    }
    document
}

/// The table as it is in a copy: other rows, and in none of them what tells that.
const COPY: [&str; 6] = [
    "create temporary table copy on commit drop as select * from rollouts",
    "update copy set state = jsonb_build_object('uid', 'copied')",
    "truncate rollouts",
    "set local session_replication_role = replica",
    "insert into rollouts select * from copy",
    "update gates set version = version",
];
/// Rows as they are after a crash that gave numbers of transactions again.
const CRASH: [&str; 3] = [
    "delete from hub_uncrashed",
    "set local session_replication_role = replica",
    "update rollouts set state = jsonb_build_object('uid', 'crashed')",
];

async fn disaster(own: &mut Writer, statements: &[&'static str]) {
    own.say("begin").await;
    for statement in statements {
        own.say(statement).await;
    }
    own.say("commit").await;
}

async fn check(seed: u64) {
    let mut writers = world().await;
    let mut random = Random(seed);
    let mut memory = Memory::default();
    let mut own = writers.pop().unwrap();
    for step in 0..STEPS {
        let which = random.below(writers.len());
        writers[which].go_on(&mut random).await;
        if random.below(3) == 0 {
            let good = random.below(3) > 0;
            writers[which].end(good).await;
        }
        if step % 100 == 99 {
            for writer in &mut writers {
                writer.end(true).await;
            }
            let statements = if random.below(2) == 0 {
                COPY.as_slice()
            } else {
                CRASH.as_slice()
            };
            disaster(&mut own, statements).await;
        }
        if step % 2 == 0 {
            decide(&mut own, &mut random, &mut memory, &mut writers).await;
        }
    }
}

#[tokio::test]
async fn what_is_remembered_and_what_has_changed_since_are_what_is_there() {
    for seed in [1, 2] {
        check(seed).await;
    }
}
