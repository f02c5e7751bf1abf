//! Limits for every call of people and agents: how long it may wait for the database, and how much those may say who have one
//! thing to say. In: a service. Out: the same, which says `unavailable` where it would not answer in time. It must not cut
//! streams: only the beginning of an answer is waited for.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tonic::Status;
use tonic::body::Body;
use tonic::codegen::http::{Request, Response};
use tower::{Layer, Service};

use crate::acceptor::PeerInfo;
use crate::identity::Peer;

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

/// A token, a signing request and a few names: what is read of strangers, and of clusters but for their one stream, before
/// anybody looks what they may.
const FEW_WORDS: usize = 32 << 10;
const STREAM_PATH: &str = "/groundswell.v1.Link/Open";

fn bounded(request: Request<Body>) -> Request<Body> {
    let peer = request.extensions().get::<PeerInfo>();
    let may_say_much = match peer.map_or(&Peer::Anonymous, |info| &info.peer) {
        Peer::Person { .. } => true,
        Peer::Cluster(_) => request.uri().path() == STREAM_PATH,
        Peer::Anonymous => false,
    };
    if may_say_much {
        return request;
    }
    request.map(|body| Body::new(http_body_util::Limited::new(body, FEW_WORDS)))
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
    async fn a_stranger_says_little_and_a_cluster_much_on_its_stream_alone() {
        use http_body_util::BodyExt as _;
        const JOIN: &str = "/groundswell.v1.Link/Join";
        const RENEW: &str = "/groundswell.v1.Link/Renew";
        const APPLY: &str = "/groundswell.v1.Fleet/Apply";
        let cluster = || Peer::Cluster("eu".into());
        let person = || Peer::Person {
            name: "ada".into(),
            groups: Vec::new(),
        };
        for (peer, path, much) in [
            (None, JOIN, false),
            (Some(Peer::Anonymous), JOIN, false),
            (Some(Peer::Anonymous), APPLY, false),
            (Some(Peer::Anonymous), STREAM_PATH, false),
            (Some(cluster()), STREAM_PATH, true),
            (Some(cluster()), RENEW, false),
            (Some(cluster()), APPLY, false),
            (Some(person()), APPLY, true),
        ] {
            let said = |bytes: usize| {
                let said = http_body_util::Full::from(vec![0_u8; bytes]);
                let mut request = Request::new(Body::new(said));
                *request.uri_mut() = path.parse().unwrap();
                if let Some(peer) = peer.clone() {
                    request.extensions_mut().insert(PeerInfo {
                        peer,
                        fingerprint: String::new(),
                        remote: None,
                    });
                }
                bounded(request).into_body().collect()
            };
            assert!(said(FEW_WORDS).await.is_ok(), "{peer:?} {path}");
            let more = said(FEW_WORDS + 1).await;
            assert_eq!(more.is_ok(), much, "{peer:?} {path}");
        }
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
