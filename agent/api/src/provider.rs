//! Metric providers: whom a metric asks, and what each is told.
//!
//! In: the objects' JSON. Out: typed questions, all texts as written, arguments not filled in. Must not touch: how a
//! provider is asked.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::intstr::IntOrString;
use crate::record::record;
use crate::strategy::PodMetadata;

record! {
    /// Whom to ask; exactly one is given, unknown ones are kept in `rest`.
    pub struct MetricProvider {
        /// A Prometheus server.
        pub prometheus: Option<PrometheusMetric>,
        /// Datadog.
        pub datadog: Option<DatadogMetric>,
        /// New Relic.
        pub new_relic: Option<NewRelicMetric>,
        /// Wavefront.
        pub wavefront: Option<WavefrontMetric>,
        /// Amazon CloudWatch.
        pub cloud_watch: Option<CloudWatchMetric>,
        /// A Graphite server.
        pub graphite: Option<GraphiteMetric>,
        /// An InfluxDB server.
        pub influxdb: Option<InfluxdbMetric>,
        /// A SkyWalking server.
        pub skywalking: Option<SkywalkingMetric>,
        /// A Kayenta server, which judges by itself.
        pub kayenta: Option<KayentaMetric>,
        /// Any HTTP server that answers with JSON.
        pub web: Option<WebMetric>,
        /// A Kubernetes Job.
        pub job: Option<JobMetric>,
        /// A plugin, by its name.
        pub plugin: Option<BTreeMap<String, Value>>,
    }
}

/// The keys of `provider` that the API knows, in the order of the documentation.
pub const PROVIDERS: [&str; 12] = [
    "prometheus",
    "datadog",
    "newRelic",
    "wavefront",
    "cloudWatch",
    "graphite",
    "influxdb",
    "skywalking",
    "kayenta",
    "web",
    "job",
    "plugin",
];

impl MetricProvider {
    /// The keys that are given, known ones first, each once.
    #[must_use]
    pub fn given(&self) -> Vec<&str> {
        let known = [
            self.prometheus.is_some(),
            self.datadog.is_some(),
            self.new_relic.is_some(),
            self.wavefront.is_some(),
            self.cloud_watch.is_some(),
            self.graphite.is_some(),
            self.influxdb.is_some(),
            self.skywalking.is_some(),
            self.kayenta.is_some(),
            self.web.is_some(),
            self.job.is_some(),
            self.plugin.is_some(),
        ];
        let named = PROVIDERS.into_iter().zip(known);
        let known = named.filter(|(_, given)| *given).map(|(name, _)| name);
        let unknown = self.rest.iter().filter(|(_, value)| !value.is_null());
        known
            .chain(unknown.map(|(name, _)| name.as_str()))
            .collect()
    }
}

record! {
    /// A question to a Prometheus server.
    pub struct PrometheusMetric {
        /// Its address.
        pub address: Option<String>,
        /// The query.
        pub query: Option<String>,
        /// Seconds to wait for the answer.
        pub timeout: Option<i64>,
        /// Do not verify its certificate.
        pub insecure: Option<bool>,
        /// Headers sent along.
        pub headers: Vec<Header>,
        /// A query over a range of time.
        pub range_query: Option<RangeQuery>,
        /// How to authenticate.
        pub authentication: Option<Authentication>,
    }
}

record! {
    /// The range of a query; start and end are expressions such as `now() - duration("1h")`.
    pub struct RangeQuery {
        /// Its beginning.
        pub start: Option<String>,
        /// Its end.
        pub end: Option<String>,
        /// Time between its points, such as `1m`.
        pub step: Option<String>,
    }
}

record! {
    /// A header of a request.
    pub struct Header {
        /// Name.
        pub key: String,
        /// Value.
        pub value: String,
    }
}

