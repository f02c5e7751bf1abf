//! What is wrong with the question of a metric to its provider.
//!
//! In: the provider's part of a metric; arguments from Secrets may stand in it as places. Out: problems with their paths.
//! Must not touch: what a query means to the server that it is for.

use std::collections::BTreeSet;

use crate::duration;
use crate::provider::{
    Authentication, CloudWatchMetric, DATADOG_AGGREGATORS, DatadogMetric, JobMetric, KayentaMetric,
    MetricProvider, PrometheusMetric, ScopeDetail, WebMetric,
};
use crate::validate::Findings;

/// Methods that a web metric may use; the first is the default.
const WEB_METHODS: [&str; 3] = ["GET", "POST", "PUT"];
/// Highest score of a Kayenta judgement.
const MAX_SCORE: i64 = 100;

/// Everything that is wrong with the provider that is given, under its path; which one it is was checked before.
pub(crate) fn provider_problems(path: &str, provider: &MetricProvider, findings: &mut Findings) {
    let mut check = Check {
        path: path.to_owned(),
        findings,
    };
    if let Some(it) = &provider.prometheus {
        check.within("prometheus", |check| prometheus(it, check));
    }
    if let Some(it) = &provider.datadog {
        check.within("datadog", |check| datadog(it, check));
    }
    if let Some(it) = &provider.new_relic {
        check.within("newRelic", |check| {
            check.given("query", it.query.as_ref());
            check.not_negative("timeout", it.timeout);
        });
    }
    if let Some(it) = &provider.wavefront {
        check.within("wavefront", |check| {
            check.given("address", it.address.as_ref());
            check.given("query", it.query.as_ref());
        });
    }
    if let Some(it) = &provider.cloud_watch {
        check.within("cloudWatch", |check| cloud_watch(it, check));
    }
    if let Some(it) = &provider.graphite {
        check.within("graphite", |check| {
            check.given("address", it.address.as_ref());
            check.given("query", it.query.as_ref());
        });
    }
    if let Some(it) = &provider.influxdb {
        check.within("influxdb", |check| check.given("query", it.query.as_ref()));
    }
    if let Some(it) = &provider.skywalking {
        check.within("skywalking", |check| {
            check.given("address", it.address.as_ref());
            check.given("query", it.query.as_ref());
            check.span("interval", it.interval.as_ref());
        });
    }
    if let Some(it) = &provider.kayenta {
        check.within("kayenta", |check| kayenta(it, check));
    }
    if let Some(it) = &provider.web {
        check.within("web", |check| web(it, check));
    }
    if let Some(it) = &provider.job {
        check.within("job", |check| job(it, check));
    }
}

struct Check<'a> {
    path: String,
    findings: &'a mut Findings,
}

impl Check<'_> {
    fn within(&mut self, field: &str, checks: impl FnOnce(&mut Check<'_>)) {
        checks(&mut Check {
            path: format!("{}.{field}", self.path),
            findings: self.findings,
        });
    }

    fn add(&mut self, field: &str, message: impl Into<String>) {
        let path = if field.is_empty() {
            self.path.clone()
        } else {
            format!("{}.{field}", self.path)
        };
        self.findings.add(&path, message);
    }

    fn given(&mut self, field: &str, value: Option<&String>) {
        if value.is_none_or(|text| text.trim().is_empty()) {
            self.add(field, format!("is missing: write the {field}"));
        }
    }

    fn not_negative(&mut self, field: &str, value: Option<i64>) {
        if let Some(value) = value.filter(|value| *value < 0) {
            self.add(field, format!("is {value}: must be at least 0"));
        }
    }

    fn span(&mut self, field: &str, value: Option<&String>) {
        let Some(text) = value.filter(|text| is_known(text)) else {
            return;
        };
        match duration::parse(text) {
            Ok(span) if span.is_negative() => self.add(field, "must not be negative"),
            Ok(_) => {}
            Err(error) => self.add(field, error.to_string()),
        }
    }

    fn one_of(&mut self, field: &str, value: Option<&String>, known: &[&str]) {
        let Some(text) = value.filter(|text| !text.is_empty() && is_known(text)) else {
            return;
        };
        if !known.contains(&text.as_str()) {
            self.add(
                field,
                format!("is {text:?}: write one of {}", known.join(", ")),
            );
        }
    }

    fn authentication(&mut self, given: Option<&Authentication>) {
        let Some(given) = given else { return };
        let ways = [
            given.basic_auth.is_some(),
            given.oauth2.is_some(),
            given.sigv4.is_some(),
        ];
        if ways.iter().filter(|way| **way).count() > 1 {
            self.add(
                "authentication",
                "has more than one way: write one of basicAuth, oauth2, sigv4",
            );
        }
    }
}

/// Whether the text can be read now: the place of an argument from a Secret says nothing yet.
fn is_known(text: &str) -> bool {
    !text.contains("{{")
}

fn prometheus(it: &PrometheusMetric, check: &mut Check<'_>) {
    check.given("query", it.query.as_ref());
    check.not_negative("timeout", it.timeout);
    check.authentication(it.authentication.as_ref());
    if let Some(range) = &it.range_query {
        check.within("rangeQuery", |check| {
            check.given("start", range.start.as_ref());
            check.given("end", range.end.as_ref());
            check.given("step", range.step.as_ref());
            check.span("step", range.step.as_ref());
        });
    }
}

