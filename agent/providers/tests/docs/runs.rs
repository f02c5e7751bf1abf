//! How each page is run: what stands for its arguments, Secrets and variables, and who answers.
//! In: nothing. Out: the table. `{fake}` is the fake's URL, `{host}` its host and port.

use crate::fakes::{self, Fake};

pub struct Run {
    pub provider: &'static str,
    /// Arguments in place of the page's own.
    pub args: &'static [(&'static str, &'static str)],
    /// Keys added to the page's Secret, or in place of its own.
    pub secret: &'static [(&'static str, &'static str)],
    /// Variables of the agent.
    pub variables: &'static [(&'static str, &'static str)],
    /// Who answers; nobody where a cluster is needed.
    pub fake: Option<fn() -> Fake>,
}

/// A text with the fake's address in it.
pub fn at(text: &str, address: &str) -> String {
    let host = address.trim_start_matches("http://");
    text.replace("{fake}", address).replace("{host}", host)
}

const NONE: &[(&str, &str)] = &[];

pub const RUNS: &[Run] = &[
    Run {
        provider: "prometheus",
        args: &[("service", "cart"), ("prometheus", "{fake}")],
        secret: NONE,
        variables: NONE,
        fake: Some(fakes::prometheus::fake),
    },
    Run {
        provider: "datadog",
        args: &[("service", "cart")],
        secret: &[("address", "{fake}")],
        variables: NONE,
        fake: Some(fakes::datadog::fake),
    },
    Run {
        provider: "newRelic",
        args: &[("application", "cart")],
        secret: &[("base-url-nerdgraph", "{fake}/graphql")],
        variables: NONE,
        fake: Some(fakes::new_relic::fake),
    },
    Run {
        provider: "wavefront",
        args: &[("service", "cart"), ("wavefront", "{fake}")],
        secret: &[("127.0.0.1", "my-token")],
        variables: NONE,
        fake: Some(fakes::wavefront::fake),
    },
    Run {
        provider: "cloudWatch",
        args: &[("load-balancer", "app/cart/1")],
        secret: NONE,
        variables: &[
            ("AWS_REGION", "eu-central-1"),
            ("AWS_ENDPOINT_URL_CLOUDWATCH", "{fake}"),
            ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE"),
            ("AWS_SECRET_ACCESS_KEY", "a-secret-key"),
        ],
        fake: Some(fakes::cloudwatch::fake),
    },
    Run {
        provider: "graphite",
        args: &[("service", "cart"), ("graphite", "{fake}")],
        secret: NONE,
        variables: NONE,
        fake: Some(fakes::graphite::fake),
    },
    Run {
        provider: "influxdb",
        args: &[("application", "cart")],
        secret: &[("address", "{fake}")],
        variables: NONE,
        fake: Some(fakes::influxdb::fake),
    },
    Run {
        provider: "skywalking",
        args: &[("service", "cart"), ("skywalking", "{fake}")],
        secret: NONE,
        variables: NONE,
        fake: Some(fakes::skywalking::fake),
    },
    Run {
        provider: "kayenta",
        args: &[
            ("stable-hash", "aaa"),
            ("canary-hash", "bbb"),
            ("start-time", "2026-01-31T11:00:00Z"),
            ("end-time", "2026-01-31T12:00:00Z"),
            ("kayenta", "{fake}"),
        ],
        secret: NONE,
        variables: NONE,
        fake: Some(fakes::kayenta::fake),
    },
    Run {
        provider: "web",
        args: &[("service", "cart"), ("server", "{fake}")],
        secret: NONE,
        variables: NONE,
        fake: Some(fakes::web::fake),
    },
    Run {
        provider: "job",
        args: &[("service", "cart")],
        secret: NONE,
        variables: NONE,
        fake: None,
    },
];
