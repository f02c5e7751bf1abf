//! Requests to the API server, counted as they are answered.
//!
//! In: requests on their way. Out: a counter by kind, verb and answer. It must not carry names of objects: a counter for
//! each of them grows for as long as the cluster lives.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::{Method, Request, Response, Uri};
use prometheus::IntCounterVec;
use tower::{Layer, Service};

/// What stands for names and namespaces.
const NOT_SAID: &str = "N/A";

/// Counts what passes.
#[derive(Clone)]
pub struct Counting(pub IntCounterVec);

impl<S> Layer<S> for Counting {
    type Service = Counted<S>;
    fn layer(&self, inner: S) -> Counted<S> {
        Counted {
            inner,
            counter: self.0.clone(),
        }
    }
}

/// A service whose answers are counted.
#[derive(Clone)]
pub struct Counted<S> {
    inner: S,
    counter: IntCounterVec,
}

impl<S, B, R> Service<Request<B>> for Counted<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (kind, verb) = words(request.method(), request.uri());
        let answer = self.inner.call(request);
        let counter = self.counter.clone();
        Box::pin(async move {
            let answer = answer.await;
            let code = answer.as_ref().map_or(0, |answer| answer.status().as_u16());
            counter
                .with_label_values(&[
                    kind.as_str(),
                    NOT_SAID,
                    NOT_SAID,
                    verb,
                    code.to_string().as_str(),
                ])
                .inc();
            answer
        })
    }
}

/// The kind in the plural and the verb, from a request's path: `/api/v1/…` or `/apis/GROUP/VERSION/…`.
fn words(method: &Method, uri: &Uri) -> (String, &'static str) {
    let mut parts = uri.path().split('/').filter(|part| !part.is_empty());
    let skip = match parts.next() {
        Some("api") => 1,
        Some("apis") => 2,
        Some(_) | None => return ("Unknown".to_owned(), "Unknown"),
    };
    let mut rest = parts.skip(skip).peekable();
    let first = rest.next().unwrap_or("Unknown");
    // A namespace on its own is an object; before a kind it is where that is.
    let (kind, named) = match (first, rest.next(), rest.next()) {
        ("namespaces", Some(_), Some(kind)) => (kind, rest.next().is_some()),
        (kind, name, _) => (kind, name.is_some()),
    };
    let watches = uri.query().is_some_and(|query| query.contains("watch="));
    let verb = match (method, named) {
        (&Method::GET, _) if watches => "Watch",
        (&Method::GET, true) => "Get",
        (&Method::GET, false) => "List",
        (&Method::POST, _) => "Create",
        (&Method::PUT, _) => "Update",
        (&Method::PATCH, _) => "Patch",
        (&Method::DELETE, _) => "Delete",
        (_, _) => "Unknown",
    };
    (kind.to_owned(), verb)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kind_and_verb_are_read_from_the_request() {
        let check = |method: Method, uri: &str, kind: &str, verb: &str| {
            let words = words(&method, &uri.parse().unwrap());
            assert_eq!(words, (kind.to_owned(), verb), "{method} {uri}");
        };
        let rollouts = "/apis/argoproj.io/v1alpha1/namespaces/shop/rollouts";
        check(Method::GET, rollouts, "rollouts", "List");
        check(
            Method::GET,
            &format!("{rollouts}?watch=true"),
            "rollouts",
            "Watch",
        );
        check(Method::GET, &format!("{rollouts}/web"), "rollouts", "Get");
        check(
            Method::PATCH,
            &format!("{rollouts}/web/status"),
            "rollouts",
            "Patch",
        );
        check(
            Method::GET,
            "/apis/apps/v1/replicasets?limit=500",
            "replicasets",
            "List",
        );
        check(
            Method::POST,
            "/api/v1/namespaces/shop/events",
            "events",
            "Create",
        );
        check(
            Method::GET,
            "/api/v1/namespaces/kube-system",
            "namespaces",
            "Get",
        );
        check(Method::GET, "/version", "Unknown", "Unknown");
    }
}
