//! Client certificates of clusters. In: what the hub's CA signs. Out: the same, recorded in the transaction that lets it out,
//! and whether one is still good. It must not hold a key.

use hub_engine::ClusterName;
use hub_engine::name::Person;
use jiff::Timestamp;
use sqlx::PgConnection;

use crate::history::{self, Fact};
use crate::time::to_db;
use crate::{Error, Result, Store, join};

pub(crate) const INSERT: &str = "insert into certificates (fingerprint, cluster, expires_at) values ($1, $2, $3) \
     on conflict (fingerprint) do nothing";
pub(crate) const MANY: &str = "select count(*) >= $3 from certificates where cluster = $1 \
     and issued_at > now() - ($2 - now()) / $4";
pub(crate) const REVOKED: &str = "select coalesce( \
     (select revoked_at is not null from certificates where fingerprint = $2), \
     (select revoked_at is not null from clusters where name = $1), false)";
pub(crate) const OWNER: &str = "select cluster from certificates where fingerprint = $1";
pub(crate) const REVOKE: &str =
    "update certificates set revoked_at = now() where cluster = $1 and revoked_at is null";
pub(crate) const REVOKE_UNLISTED: &str =
    "update clusters set revoked_at = now() where name = $1 returning name";
/// A session under a number of its own is over: the agent's stream ends at its next word.
pub(crate) const END_SESSION: &str =
    "update cluster_sessions set session = session + 1, open = false where cluster = $1";

/// A certificate that the CA has made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// As the agent gets it.
    pub pem: String,
    /// Hex SHA-256 of it.
    pub fingerprint: String,
    /// Its end.
    pub expires: Timestamp,
}

/// What an agent says that asks for its next certificate.
#[derive(Debug, Clone)]
pub struct Renewal {
    /// From the certificate that it shows.
    pub cluster: ClusterName,
    /// Hex SHA-256 of the certificate that it shows.
    pub fingerprint: String,
    /// UID of the kube-system namespace.
    pub kube_system_uid: String,
}

/// Certificates that a cluster gets in a tenth of the life of one: each leaves a row, and one in the history, which are never
/// deleted (S11). An agent asks for one in two thirds of it, and again where it could not keep what it got.
const RENEWALS_MAX: i64 = 20;
const PART_OF_LIFE: f64 = 10.0;

/// Signs certificates; the hub holds the CA.
pub trait CertificateIssuer: Send + Sync {
    /// A certificate for this cluster, by the request that the caller holds.
    ///
    /// # Errors
    /// One sentence, when the request is not good.
    fn issue(&self, cluster: &ClusterName) -> std::result::Result<Certificate, String>;
}

impl Store {
    /// Issues a cluster's next certificate; the one that it shows stays good until it ends. Refusals are recorded.
    ///
    /// # Errors
    /// `Refused` with the reason; `Unavailable`.
    pub async fn renew(&self, renewal: &Renewal, issuer: &dyn CertificateIssuer) -> Result<String> {
        let mut tx = self.pool.begin().await?;
        let issued = renew(&mut tx, renewal, issuer).await;
        self.ended(tx, issued, "Renew", &renewal.cluster).await
    }

    /// Denies every certificate that a cluster has; it has to join again.
    ///
    /// # Errors
    /// `NotFound`; `Unavailable`.
    pub async fn revoke(&self, cluster: &ClusterName, person: &Person, reason: &str) -> Result<()> {
        let mut tx = self.pool.begin().await?;
        let known: Option<String> = sqlx::query_scalar(REVOKE_UNLISTED)
            .bind(cluster.as_str())
            .fetch_optional(&mut *tx)
            .await?;
        if known.is_none() {
            return Err(crate::error::not_found(format!("cluster {cluster}")));
        }
        for statement in [REVOKE, END_SESSION] {
            sqlx::query(statement)
                .bind(cluster.as_str())
                .execute(&mut *tx)
                .await?;
        }
        let message = format!("{person} revoked the certificates of {cluster}: {reason}");
        history::add_now(
            &mut tx,
            Fact::of_hub(
                Some(cluster),
                "CertificatesRevoked",
                person.as_str(),
                message,
            ),
        )
        .await?;
        crate::hint::notify(&mut tx).await?;
        tx.commit().await?;
        Ok(())
    }
}

