//! Kubeconfigs, read and written. In: a file of the sandbox, or a server with a token. Out: a client, or a file for a
//! program of ours. It asks no server anything.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kube::config::{KubeConfigOptions, Kubeconfig};
use secrecy::ExposeSecret;
use serde_json::json;

use crate::error::{Error, Result};

/// Where an API server is and whom to trust there.
#[derive(Debug, Clone)]
pub struct Server {
    /// `https://127.0.0.1:port`.
    pub url: String,
    /// PEM; absent for plain HTTP, which only our own proxy speaks.
    pub ca: Option<Vec<u8>>,
}

/// A client with the file's own rights. It asks again by itself when the server is busy.
pub async fn client(path: &Path) -> Result<kube::Client> {
    connect(path, true).await
}

/// The same, for who wants to know that the server refused.
pub async fn impatient_client(path: &Path) -> Result<kube::Client> {
    connect(path, false).await
}

async fn connect(path: &Path, again: bool) -> Result<kube::Client> {
    let place = format!("kubeconfig {}", path.display());
    let file = Kubeconfig::read_from(path).map_err(Error::parse(&place))?;
    let mut config = kube::Config::from_custom_kubeconfig(file, &KubeConfigOptions::default())
        .await
        .map_err(Error::parse(&place))?;
    config.default_retry = again;
    kube::Client::try_from(config).map_err(Error::kube(place))
}

/// The server of the file's only cluster.
pub fn server(path: &Path) -> Result<Server> {
    let place = format!("kubeconfig {}", path.display());
    let missing = |what: &str| Error::Parse {
        what: place.clone(),
        message: format!("no {what}"),
    };
    let file = Kubeconfig::read_from(path).map_err(Error::parse(&place))?;
    let cluster = file
        .clusters
        .first()
        .and_then(|named| named.cluster.as_ref())
        .ok_or_else(|| missing("cluster"))?;
    let url = cluster.server.clone().ok_or_else(|| missing("server"))?;
    let ca = match (
        &cluster.certificate_authority_data,
        &cluster.certificate_authority,
    ) {
        (Some(data), _) => Some(STANDARD.decode(data).map_err(Error::parse(&place))?),
        (None, Some(file)) => {
            let file = path.parent().unwrap_or(Path::new(".")).join(file);
            Some(std::fs::read(&file).map_err(Error::io("read", &file))?)
        }
        (None, None) => None,
    };
    Ok(Server { url, ca })
}

/// The bearer token of the file's only user.
pub fn token(path: &Path) -> Result<String> {
    let place = format!("kubeconfig {}", path.display());
    let file = Kubeconfig::read_from(path).map_err(Error::parse(&place))?;
    let user = file
        .auth_infos
        .first()
        .and_then(|named| named.auth_info.as_ref());
    let token = user.and_then(|user| user.token.as_ref());
    token
        .map(|token| token.expose_secret().to_owned())
        .ok_or_else(|| Error::Parse {
            what: place,
            message: "no token".into(),
        })
}

/// The same file for another person, whom its owner may stand for.
pub fn write_as(path: &Path, from: &Path, person: &str) -> Result<()> {
    let place = format!("kubeconfig {}", from.display());
    let text = std::fs::read_to_string(from).map_err(Error::io("read", from))?;
    let mut file: serde_json::Value =
        serde_saphyr::from_str(&text).map_err(Error::parse(&place))?;
    let users = file.get_mut("users").and_then(|users| users.as_array_mut());
    for user in users.into_iter().flatten() {
        if let Some(user) = user.get_mut("user").and_then(|user| user.as_object_mut()) {
            user.insert("as".to_owned(), json!(person));
        }
    }
    std::fs::write(path, file.to_string()).map_err(Error::io("write", path))?;
    let owner_only = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(path, owner_only).map_err(Error::io("protect", path))
}

/// Writes a kubeconfig of one server and one bearer token, readable by its owner alone.
pub fn write(path: &Path, server: &Server, token: &str) -> Result<()> {
    let mut cluster = json!({ "server": server.url });
    if let (Some(ca), Some(cluster)) = (&server.ca, cluster.as_object_mut()) {
        cluster.insert(
            "certificate-authority-data".into(),
            json!(STANDARD.encode(ca)),
        );
    }
    // JSON is YAML.
    let file = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "sandbox",
        "contexts": [{ "name": "sandbox", "context": { "cluster": "sandbox", "user": "agent" } }],
        "clusters": [{ "name": "sandbox", "cluster": cluster }],
        "users": [{ "name": "agent", "user": { "token": token } }],
    });
    std::fs::write(path, file.to_string()).map_err(Error::io("write", path))?;
    let owner_only = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(path, owner_only).map_err(Error::io("protect", path))
}
