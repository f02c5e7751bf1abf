//! A conversation of one metric, for tests. In: the provider's JSON, Secrets, variables. Out: requests and readings as
//! text. It must not send anything.

use std::collections::BTreeMap;

use agent_api::Metric;
use jiff::Timestamp;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use crate::question::{Asked, Environment, Next, Reading, SecretData, next};
use crate::transport::{Answer, Body, Request};

/// When every conversation happens.
pub(crate) const NOW: &str = "2026-01-31T12:00:00Z";

/// What one metric is told.
#[derive(Clone)]
pub(crate) struct Trial {
    pub metric: Metric,
    pub secret: SecretData,
    pub environment: Environment,
    pub memory: BTreeMap<String, String>,
}

impl Trial {
    pub fn of(provider: &Value) -> Self {
        let metric = json!({"name": "rate", "provider": provider});
        Self {
            metric: serde_json::from_value(metric).unwrap(),
            secret: SecretData::new(),
            environment: Environment::default(),
            memory: BTreeMap::new(),
        }
    }

    pub fn secret(mut self, key: &str, value: &str) -> Self {
        self.secret.insert(key.to_owned(), value.into());
        self
    }

    pub fn variable(mut self, name: &str, value: &str) -> Self {
        let variables = &mut self.environment.variables;
        variables.insert(name.to_owned(), value.into());
        self
    }

    pub fn remembers(mut self, key: &str, value: &str) -> Self {
        self.memory.insert(key.to_owned(), value.to_owned());
        self
    }

    pub fn at(&self, now: &str, answers: &[Answer]) -> Result<Next, String> {
        let asked = Asked {
            metric: &self.metric,
            now: now.parse::<Timestamp>().unwrap(),
            secret: &self.secret,
            environment: &self.environment,
            memory: &self.memory,
            answers,
        };
        next(&asked).map_err(|error| error.to_string())
    }

    pub fn next(&self, answers: &[Answer]) -> Result<Next, String> {
        self.at(NOW, answers)
    }

    pub fn asks(&self, answers: &[Answer]) -> Request {
        match self.next(answers).unwrap() {
            Next::Ask(request) => request,
            other @ (Next::Done(_) | Next::Later { .. }) => panic!("{other:?} is no request"),
        }
    }

    /// The error of the first request.
    pub fn refuses(&self, part: &str) {
        let refused = self.next(&[]).unwrap_err();
        assert!(refused.contains(part), "{refused}, not {part}");
    }

    pub fn reading(&self, answers: &[Answer]) -> Result<Reading, String> {
        match self.next(answers)? {
            Next::Done(reading) => Ok(reading),
            other @ (Next::Ask(_) | Next::Later { .. }) => panic!("{other:?} is no reading"),
        }
    }

    /// One answer: `Ok` is the value's text, `Err` a part of the message.
    pub fn check(&self, status: u16, body: &str, expected: Result<&str, &str>) {
        let found = self.reading(&[answer(status, body)]);
        match (found, expected) {
            (Ok(reading), Ok(text)) => assert_eq!(reading.value.text(), text, "{body}"),
            (Err(error), Err(part)) => {
                assert!(error.contains(part), "{body}: {error}, not {part}");
                assert!(error.len() < 500, "{error}");
            }
            (found, expected) => panic!("{body}: {found:?}, not {expected:?}"),
        }
    }

    /// What every provider does with an answer that is none of its own.
    pub fn check_strangers(&self) {
        for (status, body, part) in [
            (200, "<html>welcome</html>", "cannot be read"),
            (200, "", "cannot be read"),
            (
                401,
                r#"{"errors":["no such key"]}"#,
                "look at its credentials: no such key",
            ),
            (403, "forbidden", "look at its credentials: forbidden"),
            (404, r#"{"message":"no such page"}"#, "404: no such page"),
            (429, r#"{"error":"slow down"}"#, "429: slow down"),
            (500, "", "500"),
            (503, "<html>down</html>", "503: a page of HTML"),
        ] {
            self.check(status, body, Err(part));
        }
    }
}

pub(crate) fn answer(status: u16, body: &str) -> Answer {
    Answer {
        status,
        body: body.as_bytes().to_vec(),
    }
}

/// The request's body as JSON.
pub(crate) fn body(request: &Request) -> Value {
    match &request.body {
        Body::Json(text) | Body::Text(text) => serde_json::from_str(text.expose_secret()).unwrap(),
        Body::Empty | Body::Form(_) => panic!("{request:?} carries no JSON"),
    }
}

/// A header of the request.
pub(crate) fn header<'a>(request: &'a Request, name: &str) -> &'a str {
    let found = request.headers.iter().find(|(key, _)| key == name);
    found.map(|(_, value)| value.expose_secret()).unwrap()
}
