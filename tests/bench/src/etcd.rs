//! etcd's own count of changes. In: the address of a cluster's etcd. Out: for each object of the kinds that controllers
//! write, how often its key was changed since it was made. A write that leaves an object as it was never reaches etcd, so
//! nothing is asked of the API server and nothing has to be watched.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::json;
use tests_fleet::{Error, Result};

use crate::audit::ObjectName;

/// The kinds, and where the API server keeps them.
const KINDS: [(&str, &str); 3] = [
    ("rollouts", "/registry/argoproj.io/rollouts/"),
    ("analysisruns", "/registry/argoproj.io/analysisruns/"),
    ("replicasets", "/registry/replicasets/"),
];

/// How often each object was changed, its creation included.
pub type Versions = BTreeMap<ObjectName, u64>;

/// A cluster's etcd.
#[derive(Debug)]
pub struct Etcd {
    url: String,
    client: reqwest::Client,
}

#[derive(Debug, Deserialize)]
struct Range {
    #[serde(default)]
    kvs: Vec<Key>,
}

#[derive(Debug, Deserialize)]
struct Key {
    key: String,
    version: String,
}

impl Etcd {
    /// At `http://host:port`.
    pub fn new(url: &str) -> Self {
        Self {
            url: format!("{url}/v3/kv/range"),
            client: reqwest::Client::new(),
        }
    }

    /// The versions of all objects of the kinds.
    pub async fn versions(&self) -> Result<Versions> {
        let mut versions = Versions::new();
        for (resource, prefix) in KINDS {
            for found in self.range(prefix).await?.kvs {
                let (object, version) = read(resource, prefix, &found)?;
                versions.insert(object, version);
            }
        }
        Ok(versions)
    }

    async fn range(&self, prefix: &str) -> Result<Range> {
        // The first key after all that begin with the prefix, whose last letter is a slash.
        let end = format!("{}0", prefix.trim_end_matches('/'));
        let body = json!({"key": STANDARD.encode(prefix), "range_end": STANDARD.encode(end), "keys_only": true});
        let what = format!("the keys below {prefix} in etcd");
        let asked = self.client.post(&self.url).body(body.to_string()).send();
        let answer = asked.await.map_err(Error::parse(&what))?;
        let text = answer.text().await.map_err(Error::parse(&what))?;
        serde_json::from_str(&text).map_err(Error::parse(&what))
    }
}

fn read(resource: &str, prefix: &str, found: &Key) -> Result<(ObjectName, u64)> {
    let what = format!("a key below {prefix} in etcd");
    let key = STANDARD.decode(&found.key).map_err(Error::parse(&what))?;
    let key = String::from_utf8(key).map_err(Error::parse(&what))?;
    let name = key
        .strip_prefix(prefix)
        .and_then(|rest| rest.split_once('/'));
    let (namespace, name) = name.ok_or_else(|| Error::parse(&what)(&key))?;
    let object = ObjectName {
        resource: resource.to_owned(),
        namespace: namespace.to_owned(),
        name: name.to_owned(),
    };
    Ok((object, found.version.parse().map_err(Error::parse(&what))?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_names_an_object() {
        let key = |key: &str| Key {
            key: STANDARD.encode(key),
            version: "7".into(),
        };
        let (object, version) = read(
            "replicasets",
            KINDS[2].1,
            &key("/registry/replicasets/n/a-1"),
        )
        .expect("a ReplicaSet");
        assert_eq!(
            (object.to_string().as_str(), version),
            ("replicasets n/a-1", 7)
        );
        assert!(read("replicasets", KINDS[2].1, &key("/registry/pods/n/a")).is_err());
    }
}
