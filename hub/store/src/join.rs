//! Joining: tokens and certificates (gate.md L6). In: hashes of secrets and requests. Out: a certificate, once. It must not
//! hold a secret or a key.

use std::collections::BTreeMap;

use ::time::OffsetDateTime;
use hub_engine::ClusterName;
use hub_engine::name::Person;
use jiff::Timestamp;
use sqlx::PgConnection;
use sqlx::types::Json;

use crate::certificate::{self, CertificateIssuer};
use crate::history::{self, Fact};
use crate::row::row;
use crate::time::from_db;
use crate::{Error, Result, Store, cluster, former, membership, refusal, stop};

/// The longest life of a token.
pub const TOKEN_SECONDS_MAX: u32 = 3_600;
/// So long the same request gets the same certificate again: its reply was lost.
pub const REISSUE_SECONDS: i32 = 600;

pub(crate) const INSERT: &str = "insert into join_tokens (id, secret_hash, cluster, labels, created_by, expires_at) \
     values ($1, $2, $3, $4, $5, now() + $6 * interval '1 second') returning expires_at";
pub(crate) const LOCK: &str = "select secret_hash, cluster, labels, expires_at, expires_at < now() as expired, \
     spent_at is not null as spent, spent_at > now() - $2 * interval '1 second' as just_spent, csr_hash, certificate \
     from join_tokens where id = $1 for update";
pub(crate) const SPEND: &str =
    "update join_tokens set spent_at = now(), csr_hash = $2, certificate = $3 where id = $1";
pub(crate) const BOUND: &str = "select kube_system_uid from clusters where name = $1 for update";
pub(crate) const LEFT: &str =
    "select exists (select 1 from clusters where name = $1 and left_at is not null)";

row! {
    /// A token, locked.
    TokenRow {
        secret_hash: String, cluster: String, labels: Json<BTreeMap<String, String>>, expires_at: OffsetDateTime,
        expired: Option<bool>, spent: Option<bool>, just_spent: Option<bool>, csr_hash: Option<String>,
        certificate: Option<String>,
    }
}

/// A token to be made.
#[derive(Debug, Clone)]
pub struct NewToken {
    /// Public part.
    pub id: String,
    /// Hex SHA-256 of the secret part.
    pub secret_hash: String,
    /// The one cluster it is for.
    pub cluster: ClusterName,
    /// Labels that the cluster gets.
    pub labels: BTreeMap<String, String>,
    /// 0: the longest.
    pub valid_seconds: u32,
    /// Who asked for it.
    pub person: Person,
}

/// What Join says.
#[derive(Debug, Clone)]
pub struct Join {
    /// Public part of the token.
    pub token_id: String,
    /// Hex SHA-256 of its secret part.
    pub secret_hash: String,
    /// The name that the agent was given.
    pub cluster: ClusterName,
    /// UID of the kube-system namespace.
    pub kube_system_uid: String,
    /// Hex SHA-256 of the request's DER or PEM.
    pub csr_hash: String,
    /// The agent's version.
    pub agent_version: String,
}

impl Store {
    /// Stores a token. Its cluster is a member only once it has joined: a token nobody uses must not hold up a release.
    /// Returns when it expires.
    ///
    /// # Errors
    /// `Refused` for more than the longest life; `Unavailable`.
    pub async fn token_create(&self, token: &NewToken) -> Result<Timestamp> {
        if token.valid_seconds > TOKEN_SECONDS_MAX {
            let message = format!(
                "a token lives at most {TOKEN_SECONDS_MAX} seconds, not {}",
                token.valid_seconds
            );
            return Err(Error::Refused { message });
        }
        let seconds = if token.valid_seconds == 0 {
            TOKEN_SECONDS_MAX
        } else {
            token.valid_seconds
        };
        let mut tx = self.pool.begin().await?;
        let expires: OffsetDateTime = sqlx::query_scalar(INSERT)
            .bind(&token.id)
            .bind(&token.secret_hash)
            .bind(token.cluster.as_str())
            .bind(Json(&token.labels))
            .bind(token.person.as_str())
            .bind(f64::from(seconds))
            .fetch_one(&mut *tx)
            .await?;
        let (name, person) = (&token.cluster, token.person.as_str());
        let message = format!(
            "{person} made a join token for {name}, good until {}",
            from_db(expires)
        );
        history::add_now(
            &mut tx,
            Fact::of_hub(Some(name), "TokenCreated", person, message),
        )
        .await?;
        tx.commit().await?;
        Ok(from_db(expires))
    }

