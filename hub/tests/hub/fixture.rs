//! A hub in a folder of its own, and people who talk to it.
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::Duration;

use hub::args::{Database, LogForm, Serve};
use hub::authority::Authority;
use hub::serve::{self, Running};
use hub_store::embedded::Embedded;
use proto::v1::fleet_client::FleetClient;
use proto::v1::{ApplyRequest, ApplyResponse, CreateTokenRequest, HistoryRow, ListHistoryRequest};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

/// Longer than anything here takes on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// Short, so that renewals come every second.
pub const LEASE_SECONDS: u32 = 4;
/// Longer than any test here takes, and over before a person would wait for it.
pub const CERTIFICATE_SECONDS: u32 = 600;

/// A running hub. Its Postgres stops when it is dropped, however the test ends.
pub struct World {
    pub hub: Option<Running>,
    pub url: String,
    pub authority: Authority,
    pub postgres: Option<Embedded>,
    pub database: String,
    pub postgres_folder: PathBuf,
    pub hub_folder: PathBuf,
    _dir: tempfile::TempDir,
}

impl World {
    pub async fn start() -> Self {
        Self::with_certificates(CERTIFICATE_SECONDS).await
    }

    /// Whose clusters' certificates live so long.
    pub async fn with_certificates(seconds: u32) -> Self {
        // As root the embedded Postgres runs under another user, who has to get through.
        let dir = tempfile::tempdir().unwrap();
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o711)).unwrap();
        let postgres_folder = dir.path().join("postgres");
        let postgres = Embedded::start_volatile(&postgres_folder).await.unwrap();
        let options = Serve {
            data_dir: dir.path().join("hub"),
            database: Database::Url(postgres.url().to_owned()),
            listen: "127.0.0.1:0".parse().unwrap(),
            lease_seconds: LEASE_SECONDS,
            cluster_certificate_seconds: seconds,
            addr_file: None,
            san: Vec::new(),
            log: LogForm::Text,
        };
        let hub = serve::start(&options).await.unwrap();
        let authority = Authority::open(&options.data_dir).unwrap();
        let url = hub.url().to_owned();
        Self {
            hub: Some(hub),
            url,
            authority,
            database: postgres.url().to_owned(),
            postgres: Some(postgres),
            postgres_folder,
            hub_folder: options.data_dir,
            _dir: dir,
        }
    }

    pub async fn person(&self, name: &str, groups: &[&str]) -> FleetClient<Channel> {
        let groups: Vec<String> = groups.iter().map(|group| (*group).to_owned()).collect();
        let issued = self.authority.person(name, &groups).unwrap();
        FleetClient::new(self.channel(Some((&issued.certificate, &issued.key))).await)
    }

    pub async fn admin(&self) -> FleetClient<Channel> {
        self.person("admin", &["groundswell-admins"]).await
    }

    /// A connection with a client certificate, or without.
    pub async fn channel(&self, identity: Option<(&str, &str)>) -> Channel {
        self.endpoint(identity).connect().await.unwrap()
    }

    /// None, if the door stays closed.
    pub async fn try_channel(&self, identity: Option<(&str, &str)>) -> Option<Channel> {
        self.endpoint(identity).connect().await.ok()
    }

    /// Nobody, if the hub does not answer now.
    pub async fn try_admin(&self) -> Option<FleetClient<Channel>> {
        let issued = self
            .authority
            .person("admin", &["groundswell-admins".to_owned()])
            .unwrap();
        let endpoint = self.endpoint(Some((&issued.certificate, &issued.key)));
        endpoint
            .connect_timeout(Duration::from_secs(1))
            .connect()
            .await
            .ok()
            .map(FleetClient::new)
    }

    fn endpoint(&self, identity: Option<(&str, &str)>) -> Endpoint {
        let tls =
            ClientTlsConfig::new().ca_certificate(Certificate::from_pem(self.authority.ca_pem()));
        let tls = match identity {
            Some((certificate, key)) => tls.identity(Identity::from_pem(certificate, key)),
            None => tls,
        };
        Endpoint::from_shared(self.url.clone())
            .unwrap()
            .tls_config(tls)
            .unwrap()
    }

    pub async fn token(
        &self,
        cluster: &str,
        labels: &[(&str, &str)],
        valid_seconds: u32,
    ) -> String {
        let labels = labels
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect();
        let request = CreateTokenRequest {
            cluster: cluster.to_owned(),
            labels,
            valid_seconds,
        };
        self.admin()
            .await
            .create_token(request)
            .await
            .unwrap()
            .into_inner()
            .token
    }

    pub async fn apply(&self, document: &str) -> ApplyResponse {
        let request = ApplyRequest {
            file_name: "x.yaml".into(),
            document: document.to_owned(),
            dry_run: false,
        };
        self.admin()
            .await
            .apply(request)
            .await
            .unwrap()
            .into_inner()
    }

    pub async fn history(&self) -> Vec<HistoryRow> {
        let request = ListHistoryRequest {
            release: String::new(),
            after: 0,
            limit: 1000,
            ..ListHistoryRequest::default()
        };
        self.admin()
            .await
            .list_history(request)
            .await
            .unwrap()
            .into_inner()
            .rows
    }
}

/// Looks until there is something to see.
pub async fn eventually<T, F: AsyncFnMut() -> Option<T>>(what: &str, mut look: F) -> T {
    let mut looks = tokio::time::interval(Duration::from_millis(50));
    let all = async {
        loop {
            looks.tick().await;
            if let Some(value) = look().await {
                return value;
            }
        }
    };
    match tokio::time::timeout(PATIENCE, all).await {
        Ok(value) => value,
        Err(_) => panic!("not within {PATIENCE:?}: {what}"),
    }
}

/// A FleetRollout with one wave over every cluster of a tier.
pub fn document(name: &str, rollout: &str, tier: &str, wave: &str) -> String {
    format!(
        "apiVersion: fleet.groundswell.dev/v1alpha1\nkind: FleetRollout\nmetadata: {{name: {name}}}\nspec:\n  \
         rollout: {{namespace: shop, name: {rollout}}}\n  enforcement: Enforce\n  \
         clusters: {{matchLabels: {{tier: {tier}}}}}\n  waves:\n  - {wave}\n"
    )
}
