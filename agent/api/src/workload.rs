//! The workload that a Rollout names by `workloadRef`.
//!
//! In: the reference, and a Deployment's, ReplicaSet's or PodTemplate's JSON. Out: which kind is meant, and what a
//! Rollout takes from it. Must not touch: typed pod specs; the workload's own status.

use serde_json::Value;

use crate::pod_template::PodTemplate;
use crate::record::words;
use crate::rollout::WorkloadRef;
use crate::selector::LabelSelector;

words! {
    /// A kind that may be named.
    pub enum WorkloadKind {
        /// `apps` Deployment.
        Deployment,
        /// `apps` ReplicaSet.
        ReplicaSet,
        /// Core PodTemplate.
        PodTemplate,
    }
}

impl WorkloadKind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Deployment, Self::ReplicaSet, Self::PodTemplate];

    /// Its API group.
    pub fn group(self) -> &'static str {
        match self {
            Self::Deployment | Self::ReplicaSet => "apps",
            Self::PodTemplate => "",
        }
    }

    /// Its plural name, as in URLs.
    pub fn plural(self) -> &'static str {
        match self {
            Self::Deployment => "deployments",
            Self::ReplicaSet => "replicasets",
            Self::PodTemplate => "podtemplates",
        }
    }
}

words! {
    /// What becomes of the workload's own pods as the Rollout's first version comes up.
    pub enum ScaleDown {
        /// They stay.
        Never,
        /// They go when the first version is healthy.
        OnSuccess,
        /// One goes for each that is ready.
        Progressively,
    }
}

impl ScaleDown {
    /// The word of a reference; nothing written means never.
    pub fn of(written: Option<&str>) -> Option<Self> {
        match written.unwrap_or_default() {
            "" | "never" => Some(Self::Never),
            "onsuccess" => Some(Self::OnSuccess),
            "progressively" => Some(Self::Progressively),
            _ => None,
        }
    }
}

impl WorkloadRef {
    /// The kind that it names, if it may be named.
    pub fn workload_kind(&self) -> Option<WorkloadKind> {
        let version = self.api_version.as_deref().unwrap_or_default();
        let group = version.split_once('/').map_or("", |(group, _)| group);
        let kind = self.kind.as_deref().unwrap_or_default();
        WorkloadKind::ALL
            .into_iter()
            .find(|known| known.as_str() == kind && known.group() == group)
    }
}

/// A workload, as far as a Rollout takes anything from it.
#[derive(Debug, Clone, PartialEq)]
pub struct Workload {
    /// Its kind.
    pub kind: WorkloadKind,
    /// Its name.
    pub name: String,
    /// Its generation.
    pub generation: i64,
    /// Pods that it wants of its own; `None` for a kind that has none.
    pub replicas: Option<i32>,
    /// Which pods belong to it; `None` for a kind that has none.
    pub selector: Option<LabelSelector>,
    /// The pods as written in it.
    pub template: PodTemplate,
}

impl Workload {
    /// Reads an object of a kind.
    pub fn read(kind: WorkloadKind, object: &Value) -> Self {
        let at = |path: &str| object.pointer(path);
        let text = |path: &str| at(path).and_then(Value::as_str).unwrap_or_default();
        let template = match kind {
            WorkloadKind::Deployment | WorkloadKind::ReplicaSet => at("/spec/template"),
            WorkloadKind::PodTemplate => at("/template"),
        };
        let replicas = at("/spec/replicas").and_then(Value::as_i64);
        let selector = at("/spec/selector").cloned();
        Self {
            kind,
            name: text("/metadata/name").to_owned(),
            generation: at("/metadata/generation")
                .and_then(Value::as_i64)
                .unwrap_or(0),
            replicas: replicas.and_then(|count| i32::try_from(count).ok()),
            selector: selector.and_then(|selector| serde_json::from_value(selector).ok()),
            template: PodTemplate::of(template.cloned().unwrap_or_default()),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn kinds_are_told_by_group_and_name() {
        for (version, kind, wanted) in [
            ("apps/v1", "Deployment", Some(WorkloadKind::Deployment)),
            ("apps/v1", "ReplicaSet", Some(WorkloadKind::ReplicaSet)),
            ("v1", "PodTemplate", Some(WorkloadKind::PodTemplate)),
            ("v1", "Deployment", None),
            ("apps/v1", "StatefulSet", None),
            ("", "", None),
        ] {
            let reference = WorkloadRef {
                api_version: Some(version.to_owned()),
                kind: Some(kind.to_owned()),
                ..WorkloadRef::default()
            };
            assert_eq!(reference.workload_kind(), wanted, "{version} {kind}");
        }
    }

    #[test]
    fn a_workload_is_read_from_where_its_kind_keeps_it() {
        let template = json!({"metadata": {"labels": {"app": "web"}}, "spec": {"unknown": [1]}});
        let deployment = json!({
            "metadata": {"name": "web", "generation": 3},
            "spec": {"replicas": 2, "selector": {"matchLabels": {"app": "web"}}, "template": template},
        });
        let read = Workload::read(WorkloadKind::Deployment, &deployment);
        assert_eq!((read.generation, read.replicas), (3, Some(2)));
        assert_eq!(read.template.value(), template);
        assert_eq!(
            read.selector.map(|one| one.to_query()),
            Some("app=web".to_owned())
        );
        let pods = json!({"metadata": {"name": "web", "generation": 1}, "template": template});
        let read = Workload::read(WorkloadKind::PodTemplate, &pods);
        assert_eq!((read.template.value(), read.replicas), (template, None));
        assert!(read.selector.is_none());
    }

    #[test]
    fn words_of_scaling_down() {
        assert_eq!(ScaleDown::of(None), Some(ScaleDown::Never));
        assert_eq!(ScaleDown::of(Some("onsuccess")), Some(ScaleDown::OnSuccess));
        assert_eq!(ScaleDown::of(Some("OnSuccess")), None);
    }
}
