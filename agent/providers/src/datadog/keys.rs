//! Datadog's keys: which Secret or variables they are taken from.
//!
//! In: the metric, the Secret's content, the program's variables. Out: keys and address. It must not read anything.

use agent_api::provider::DatadogMetric;
use secrecy::{ExposeSecret as _, SecretString};

use super::Error;
use crate::question::{Asked, Environment, SecretData, SecretNeed, SecretPlace};

/// The Secret that is looked for when the metric names none.
const DEFAULT_SECRET: &str = "datadog";
/// Where Datadog is when nothing says otherwise.
const DEFAULT_ADDRESS: &str = "https://api.datadoghq.com";

/// Who asks, and where.
pub(super) struct Keys {
    /// Datadog's address.
    pub address: String,
    /// The organisation's key.
    pub api: SecretString,
    /// The application's key.
    pub app: SecretString,
}

/// The Secret of a metric. Variables of the program can take its place.
#[must_use]
pub fn secret(metric: &DatadogMetric) -> SecretNeed {
    let named = named(metric);
    let namespaced = metric
        .secret_ref
        .as_ref()
        .and_then(|given| given.namespaced)
        .unwrap_or(false);
    SecretNeed {
        name: named.unwrap_or(DEFAULT_SECRET).to_owned(),
        // A Secret of the run's namespace is taken by its own name only.
        place: if namespaced && named.is_some() {
            SecretPlace::Run
        } else {
            SecretPlace::Controller
        },
        optional: true,
    }
}

fn named(metric: &DatadogMetric) -> Option<&str> {
    let name = metric.secret_ref.as_ref()?.name.as_deref()?;
    Some(name).filter(|name| !name.is_empty())
}

/// A Secret that the metric names comes first, then the three variables, then the usual Secret; keys in variables
/// without an address come last.
pub(super) fn find(metric: &DatadogMetric, asked: &Asked<'_>) -> Result<Keys, Error> {
    let kept = of_secret(asked.secret);
    let found = if named(metric).is_some() {
        kept.or_else(|| of_variables(asked.environment, true))
    } else {
        of_variables(asked.environment, true).or(kept)
    };
    found
        .or_else(|| of_variables(asked.environment, false))
        .ok_or_else(|| Error::NoKeys(secret(metric).name))
}

fn of_secret(data: &SecretData) -> Option<Keys> {
    let of = |key| data.get(key).and_then(trimmed);
    keys(of("api-key"), of("app-key"), of("address"))
}

fn of_variables(environment: &Environment, whole: bool) -> Option<Keys> {
    let of = |name| environment.variables.get(name).and_then(trimmed);
    let address = of("DD_ADDRESS");
    if whole && address.is_none() {
        return None;
    }
    keys(of("DD_API_KEY"), of("DD_APP_KEY"), address)
}

fn keys(
    api: Option<SecretString>,
    app: Option<SecretString>,
    address: Option<SecretString>,
) -> Option<Keys> {
    let address = address.map_or_else(
        || DEFAULT_ADDRESS.to_owned(),
        |text| text.expose_secret().to_owned(),
    );
    Some(Keys {
        address,
        api: api?,
        app: app?,
    })
}

/// A line break at the end of a Secret's value is the most common slip, and no header can carry it.
fn trimmed(text: &SecretString) -> Option<SecretString> {
    let text = text.expose_secret().trim();
    (!text.is_empty()).then(|| text.into())
}