record! {
    /// How to authenticate; at most one is given.
    pub struct Authentication {
        /// By name and password.
        pub basic_auth: Option<BasicAuth>,
        /// By a token that is fetched with the client's credentials.
        pub oauth2: Option<OAuth2>,
        /// By Amazon's signature, version 4.
        pub sigv4: Option<SigV4>,
    }
}

record! {
    /// Name and password.
    pub struct BasicAuth {
        /// Name.
        pub username: Option<String>,
        /// Password.
        pub password: Option<String>,
    }
}

record! {
    /// Client credentials of OAuth 2.0 (RFC 6749, section 4.4).
    pub struct OAuth2 {
        /// Where tokens are given out.
        pub token_url: Option<String>,
        /// The client.
        pub client_id: Option<String>,
        /// Its secret.
        pub client_secret: Option<String>,
        /// Scopes asked for.
        pub scopes: Vec<String>,
    }
}

record! {
    /// Amazon's signature, version 4.
    pub struct SigV4 {
        /// Region.
        pub region: Option<String>,
        /// Profile in the shared configuration.
        pub profile: Option<String>,
        /// Role to assume.
        pub role_arn: Option<String>,
    }
}

/// Ways in which Datadog makes one number of points.
pub const DATADOG_AGGREGATORS: [&str; 9] = [
    "avg",
    "min",
    "max",
    "sum",
    "last",
    "percentile",
    "mean",
    "l2norm",
    "area",
];

record! {
    /// A question to Datadog.
    pub struct DatadogMetric {
        /// `v1` (the default) or `v2`.
        pub api_version: Option<String>,
        /// The time looked back, 5 minutes if absent.
        pub interval: Option<String>,
        /// One query.
        pub query: Option<String>,
        /// Queries by name (v2).
        pub queries: BTreeMap<String, String>,
        /// A formula over the queries (v2).
        pub formula: Option<String>,
        /// How points become one number (v2), `last` if absent.
        pub aggregator: Option<String>,
        /// How long an answer is waited for, 10 seconds if absent.
        pub request_timeout: Option<String>,
        /// Where the keys are.
        pub secret_ref: Option<DatadogSecret>,
    }
}

record! {
    /// A Secret with Datadog's keys.
    pub struct DatadogSecret {
        /// Name.
        pub name: Option<String>,
        /// In the run's namespace rather than the controller's.
        pub namespaced: Option<bool>,
    }
}

record! {
    /// A question to New Relic.
    pub struct NewRelicMetric {
        /// The Secret with its keys, `newrelic` if absent.
        pub profile: Option<String>,
        /// NRQL.
        pub query: Option<String>,
        /// Seconds to wait for the answer, 5 if absent.
        pub timeout: Option<i64>,
    }
}

record! {
    /// A question to Wavefront.
    pub struct WavefrontMetric {
        /// Its host.
        pub address: Option<String>,
        /// The query.
        pub query: Option<String>,
    }
}

record! {
    /// A question to Amazon CloudWatch.
    pub struct CloudWatchMetric {
        /// The time looked back, 5 minutes if absent.
        pub interval: Option<String>,
        /// The queries, as `GetMetricData` takes them.
        pub metric_data_queries: Vec<MetricDataQuery>,
    }
}

record! {
    /// One query of `GetMetricData`.
    pub struct MetricDataQuery {
        /// Its name in expressions.
        pub id: Option<String>,
        /// An expression over other queries.
        pub expression: Option<String>,
        /// Label.
        pub label: Option<String>,
        /// A metric with its statistic.
        pub metric_stat: Option<MetricStat>,
        /// Seconds.
        pub period: Option<IntOrString>,
        /// Whether its values are given back; true if absent.
        pub return_data: Option<bool>,
    }
}

record! {
    /// A metric with its statistic.
    pub struct MetricStat {
        /// The metric.
        pub metric: Option<CloudWatchSource>,
        /// Seconds.
        pub period: Option<IntOrString>,
        /// Such as `Sum` or `p95`.
        pub stat: Option<String>,
        /// Unit.
        pub unit: Option<String>,
    }
}

