//! Lists of pods, page by page.
//!
//! In: a namespace, a selector. Out: pods with their metadata, and with their readiness where that is asked for. It must not
//! keep anything else of a pod: specs are most of it, and are dropped as they are read.

use agent_api::{ObjectMeta, Pod, PodCondition, PodStatus, Trim as _};
use kube::api::{ListMeta, ListParams, Request};
use kube::{Api, Client, Resource as _};
use serde::Deserialize;

/// What is decoded of a list.
#[derive(Deserialize)]
struct Page {
    #[serde(default)]
    metadata: ListMeta,
    #[serde(default)]
    items: Vec<Head>,
}

/// What is decoded of a pod.
#[derive(Deserialize)]
struct Head {
    metadata: ObjectMeta,
    #[serde(default)]
    status: Status,
}

#[derive(Deserialize, Default)]
struct Status {
    #[serde(default)]
    conditions: Vec<Condition>,
}

#[derive(Deserialize)]
struct Condition {
    r#type: String,
    status: String,
}

/// Pods of which only the metadata is asked for.
pub async fn of_metadata(
    client: &Client,
    namespace: &str,
    mut parameters: ListParams,
) -> Result<Vec<Pod>, kube::Error> {
    let api: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let mut found = Vec::new();
    loop {
        let page = api.list_metadata(&parameters).await?;
        found.extend(page.items.into_iter().map(|item| pod(item.metadata, None)));
        match more(&page.metadata) {
            Some(token) => parameters = parameters.continue_token(&token),
            None => return Ok(found),
        }
    }
}

/// Pods with the condition that says whether they are ready. There is no list of conditions alone, so the whole is sent.
pub async fn with_readiness(
    client: &Client,
    namespace: &str,
    mut parameters: ListParams,
) -> Result<Vec<Pod>, kube::Error> {
    let request = Request::new(Pod::url_path(&(), Some(namespace)));
    let mut found = Vec::new();
    loop {
        let asked = request
            .list(&parameters)
            .map_err(kube::Error::BuildRequest)?;
        let page: Page = client.request(asked).await?;
        found.extend(page.items.into_iter().map(|head| {
            let conditions = head.status.conditions.into_iter();
            let conditions = conditions.map(|one| PodCondition {
                r#type: one.r#type,
                status: one.status,
                ..PodCondition::default()
            });
            let status = PodStatus {
                conditions: conditions.collect(),
                ..PodStatus::default()
            };
            pod(head.metadata, Some(status))
        }));
        match more(&page.metadata) {
            Some(token) => parameters = parameters.continue_token(&token),
            None => return Ok(found),
        }
    }
}

fn more(list: &ListMeta) -> Option<String> {
    list.continue_.clone().filter(|more| !more.is_empty())
}

fn pod(metadata: ObjectMeta, status: Option<PodStatus>) -> Pod {
    let mut pod = Pod {
        metadata,
        status,
        ..Pod::default()
    };
    pod.trim();
    pod
}
