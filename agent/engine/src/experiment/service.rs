//! The Service of a template.
//!
//! In: a template, the Services observed. Out: the object to be made, or why there cannot be one. It must not touch a
//! Service that selects anything but this template's pods.

use std::collections::BTreeMap;

use agent_api::names::LABEL_POD_HASH;
use agent_api::{ExperimentTemplate, ObjectMeta, Service, ServiceSpec, TemplateStatus};
use serde_json::{Map, Value, json};

use super::Action;
use super::names::{owner, service_name};
use super::pass::Pass;

impl Pass<'_> {
    /// Makes the Service that a template asks for, under the name that the status then says.
    pub fn settle_service(
        &mut self,
        template: &ExperimentTemplate,
        set: &str,
        at: &mut TemplateStatus,
    ) -> Result<(), String> {
        let Some(name) = service_name(template, set) else {
            return Ok(());
        };
        let hash = at.pod_template_hash.clone().unwrap_or_default();
        match self.service(&name) {
            Some(found) if selects(found) == Some(hash.as_str()) => {}
            Some(_) => {
                return Err(format!(
                    "service {name} is there and is not the experiment's: give the template another service.name"
                ));
            }
            None => {
                let service = self.made(template, &name, hash.as_str());
                self.actions.push(Action::CreateService {
                    service: Box::new(service),
                });
            }
        }
        at.service_name = Some(name);
        Ok(())
    }

    /// A Service by name.
    pub fn service(&self, name: &str) -> Option<&Service> {
        let mut all = self.observed.services.iter();
        all.find(|service| service.metadata.name.as_deref() == Some(name))
    }

    /// Deletes the Service of a template whose pods go.
    pub fn delete_service(&mut self, at: &TemplateStatus) {
        let hash = at.pod_template_hash.clone().unwrap_or_default();
        let Some(name) = &at.service_name else { return };
        let own = self
            .service(name)
            .is_some_and(|found| selects(found) == Some(hash.as_str()));
        if own {
            self.actions
                .push(Action::DeleteService { name: name.clone() });
        }
    }

    fn made(&self, template: &ExperimentTemplate, name: &str, hash: &str) -> Service {
        let experiment = &self.observed.experiment;
        let mut selector = template.selector.match_labels.clone();
        selector.insert(LABEL_POD_HASH.to_owned(), hash.to_owned());
        let ports = ports(&template.template.value());
        let mut rest = Map::new();
        if ports.is_empty() {
            // Without ports the API server takes only a Service that has no address of its own.
            rest.insert("clusterIP".to_owned(), json!("None"));
        } else {
            rest.insert("ports".to_owned(), Value::Array(ports));
        }
        Service {
            metadata: ObjectMeta {
                name: Some(name.to_owned()),
                namespace: experiment.metadata.namespace.clone(),
                owner_references: Some(vec![owner(experiment)]),
                ..ObjectMeta::default()
            },
            spec: ServiceSpec { selector, rest },
            ..Service::default()
        }
    }
}

/// The hash that a Service selects.
fn selects(service: &Service) -> Option<&str> {
    let selector = &service.spec.selector;
    selector.get(LABEL_POD_HASH).map(String::as_str)
}

/// One port of the Service for each that a container names, by number and protocol.
fn ports(template: &Value) -> Vec<Value> {
    let containers = template.pointer("/spec/containers");
    let containers = containers.and_then(Value::as_array).into_iter().flatten();
    let written = containers
        .filter_map(|one| one.get("ports")?.as_array())
        .flatten();
    let mut made: BTreeMap<(i64, String), Value> = BTreeMap::new();
    for port in written {
        let Some(number) = port.get("containerPort").and_then(Value::as_i64) else {
            continue;
        };
        let protocol = port.get("protocol").and_then(Value::as_str);
        let protocol = protocol.unwrap_or("TCP").to_owned();
        let name = format!("{}-{number}", protocol.to_lowercase());
        made.insert(
            (number, protocol.clone()),
            json!({"name": name, "port": number, "targetPort": number, "protocol": protocol}),
        );
    }
    made.into_values().collect()
}