record! {
    /// A metric of CloudWatch.
    pub struct CloudWatchSource {
        /// Dimensions.
        pub dimensions: Vec<Dimension>,
        /// Name.
        pub metric_name: Option<String>,
        /// Namespace.
        pub namespace: Option<String>,
    }
}

record! {
    /// A dimension of a metric.
    pub struct Dimension {
        /// Name.
        pub name: Option<String>,
        /// Value.
        pub value: Option<String>,
    }
}

record! {
    /// A question to a Graphite server.
    pub struct GraphiteMetric {
        /// Its address.
        pub address: Option<String>,
        /// The target.
        pub query: Option<String>,
    }
}

record! {
    /// A question to an InfluxDB server.
    pub struct InfluxdbMetric {
        /// The Secret with its address and token, `influxdb` if absent.
        pub profile: Option<String>,
        /// Flux.
        pub query: Option<String>,
    }
}

record! {
    /// A question to a SkyWalking server.
    pub struct SkywalkingMetric {
        /// Its address.
        pub address: Option<String>,
        /// GraphQL.
        pub query: Option<String>,
        /// The time looked back, 5 minutes if absent.
        pub interval: Option<String>,
    }
}

record! {
    /// A judgement asked of a Kayenta server.
    pub struct KayentaMetric {
        /// Its address.
        pub address: Option<String>,
        /// The application.
        pub application: Option<String>,
        /// The configuration by name.
        pub canary_config_name: Option<String>,
        /// Account that measures.
        pub metrics_account_name: Option<String>,
        /// Account that keeps configurations.
        pub configuration_account_name: Option<String>,
        /// Account that keeps results.
        pub storage_account_name: Option<String>,
        /// Scores from which a judgement passes.
        pub threshold: Option<KayentaThreshold>,
        /// What is compared.
        pub scopes: Vec<KayentaScope>,
        /// Whether the experiment begins before now.
        pub lookback: Option<bool>,
    }
}

record! {
    /// Scores of a Kayenta judgement, from 0 to 100.
    pub struct KayentaThreshold {
        /// From here on it passes.
        pub pass: Option<i64>,
        /// From here on it is inconclusive.
        pub marginal: Option<i64>,
    }
}

record! {
    /// What a Kayenta judgement compares.
    pub struct KayentaScope {
        /// Name.
        pub name: Option<String>,
        /// The baseline.
        pub control_scope: Option<ScopeDetail>,
        /// The canary.
        pub experiment_scope: Option<ScopeDetail>,
    }
}

record! {
    /// One side of the comparison.
    pub struct ScopeDetail {
        /// Scope.
        pub scope: Option<String>,
        /// Region.
        pub region: Option<String>,
        /// Seconds between points.
        pub step: Option<i64>,
        /// Beginning, RFC 3339.
        pub start: Option<String>,
        /// End, RFC 3339.
        pub end: Option<String>,
    }
}

record! {
    /// A request to any HTTP server.
    pub struct WebMetric {
        /// Where to.
        pub url: Option<String>,
        /// `GET` (the default), `POST` or `PUT`.
        pub method: Option<String>,
        /// Headers sent along.
        pub headers: Vec<Header>,
        /// The body as text.
        pub body: Option<String>,
        /// The body as JSON.
        pub json_body: Option<Value>,
        /// Seconds to wait for the answer, 10 if absent.
        pub timeout_seconds: Option<i64>,
        /// What of the answer is the value, `{$}` if absent.
        pub json_path: Option<String>,
        /// Do not verify its certificate.
        pub insecure: Option<bool>,
        /// How to authenticate.
        pub authentication: Option<Authentication>,
    }
}

record! {
    /// A Job whose exit is the measurement.
    pub struct JobMetric {
        /// Labels and annotations of the Job.
        pub metadata: Option<PodMetadata>,
        /// Its spec, batch/v1.
        pub spec: Option<Value>,
    }
}
