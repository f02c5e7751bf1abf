//! Who asked for something through a field of a Rollout, as far as its managed fields say it.
//!
//! In: metadata. Out: the manager that wrote a field last; and, for caches, the few managed fields that are asked for. Must
//! not touch: whether what was asked for is honoured.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{FieldsV1, ManagedFieldsEntry};
use serde_json::{Map, Value, json};

use crate::names::FIELD_MANAGER;
use crate::object::ObjectMeta;

/// A field by which clients ask; `promote` removes fields, and nobody manages a field that is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// `status.abort`: abort and retry.
    Abort,
    /// `status.promoteFull`.
    PromoteFull,
    /// `status.currentStepIndex`.
    Step,
    /// `spec.paused`.
    Paused,
}

const ALL: [Asked; 4] = [Asked::Abort, Asked::PromoteFull, Asked::Step, Asked::Paused];

impl Asked {
    /// Half and field, as managed fields spell them.
    fn path(self) -> (&'static str, &'static str) {
        match self {
            Self::Abort => ("f:status", "f:abort"),
            Self::PromoteFull => ("f:status", "f:promoteFull"),
            Self::Step => ("f:status", "f:currentStepIndex"),
            Self::Paused => ("f:spec", "f:paused"),
        }
    }

    fn is_in(self, fields: &Value) -> bool {
        let (half, field) = self.path();
        fields.get(half).and_then(|half| half.get(field)).is_some()
    }
}

/// The manager that wrote a field last, other than ourselves.
pub fn author(metadata: &ObjectMeta, asked: Asked) -> Option<&str> {
    let entries = metadata.managed_fields.as_ref()?.iter();
    let of_field = entries.filter(|entry| {
        let fields = entry.fields_v1.as_ref();
        fields.is_some_and(|fields| asked.is_in(&fields.0))
            && entry.manager.as_deref() != Some(FIELD_MANAGER)
    });
    let newest = of_field.max_by_key(|entry| entry.time.as_ref().map(|time| time.0))?;
    newest.manager.as_deref()
}

/// Takes out of managed fields what no [`author`] can be read from; mostly that is all of it.
pub fn keep_authors(metadata: &mut ObjectMeta) {
    let entries = metadata.managed_fields.take().unwrap_or_default();
    let kept: Vec<ManagedFieldsEntry> = entries.into_iter().filter_map(kept).collect();
    metadata.managed_fields = (!kept.is_empty()).then_some(kept);
}

fn kept(entry: ManagedFieldsEntry) -> Option<ManagedFieldsEntry> {
    let fields = entry
        .fields_v1
        .filter(|_| entry.manager.as_deref() != Some(FIELD_MANAGER))?;
    let mut named: Map<String, Value> = Map::new();
    for (half, field) in ALL
        .into_iter()
        .filter(|asked| asked.is_in(&fields.0))
        .map(Asked::path)
    {
        let part = named.entry(half).or_insert_with(|| json!({}));
        if let Some(part) = part.as_object_mut() {
            part.insert(field.to_owned(), json!({}));
        }
    }
    (!named.is_empty()).then(|| ManagedFieldsEntry {
        fields_v1: Some(FieldsV1(Value::Object(named))),
        manager: entry.manager,
        time: entry.time,
        ..ManagedFieldsEntry::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(manager: &str, time: &str, fields: Value) -> Value {
        json!({"manager": manager, "operation": "Update", "time": time, "fieldsType": "FieldsV1", "fieldsV1": fields})
    }

    fn metadata(entries: &[Value]) -> ObjectMeta {
        serde_json::from_value(json!({"managedFields": entries})).unwrap()
    }

    #[test]
    fn the_newest_manager_that_is_not_us_is_the_author() {
        let abort = json!({"f:status": {".": {}, "f:abort": {}, "f:message": {}}});
        let metadata = metadata(&[
            entry("argocd-server", "2026-01-01T00:00:00Z", abort.clone()),
            entry(
                "kubectl-argo-rollouts",
                "2026-01-01T00:01:00Z",
                abort.clone(),
            ),
            entry(FIELD_MANAGER, "2026-01-01T00:02:00Z", abort),
        ]);
        assert_eq!(
            author(&metadata, Asked::Abort),
            Some("kubectl-argo-rollouts")
        );
        assert_eq!(author(&metadata, Asked::Step), None);
        assert_eq!(author(&ObjectMeta::default(), Asked::Abort), None);
    }

    #[test]
    fn only_what_an_author_is_read_from_is_kept() {
        let spec =
            json!({"f:spec": {"f:paused": {}, "f:replicas": {}, "f:template": {"f:spec": {}}}});
        let mut metadata = metadata(&[
            entry("kubectl", "2026-01-01T00:00:00Z", spec),
            entry(
                "helm",
                "2026-01-01T00:00:00Z",
                json!({"f:spec": {"f:replicas": {}}}),
            ),
            entry(
                FIELD_MANAGER,
                "2026-01-01T00:00:00Z",
                json!({"f:status": {"f:currentStepIndex": {}}}),
            ),
        ]);
        keep_authors(&mut metadata);
        let kept = metadata.managed_fields.clone().unwrap();
        assert_eq!(kept.len(), 1);
        assert_eq!(
            kept[0].fields_v1.as_ref().unwrap().0,
            json!({"f:spec": {"f:paused": {}}})
        );
        assert_eq!(author(&metadata, Asked::Paused), Some("kubectl"));
        let mut nothing = ObjectMeta {
            managed_fields: Some(Vec::new()),
            ..ObjectMeta::default()
        };
        keep_authors(&mut nothing);
        assert_eq!(nothing.managed_fields, None);
    }
}
