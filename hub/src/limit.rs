//! A limit for every call of people and agents that waits for the database. In: a service. Out: the same, which says
//! `unavailable` where it would not answer in time. It must not cut streams: only the beginning of an answer is waited for.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tonic::Status;
use tonic::body::Body;
use tonic::codegen::http::{Request, Response};
use tower::{Layer, Service};

/// Longer than any one call to the store may take (`hub_store::CALL_MAX`), so that where there is one it says itself what it
/// waited for.
pub const ANSWER_MAX: Duration = Duration::from_secs(35);

/// Limits what is below it.
#[derive(Debug, Clone, Copy)]
pub struct Limit(pub Duration);

impl<S> Layer<S> for Limit {
    type Service = Limited<S>;

    fn layer(&self, inner: S) -> Limited<S> {
        Limited {
            inner,
            most: self.0,
        }
    }
}

/// A service with a limit.
#[derive(Debug, Clone)]
pub struct Limited<S> {
    inner: S,
    most: Duration,
}

type Answer = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

/// Join is for strangers, and read before anybody looks who it is: a token, a signing request and a few names.
const JOIN_MAX: usize = 64 << 10;
const JOIN_PATH: &str = "/groundswell.v1.Link/Join";

fn bounded(request: Request<Body>) -> Request<Body> {
    if request.uri().path() != JOIN_PATH {
        return request;
    }
    request.map(|body| Body::new(http_body_util::Limited::new(body, JOIN_MAX)))
}

impl<S> Service<Request<Body>> for Limited<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answer;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Answer {
        let answer = tokio::time::timeout(self.most, self.inner.call(bounded(request)));
        let most = self.most.as_secs();
        Box::pin(async move {
            answer.await.unwrap_or_else(|_| {
                let sentence = format!(
                    "the database does not answer: nothing came within {most} s; ask again, with the same key nothing is done twice"
                );
                Ok(Status::unavailable(sentence).into_http())
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone)]
    struct Silent;

    impl Service<Request<Body>> for Silent {
        type Response = Response<Body>;
        type Error = Infallible;
        type Future = std::future::Pending<Result<Response<Body>, Infallible>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, _: Request<Body>) -> Self::Future {
            std::future::pending()
        }
    }

    #[tokio::test]
    async fn a_stranger_says_little() {
        use http_body_util::BodyExt as _;
        let words = |path: &str, bytes: usize| {
            let said = http_body_util::Full::from(vec![0_u8; bytes]);
            let mut request = Request::new(Body::new(said));
            *request.uri_mut() = path.parse().unwrap();
            bounded(request).into_body().collect()
        };
        assert!(words(JOIN_PATH, JOIN_MAX).await.is_ok());
        assert!(words(JOIN_PATH, JOIN_MAX + 1).await.is_err());
        assert!(
            words("/groundswell.v1.Link/Open", JOIN_MAX + 1)
                .await
                .is_ok()
        );
    }

    #[tokio::test]
    async fn who_gets_no_answer_is_told_so() {
        let mut limited = Limit(Duration::ZERO).layer(Silent);
        let answer = limited.call(Request::new(Body::empty())).await;
        let answer = answer.unwrap_or_else(|never| match never {});
        let status = Status::from_header_map(answer.headers()).map(|status| status.code());
        assert_eq!(status, Some(tonic::Code::Unavailable));
    }
}
