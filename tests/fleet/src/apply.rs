//! Manifests into a cluster, as an administrator would put them there. In: folders and files of YAML. Out: objects, by
//! server-side apply in the order of the names, CRDs waited for. It touches nothing that the manifests do not name.

use std::path::{Path, PathBuf};
use std::time::Duration;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, DynamicObject, Patch, PatchParams};
use kube::core::GroupVersionKind;
use kube::discovery::Scope;

use crate::error::{Error, Result};
use crate::eventually::eventually;

/// Our name as a field manager.
const MANAGER: &str = "tests-fleet";

/// An API server on a busy machine takes a second or two to serve a new kind.
const ESTABLISHED: Duration = Duration::from_secs(30);

/// Applies every `.yaml` file of a folder, or one file.
pub async fn manifests(client: &kube::Client, path: &Path) -> Result<()> {
    for file in yaml_files(path)? {
        let text = std::fs::read_to_string(&file).map_err(Error::io("read", &file))?;
        yaml(client, &text, &file.display().to_string()).await?;
    }
    Ok(())
}

/// Applies every document of a text; `place` is for messages.
pub async fn yaml(client: &kube::Client, text: &str, place: &str) -> Result<()> {
    let documents: Vec<serde_json::Value> =
        serde_saphyr::from_multiple(text).map_err(Error::parse(place))?;
    for document in documents.into_iter().filter(|document| !document.is_null()) {
        object(client, document, place).await?;
    }
    Ok(())
}

async fn object(client: &kube::Client, document: serde_json::Value, place: &str) -> Result<()> {
    let object: DynamicObject = serde_json::from_value(document).map_err(Error::parse(place))?;
    let types = object.types.clone().unwrap_or_default();
    let name = object.metadata.name.clone().unwrap_or_default();
    let what = format!("apply {} {name} of {place}", types.kind);
    let gvk = GroupVersionKind::try_from(&types).map_err(Error::parse(&what))?;
    let served = format!("{} is served", types.kind);
    let (resource, capabilities) = eventually(&served, ESTABLISHED, async || {
        let kind = kube::discovery::pinned_kind(client, &gvk).await;
        kind.map_err(|error| error.to_string())
    })
    .await?;
    let api: Api<DynamicObject> = match (capabilities.scope, &object.metadata.namespace) {
        (Scope::Cluster, _) => Api::all_with(client.clone(), &resource),
        (Scope::Namespaced, Some(namespace)) => {
            Api::namespaced_with(client.clone(), namespace, &resource)
        }
        (Scope::Namespaced, None) => Api::default_namespaced_with(client.clone(), &resource),
    };
    api.patch(
        &name,
        &PatchParams::apply(MANAGER).force(),
        &Patch::Apply(&object),
    )
    .await
    .map_err(Error::kube(&what))?;
    if types.kind == "CustomResourceDefinition" {
        established(client, &name).await?;
    }
    Ok(())
}

async fn established(client: &kube::Client, name: &str) -> Result<()> {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    eventually(&format!("{name} is established"), ESTABLISHED, async || {
        let crd = api.get(name).await.map_err(|error| error.to_string())?;
        let conditions = crd
            .status
            .and_then(|status| status.conditions)
            .unwrap_or_default();
        conditions
            .iter()
            .any(|condition| condition.type_ == "Established" && condition.status == "True")
            .then_some(())
            .ok_or_else(|| format!("{conditions:?}"))
    })
    .await
}

/// The files, namespaces first: what lives in one cannot be made before it.
fn yaml_files(path: &Path) -> Result<Vec<PathBuf>> {
    if path.is_file() {
        return Ok(vec![path.to_path_buf()]);
    }
    let mut files: Vec<PathBuf> = std::fs::read_dir(path)
        .map_err(Error::io("list", path))?
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|file| file.extension().is_some_and(|end| end == "yaml"))
        .collect();
    files.sort_by_key(|file| {
        (
            file.file_stem().is_none_or(|stem| stem != "namespace"),
            file.clone(),
        )
    });
    Ok(files)
}