    /// Spends a token and stores the certificate, in one transaction; the same request again within ten minutes gets the
    /// same certificate. Refusals are recorded.
    ///
    /// # Errors
    /// `Refused` with the reason; `Unavailable`.
    pub async fn join(&self, join: &Join, issuer: &dyn CertificateIssuer) -> Result<String> {
        let mut tx = self.pool.begin().await?;
        let issued = spend(&mut tx, join, issuer).await;
        self.ended(tx, issued, refusal::JOIN, &join.cluster).await
    }
}

async fn spend(
    tx: &mut PgConnection,
    join: &Join,
    issuer: &dyn CertificateIssuer,
) -> Result<String> {
    let row: Option<TokenRow> = sqlx::query_as(LOCK)
        .bind(&join.token_id)
        .bind(f64::from(REISSUE_SECONDS))
        .fetch_optional(&mut *tx)
        .await?;
    let labels = match usable(row, join)? {
        Usable::Fresh(labels) => labels,
        Usable::Again(certificate) => return Ok(certificate),
    };
    let name = &join.cluster;
    let bound: Option<Option<String>> = sqlx::query_scalar(BOUND)
        .bind(name.as_str())
        .fetch_optional(&mut *tx)
        .await?;
    let other = bound
        .flatten()
        .is_some_and(|bound| bound != join.kube_system_uid);
    let left: bool = sqlx::query_scalar(LEFT)
        .bind(name.as_str())
        .fetch_one(&mut *tx)
        .await?;
    if other && !left {
        return Err(refused(format!(
            "cluster {name} is bound to another kube-system namespace; join this one under a name of its own, or say that it \
             takes its place: `groundswell cluster rebind {name} --uid {} --reason WHY`",
            join.kube_system_uid
        )));
    }
    if other {
        sqlx::query(stop::TOUCH).bind("").execute(&mut *tx).await?;
        let now: OffsetDateTime = sqlx::query_scalar(membership::CLOCK)
            .fetch_one(&mut *tx)
            .await?;
        membership::replace(tx, name, &join.kube_system_uid, from_db(now)).await?;
    }
    let certificate = issuer.issue(name).map_err(refused)?;
    cluster::upsert(tx, name.as_str(), &labels).await?;
    sqlx::query(cluster::BIND)
        .bind(name.as_str())
        .bind(&join.kube_system_uid)
        .execute(&mut *tx)
        .await?;
    let others = former::above(tx, name, &join.kube_system_uid).await?;
    sqlx::query(SPEND)
        .bind(&join.token_id)
        .bind(&join.csr_hash)
        .bind(&certificate.pem)
        .execute(&mut *tx)
        .await?;
    certificate::record(tx, name, &certificate).await?;
    history::add_now(tx, joined(join, &others)).await?;
    crate::hint::notify(tx).await?;
    Ok(certificate.pem)
}

fn joined(join: &Join, others: &[String]) -> Fact {
    let name = &join.cluster;
    let mut message = format!(
        "{name} joined with token {}, agent {}",
        join.token_id, join.agent_version
    );
    if !others.is_empty() {
        let others = others.join(", ");
        message.push_str(&format!("; it is or was a member as {others}, too"));
    }
    let actor = format!("agent:{name}");
    Fact::of_hub(Some(name), "ClusterJoined", &actor, message)
}

enum Usable {
    Fresh(BTreeMap<String, String>),
    Again(String),
}

/// A wrong secret and an unknown id get the same answer.
fn usable(row: Option<TokenRow>, join: &Join) -> Result<Usable> {
    let known = row.filter(|row| row.secret_hash == join.secret_hash);
    let row = known.ok_or_else(|| {
        refused(
            "this token is not known; make one with `groundswell cluster token NAME`".to_owned(),
        )
    })?;
    let (made_for, offered) = (&row.cluster, &join.cluster);
    if made_for != offered.as_str() {
        return Err(refused(format!(
            "this token was made for cluster {made_for}, not for {offered}; make one with `groundswell cluster token {offered}`"
        )));
    }
    if row.spent == Some(true) {
        let same = row.just_spent == Some(true) && row.csr_hash.as_ref() == Some(&join.csr_hash);
        return match row.certificate {
            Some(certificate) if same => Ok(Usable::Again(certificate)),
            Some(_) | None => Err(refused(format!(
                "this token was used already; make a new one with `groundswell cluster token {made_for}`"
            ))),
        };
    }
    if row.expired != Some(false) {
        return Err(refused(format!(
            "this token expired at {}; make a new one with `groundswell cluster token {made_for}`",
            from_db(row.expires_at)
        )));
    }
    Ok(Usable::Fresh(row.labels.0))
}

fn refused(message: String) -> Error {
    Error::Refused { message }
}
