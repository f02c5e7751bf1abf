//! What a provider's answer says before its meaning is known.
//!
//! In: status and body. Out: the body as JSON of a type, or the server's own words, short and on one line. It must not
//! know any provider.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::quote::{quote, quote_bytes};

/// Keys under which servers say what went wrong, in the order of how telling they are.
const WORDS: [&str; 5] = ["errorMessage", "message", "error", "errors", "detail"];

/// Why an answer has no meaning.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The server refused.
    #[error("{provider} answered {status}: {quote}")]
    Refused {
        /// The provider.
        provider: &'static str,
        /// HTTP status.
        status: u16,
        /// The server's words.
        quote: String,
    },
    /// The credentials are not good.
    #[error("{provider} answered {status}, look at its credentials: {quote}")]
    Credentials {
        /// The provider.
        provider: &'static str,
        /// HTTP status.
        status: u16,
        /// The server's words.
        quote: String,
    },
    /// It could not answer.
    #[error("{provider} could not answer the query: {words}")]
    Query {
        /// The provider.
        provider: &'static str,
        /// The server's words.
        words: String,
    },
    /// It is not what the provider's API gives.
    #[error("{provider}'s answer cannot be read: {reason}; look at what answers at its address")]
    Unreadable {
        /// The provider.
        provider: &'static str,
        /// What is wrong with it.
        reason: String,
    },
}

/// The body of a good answer, as JSON of this type.
pub(crate) fn json<T: DeserializeOwned>(
    provider: &'static str,
    status: u16,
    body: &[u8],
) -> Result<T, Error> {
    good(provider, status, body)?;
    serde_json::from_slice(body).map_err(|error| Error::Unreadable {
        provider,
        reason: error.to_string(),
    })
}

/// A good answer that says that the query failed.
pub(crate) fn failed(provider: &'static str, said: &Value) -> Error {
    Error::Query {
        provider,
        words: spoken(said),
    }
}

#[derive(Deserialize)]
struct GraphQl {
    data: Option<Value>,
    errors: Option<Vec<Value>>,
}

/// The data of a good answer to a GraphQL query.
pub(crate) fn graphql(
    provider: &'static str,
    status: u16,
    body: &[u8],
) -> Result<Option<Value>, Error> {
    let read: GraphQl = json(provider, status, body)?;
    match read.errors.filter(|errors| !errors.is_empty()) {
        Some(errors) => Err(failed(provider, &Value::Array(errors))),
        None => Ok(read.data),
    }
}

/// Refuses every status that is not of success, with the server's words.
pub(crate) fn good(provider: &'static str, status: u16, body: &[u8]) -> Result<(), Error> {
    if (200..300).contains(&status) {
        return Ok(());
    }
    let quote = words(body);
    Err(if matches!(status, 401 | 403) {
        Error::Credentials {
            provider,
            status,
            quote,
        }
    } else {
        Error::Refused {
            provider,
            status,
            quote,
        }
    })
}

/// What a body says went wrong: the telling part of JSON, else its beginning.
fn words(body: &[u8]) -> String {
    let read: Option<Value> = serde_json::from_slice(body).ok();
    let told = read.as_ref().and_then(|json| {
        let found = WORDS.iter().find_map(|key| json.get(key))?;
        Some(spoken(found))
    });
    told.unwrap_or_else(|| quote_bytes(body))
}

/// A server's words in whatever form: text, a list of texts or objects with a `message`.
pub(crate) fn spoken(json: &Value) -> String {
    match json {
        Value::String(text) => quote(text),
        Value::Array(items) => {
            let texts: Vec<String> = items.iter().map(spoken).collect();
            quote(&texts.join("; "))
        }
        Value::Object(fields) => match fields.get("message") {
            Some(Value::String(text)) => quote(text),
            Some(_) | None => quote(&json.to_string()),
        },
        Value::Null | Value::Bool(_) | Value::Number(_) => quote(&json.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::good;

    #[test]
    fn words_of_servers() {
        for (status, body, said) in [
            (400, r#"{"errors":["a","b"]}"#, "answered 400: a; b"),
            (400, r#"{"errors":[{"message":"a"}]}"#, "answered 400: a"),
            (400, r#"{"message":"a","error":"b"}"#, "answered 400: a"),
            (
                401,
                r#"{"error":"a\nb"}"#,
                "answered 401, look at its credentials: a b",
            ),
            (403, "no", "answered 403, look at its credentials: no"),
            (
                502,
                "<html><title>down</title></html>",
                "answered 502: a page of HTML, \"down\"",
            ),
            (302, "", "answered 302: "),
        ] {
            let error = good("it", status, body.as_bytes()).unwrap_err().to_string();
            assert!(error.ends_with(said), "{error}");
        }
        let long = "x".repeat(100_000);
        let error = good("it", 500, long.as_bytes()).unwrap_err().to_string();
        assert!(error.len() < 250);
        assert!(good("it", 204, b"").is_ok());
    }
}