async fn renew(
    tx: &mut PgConnection,
    renewal: &Renewal,
    issuer: &dyn CertificateIssuer,
) -> Result<String> {
    let Renewal {
        fingerprint,
        kube_system_uid,
        ..
    } = renewal;
    let cluster = &owner(tx, &renewal.cluster, fingerprint).await?;
    let bound: Option<Option<String>> = sqlx::query_scalar(join::BOUND)
        .bind(cluster.as_str())
        .fetch_optional(&mut *tx)
        .await?;
    let refused = |message: String| Error::Refused { message };
    match bound.flatten() {
        Some(bound) if bound == *kube_system_uid => {}
        Some(_) => {
            return Err(refused(format!(
                "cluster {cluster} is bound to another kube-system namespace; join this one under a name of its own"
            )));
        }
        None => return Err(refused(format!("nobody has joined as {cluster}"))),
    }
    if revoked(tx, cluster, fingerprint).await? {
        return Err(refused(revoked_message(cluster)));
    }
    let certificate = issuer.issue(cluster).map_err(refused)?;
    let many: bool = sqlx::query_scalar(MANY)
        .bind(cluster.as_str())
        .bind(to_db(certificate.expires))
        .bind(RENEWALS_MAX)
        .bind(PART_OF_LIFE)
        .fetch_one(&mut *tx)
        .await?;
    if many {
        return Err(refused(format!(
            "cluster {cluster} has had {RENEWALS_MAX} certificates in the last tenth of the life of one: its agent cannot keep \
             what it gets (see its log), or is not what it was (`groundswell cluster revoke {cluster}`)"
        )));
    }
    record(tx, cluster, &certificate).await?;
    let message = format!("{cluster} has a certificate until {}", certificate.expires);
    let fact = Fact {
        evidence: serde_json::json!({"shown": fingerprint, "issued": certificate.fingerprint}),
        ..Fact::of_hub(
            Some(cluster),
            "CertificateRenewed",
            &format!("agent:{cluster}"),
            message,
        )
    };
    history::add_now(tx, fact).await?;
    Ok(certificate.pem)
}

/// The cluster to which a certificate was given, by its name of now: the certificate keeps the name of its day.
pub(crate) async fn owner(
    tx: &mut PgConnection,
    name: &ClusterName,
    fingerprint: &str,
) -> Result<ClusterName> {
    let owner: Option<String> = sqlx::query_scalar(OWNER)
        .bind(fingerprint)
        .fetch_optional(tx)
        .await?;
    Ok(owner.map_or_else(|| name.clone(), Into::into))
}

/// One that is let out is listed.
pub(crate) async fn record(
    tx: &mut PgConnection,
    cluster: &ClusterName,
    certificate: &Certificate,
) -> Result<()> {
    sqlx::query(INSERT)
        .bind(&certificate.fingerprint)
        .bind(cluster.as_str())
        .bind(to_db(certificate.expires))
        .execute(tx)
        .await?;
    Ok(())
}

/// Whether a certificate is denied.
pub(crate) async fn revoked(
    tx: &mut PgConnection,
    cluster: &ClusterName,
    fingerprint: &str,
) -> Result<bool> {
    Ok(sqlx::query_scalar(REVOKED)
        .bind(cluster.as_str())
        .bind(fingerprint)
        .fetch_one(tx)
        .await?)
}

/// What the agent's people read.
#[must_use]
pub fn revoked_message(cluster: &ClusterName) -> String {
    format!(
        "this certificate of {cluster} was revoked; delete the agent's Secret groundswell-agent-identity and join again \
         with a token of `groundswell cluster token {cluster}`"
    )
}