fn datadog(it: &DatadogMetric, check: &mut Check<'_>) {
    check.one_of("apiVersion", it.api_version.as_ref(), &["v1", "v2"]);
    check.one_of("aggregator", it.aggregator.as_ref(), &DATADOG_AGGREGATORS);
    check.span("interval", it.interval.as_ref());
    check.span("requestTimeout", it.request_timeout.as_ref());
    let (one, several) = (it.query.is_some(), !it.queries.is_empty());
    match (one, several) {
        (true, true) => check.add("queries", "stands beside a query: write one of the two"),
        (false, false) => check.given("query", None),
        (true, false) | (false, true) => {}
    }
    let first = it.api_version.as_deref().is_none_or(|text| text == "v1");
    if several && first {
        check.add("queries", "needs the second API: write apiVersion \"v2\"");
    }
    if several && it.queries.len() > 1 && it.formula.is_none() {
        check.add(
            "formula",
            "is missing: several queries are made one number by it",
        );
    }
    if it.formula.is_some() && !several {
        check.add("formula", "needs queries: name them, or leave it out");
    }
}

fn cloud_watch(it: &CloudWatchMetric, check: &mut Check<'_>) {
    check.span("interval", it.interval.as_ref());
    if it.metric_data_queries.is_empty() {
        check.add("metricDataQueries", "is missing: write at least one query");
    }
    let mut ids = BTreeSet::new();
    for (index, query) in it.metric_data_queries.iter().enumerate() {
        check.within(&format!("metricDataQueries[{index}]"), |check| {
            check.given("id", query.id.as_ref());
            if let Some(id) = query.id.as_deref()
                && !ids.insert(id)
            {
                check.add("id", format!("is {id:?} a second time: ids are unique"));
            }
            if query.expression.is_some() == query.metric_stat.is_some() {
                check.add("", "needs either an expression or a metricStat");
            }
        });
    }
}

fn kayenta(it: &KayentaMetric, check: &mut Check<'_>) {
    for (field, value) in [
        ("address", &it.address),
        ("application", &it.application),
        ("canaryConfigName", &it.canary_config_name),
        ("metricsAccountName", &it.metrics_account_name),
        ("configurationAccountName", &it.configuration_account_name),
        ("storageAccountName", &it.storage_account_name),
    ] {
        check.given(field, value.as_ref());
    }
    let threshold = it.threshold.as_ref();
    let (pass, marginal) = (
        threshold.and_then(|threshold| threshold.pass),
        threshold.and_then(|threshold| threshold.marginal),
    );
    for (field, score) in [("threshold.pass", pass), ("threshold.marginal", marginal)] {
        match score {
            None => check.add(field, "is missing: write a score from 0 to 100"),
            Some(score) if !(0..=MAX_SCORE).contains(&score) => {
                check.add(field, format!("is {score}: must be from 0 to {MAX_SCORE}"));
            }
            Some(_) => {}
        }
    }
    if let (Some(pass), Some(marginal)) = (pass, marginal)
        && marginal > pass
    {
        check.add(
            "threshold.marginal",
            format!("is {marginal}: must not be above pass, which is {pass}"),
        );
    }
    if it.scopes.is_empty() {
        check.add("scopes", "is missing: write at least one scope");
    }
    for (index, scope) in it.scopes.iter().enumerate() {
        check.within(&format!("scopes[{index}]"), |check| {
            check.given("name", scope.name.as_ref());
            side("controlScope", scope.control_scope.as_ref(), check);
            side("experimentScope", scope.experiment_scope.as_ref(), check);
        });
    }
}

fn side(field: &str, side: Option<&ScopeDetail>, check: &mut Check<'_>) {
    let Some(side) = side else {
        check.add(field, "is missing: write what is measured there");
        return;
    };
    check.within(field, |check| {
        check.given("scope", side.scope.as_ref());
        check.not_negative("step", side.step);
    });
}

fn web(it: &WebMetric, check: &mut Check<'_>) {
    check.given("url", it.url.as_ref());
    check.one_of("method", it.method.as_ref(), &WEB_METHODS);
    check.not_negative("timeoutSeconds", it.timeout_seconds);
    check.authentication(it.authentication.as_ref());
    for (index, header) in it.headers.iter().enumerate() {
        if header.key.trim().is_empty() {
            check.add(
                &format!("headers[{index}].key"),
                "is missing: name the header",
            );
        }
    }
    let text = it.body.as_deref().is_some_and(|body| !body.is_empty());
    if text && it.json_body.is_some() {
        check.add("jsonBody", "stands beside a body: write one of the two");
    }
    let method = it.method.as_deref().filter(|method| !method.is_empty());
    if (text || it.json_body.is_some()) && method.unwrap_or("GET") == "GET" {
        let field = if text { "body" } else { "jsonBody" };
        check.add(field, "is not sent with GET: write method POST or PUT");
    }
}

fn job(it: &JobMetric, check: &mut Check<'_>) {
    let Some(spec) = it.spec.as_ref().filter(|spec| !spec.is_null()) else {
        check.add("spec", "is missing: write the spec of a Job");
        return;
    };
    let containers = spec.pointer("/template/spec/containers");
    let containers = containers.and_then(serde_json::Value::as_array);
    if containers.is_none_or(Vec::is_empty) {
        check.add(
            "spec.template.spec.containers",
            "is missing: write the container that is run",
        );
    }
}

#[cfg(test)]
mod tests;
