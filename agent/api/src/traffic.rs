//! Traffic routing of a canary: what routers are told, and the steps that speak of it.
//!
//! In: the strategy's JSON. Out: typed fields; each router's own part stays JSON until there is a router that reads it.
//! Must not touch: what a step does.

use std::collections::BTreeMap;

use crate::record::record;

/// Routers of the API, by their key.
pub const ROUTERS: [&str; 9] = [
    "alb",
    "ambassador",
    "apisix",
    "appMesh",
    "istio",
    "nginx",
    "plugins",
    "smi",
    "traefik",
];
/// Routers that can send requests with a header to one version.
pub const ROUTERS_WITH_HEADERS: [&str; 4] = ["alb", "apisix", "istio", "plugins"];
/// Routers that can mirror requests.
pub const ROUTERS_WITH_MIRRORS: [&str; 2] = ["istio", "plugins"];
/// Routers that can send a share of the traffic to an experiment.
pub const ROUTERS_WITH_EXPERIMENTS: [&str; 4] = ["alb", "istio", "plugins", "smi"];
/// Routers whose whole traffic need not be 100.
pub const ROUTERS_WITH_OWN_TOTAL: [&str; 2] = ["nginx", "plugins"];
/// The whole of the traffic when nothing else is written.
pub const MAX_TRAFFIC_WEIGHT: i32 = 100;

record! {
    /// How requests are split; the routers stand beside these fields, in `rest`.
    pub struct TrafficRouting {
        /// Routes that header and mirror steps make, in the order in which they are looked at; the controller deletes them.
        pub managed_routes: Vec<ManagedRoute>,
        /// The whole of the traffic; 100 when absent.
        pub max_traffic_weight: Option<i32>,
    }
}

record! {
    /// A route that steps make.
    pub struct ManagedRoute {
        /// Its name.
        pub name: String,
    }
}

impl TrafficRouting {
    /// The whole of the traffic.
    pub fn max_weight(&self) -> i32 {
        self.max_traffic_weight.unwrap_or(MAX_TRAFFIC_WEIGHT)
    }

    /// Whether a router is given.
    pub fn routes_by(&self, router: &str) -> bool {
        self.rest.get(router).is_some_and(|part| !part.is_null())
    }

    /// Whether one of these routers is given.
    pub fn routes_by_any(&self, routers: &[&str]) -> bool {
        routers.iter().any(|router| self.routes_by(router))
    }

    /// Istio may tell versions apart by subset, and then needs no Services.
    pub fn splits_by_subset(&self) -> bool {
        self.rest
            .get("istio")
            .and_then(|istio| istio.get("destinationRule"))
            .is_some_and(|rule| !rule.is_null())
    }
}

record! {
    /// Pods of the canary, apart from its share of traffic; holds until a later step sets it otherwise.
    pub struct SetCanaryScale {
        /// As many as this share of traffic would get.
        pub weight: Option<i32>,
        /// So many.
        pub replicas: Option<i32>,
        /// As many as its traffic asks for, again.
        pub match_traffic_weight: Option<bool>,
    }
}

record! {
    /// Requests with these headers go to the canary.
    pub struct SetHeaderRoute {
        /// One of the managed routes.
        pub name: String,
        /// What is looked for; none takes the route away.
        pub r#match: Vec<HeaderMatch>,
    }
}

record! {
    /// One header.
    pub struct HeaderMatch {
        /// Its name.
        pub header_name: String,
        /// Its value.
        pub header_value: Option<StringMatch>,
    }
}

record! {
    /// A text compared in one of three ways.
    pub struct StringMatch {
        /// Equal to it.
        pub exact: Option<String>,
        /// Beginning with it.
        pub prefix: Option<String>,
        /// Matched by it.
        pub regex: Option<String>,
    }
}

record! {
    /// A copy of these requests goes to the canary, whose answers nobody gets.
    pub struct SetMirrorRoute {
        /// One of the managed routes.
        pub name: String,
        /// What is looked for; none takes the route away.
        pub r#match: Vec<MirrorMatch>,
        /// Percent of them; all when absent.
        pub percentage: Option<i32>,
    }
}

record! {
    /// Requests that all of these fit.
    pub struct MirrorMatch {
        /// The method.
        pub method: Option<StringMatch>,
        /// The path.
        pub path: Option<StringMatch>,
        /// Headers.
        pub headers: BTreeMap<String, StringMatch>,
    }
}

impl StringMatch {
    /// How many ways are given; one is right.
    pub fn ways(&self) -> usize {
        [&self.exact, &self.prefix, &self.regex]
            .into_iter()
            .flatten()
            .count()
    }
}
