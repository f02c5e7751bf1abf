//! Whether ConfigMaps and Secrets that content names are there (gate.md G23).
//!
//! In: names. Out: those that are gone. It must not read them: the answer is asked for as a table without the object, so that
//! neither a Secret's data nor what `kubectl apply` notes of it in an annotation ever reaches this process.

use agent_api::pod_template::ConfigNames;
use http::{Request, StatusCode, header};
use kube::Client;
use kube::client::Body;

use crate::key::ObjectKey;

/// Cells for people, and no object in them: see `NO_OBJECT`.
const TABLE: &str = "application/json;as=Table;g=meta.k8s.io;v=v1";
/// Leaves the object out of the table's rows.
const NO_OBJECT: &str = "includeObject=None";

/// Why it is not known.
#[derive(Debug, thiserror::Error)]
#[error("cannot look whether {kind} {name} is there: {why}")]
pub struct Error {
    kind: &'static str,
    name: ObjectKey,
    why: String,
}

/// The names of those that are gone, for people.
pub async fn missing(
    client: &Client,
    namespace: &str,
    names: ConfigNames,
) -> Result<Vec<String>, Error> {
    let config_maps = names.config_maps.into_iter();
    let config_maps = config_maps.map(|name| ("ConfigMap", "configmaps", name));
    let secrets = names.secrets.into_iter();
    let secrets = secrets.map(|name| ("Secret", "secrets", name));
    let mut missing = Vec::new();
    for (kind, plural, name) in config_maps.chain(secrets) {
        if !is_object_name(&name) {
            missing.push(format!("{kind} {name}"));
            continue;
        }
        let path = format!("/api/v1/namespaces/{namespace}/{plural}/{name}?{NO_OBJECT}");
        let there = is_there(client, &path).await.map_err(|why| Error {
            kind,
            name: ObjectKey::new(namespace, name.clone()),
            why,
        })?;
        if !there {
            missing.push(format!("{kind} {name}"));
        }
    }
    Ok(missing)
}

async fn is_there(client: &Client, path: &str) -> Result<bool, String> {
    let request = Request::get(path).header(header::ACCEPT, TABLE);
    let request = request
        .body(Body::empty())
        .map_err(|error| error.to_string())?;
    let answer = client
        .send(request)
        .await
        .map_err(|error| error.to_string())?;
    // The body says nothing that is wanted.
    match answer.status() {
        StatusCode::NOT_FOUND => Ok(false),
        status if status.is_success() => Ok(true),
        status => Err(format!("the API server answers {status}")),
    }
}

/// Whether an object can have that name; another one could lead the path elsewhere.
fn is_object_name(name: &str) -> bool {
    let good =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte);
    !name.is_empty() && name.bytes().all(good) && !name.starts_with('.') && !name.contains("..")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stays_one_part_of_the_path() {
        for good in ["checkout", "a.b-c.1"] {
            assert!(is_object_name(good), "{good}");
        }
        for bad in ["", "..", "../pods", "a/b", "a?b", "A", "a%2f", "a..b", ".a"] {
            assert!(!is_object_name(bad), "{bad}");
        }
    }
}
