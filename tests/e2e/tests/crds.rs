//! The shipped CustomResourceDefinitions before a real API server. In: deploy/crds and an object of each kind in which every
//! field is set. Out: the same object, unchanged.

use agent_api::crd;
use kube::api::{Api, ApiResource, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::GroupVersionKind;
use serde_json::{Value, json};
use tests_e2e::bed::Bed;
use tests_e2e::object::{differences, json, text};
use tests_fleet::{apply, programs};

#[tokio::test]
async fn a_real_api_server_returns_every_field_of_every_kind() {
    let bed = Bed::up("crds", &["crds"]).await.expect("a cluster");
    let client = bed.first().expect("it").client().await.expect("a client");
    apply::manifests(&client, &programs::workspace().join("deploy/crds"))
        .await
        .expect("every CRD is taken");
    let kinds = crd::kinds();
    assert_eq!(kinds.len(), 7, "{kinds:?}");
    let mut wrong = Vec::new();
    for kind in kinds {
        let given = crd::maximal_object(&kind).expect("an object of each kind");
        let found = stored(&client, &given).await;
        for difference in differences(&given, &found) {
            wrong.push(format!("{kind}{difference}"));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// What the API server has of an object, without what it adds to every object's metadata.
async fn stored(client: &kube::Client, given: &Value) -> Value {
    let (kind, version) = (text(given, "/kind"), text(given, "/apiVersion"));
    let (group, version) = version.split_once('/').expect("a group and a version");
    let gvk = GroupVersionKind::gvk(group, version, kind);
    let crd = crd::documents()
        .into_iter()
        .find(|crd| text(crd, "/spec/names/kind") == kind && text(crd, "/spec/group") == group)
        .expect("its CRD");
    let resource = ApiResource::from_gvk_with_plural(&gvk, text(&crd, "/spec/names/plural"));
    let api: Api<DynamicObject> = match text(given, "/metadata/namespace") {
        "" => Api::all_with(client.clone(), &resource),
        "default" => Api::default_namespaced_with(client.clone(), &resource),
        namespace => {
            let object =
                json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
            apply::yaml(client, &object.to_string(), kind)
                .await
                .expect("its namespace");
            Api::namespaced_with(client.clone(), namespace, &resource)
        }
    };
    let object: DynamicObject = serde_json::from_value(given.clone()).expect("an object");
    let name = object.metadata.name.clone().expect("a name");
    api.create(&PostParams::default(), &object)
        .await
        .unwrap_or_else(|error| panic!("{kind} is taken: {error}"));
    let subresource = crd
        .pointer("/spec/versions/0/subresources/status")
        .is_some();
    if let (true, Some(status)) = (subresource, given.get("status")) {
        let patch = json!({ "status": status });
        api.patch_status(&name, &PatchParams::default(), &Patch::Merge(patch))
            .await
            .unwrap_or_else(|error| panic!("the status of {kind} is taken: {error}"));
    }
    let mut found = json(&api.get(&name).await.expect("there")).expect("JSON");
    let metadata = found.pointer_mut("/metadata").expect("metadata");
    let wanted = &given["metadata"];
    if let Some(fields) = metadata.as_object_mut() {
        fields.retain(|key, _| wanted.get(key).is_some());
    }
    found
}
