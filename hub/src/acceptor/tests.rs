//! Who comes through the door, and who cannot close it for others.
use std::time::Instant;

use rustls::ClientConfig;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::io::AsyncWriteExt as _;
use tokio_rustls::TlsConnector;
use tokio_stream::StreamExt as _;

use super::*;
use crate::authority::Issued;

struct Door {
    authority: Authority,
    address: SocketAddr,
    incoming: ReceiverStream<io::Result<Connection>>,
    _dir: tempfile::TempDir,
}

async fn door() -> Door {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::open(dir.path()).unwrap();
    let config = server_config(&authority, &["localhost".to_owned()]).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    Door {
        authority,
        address,
        incoming: accept(listener, config),
        _dir: dir,
    }
}

fn client(ca: &CertificateDer<'static>, issued: Option<&Issued>) -> TlsConnector {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(ca.clone()).unwrap();
    let builder =
        ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
    let config = match issued {
        None => builder.with_no_client_auth(),
        Some(issued) => {
            let certificate =
                CertificateDer::from_pem_slice(issued.certificate.as_bytes()).unwrap();
            let key = PrivateKeyDer::from_pem_slice(issued.key.as_bytes()).unwrap();
            builder
                .with_client_auth_cert(vec![certificate], key)
                .unwrap()
        }
    };
    TlsConnector::from(Arc::new(config))
}

async fn connect(
    address: SocketAddr,
    connector: TlsConnector,
) -> io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
    let tcp = TcpStream::connect(address).await?;
    connector
        .connect(ServerName::try_from("localhost").unwrap(), tcp)
        .await
}

#[tokio::test]
async fn the_peer_is_what_its_certificate_says() {
    let mut door = door().await;
    let ca = door.authority.ca_der().clone();
    let (_anonymous, next) = tokio::join!(
        connect(door.address, client(&ca, None)),
        door.incoming.next()
    );
    assert_eq!(next.unwrap().unwrap().info.peer, Peer::Anonymous);
    let ada = door.authority.person("ada", &["sre".to_owned()]).unwrap();
    let (_ada, next) = tokio::join!(
        connect(door.address, client(&ca, Some(&ada))),
        door.incoming.next()
    );
    let expected = Peer::Person {
        name: "ada".to_owned(),
        groups: vec!["sre".to_owned()],
    };
    assert_eq!(next.unwrap().unwrap().info.peer, expected);
}

#[tokio::test]
async fn a_certificate_of_another_ca_does_not_come_through() {
    let mut door = door().await;
    let other = tempfile::tempdir().unwrap();
    let stranger = Authority::open(other.path())
        .unwrap()
        .person("ada", &["sre".to_owned()])
        .unwrap();
    let ca = door.authority.ca_der().clone();
    // With TLS 1.3 the client hears of the refusal only when it reads, so it is the server's side that is looked at.
    let _refused = connect(door.address, client(&ca, Some(&stranger))).await;
    let (_good, next) = tokio::join!(
        connect(door.address, client(&ca, None)),
        door.incoming.next()
    );
    assert_eq!(next.unwrap().unwrap().info.peer, Peer::Anonymous);
}

#[tokio::test]
async fn silent_and_senseless_peers_do_not_keep_others_out() {
    let mut door = door().await;
    let mut silent = Vec::new();
    for _ in 0..200 {
        silent.push(TcpStream::connect(door.address).await.unwrap());
    }
    let mut senseless = TcpStream::connect(door.address).await.unwrap();
    senseless
        .write_all(b"GET / HTTP/1.1\r\n\r\n")
        .await
        .unwrap();
    let ca = door.authority.ca_der().clone();
    let started = Instant::now();
    let (_good, next) = tokio::join!(
        connect(door.address, client(&ca, None)),
        door.incoming.next()
    );
    assert!(next.unwrap().is_ok());
    assert!(
        started.elapsed() < HANDSHAKE_TIMEOUT,
        "waited for the silent ones"
    );
}

#[tokio::test]
async fn one_cluster_has_so_many_connections_and_another_its_own() {
    let mut door = door().await;
    let ca = door.authority.ca_der().clone();
    let member = |name: &str| {
        let key = rcgen::KeyPair::generate().unwrap();
        let request = rcgen::CertificateParams::default().serialize_request(&key);
        let csr = request.unwrap().pem().unwrap();
        let lifetime = Duration::from_secs(600);
        let issued = door.authority.cluster(&csr, name, lifetime).unwrap();
        client(
            &ca,
            Some(&Issued {
                certificate: issued.pem,
                key: key.serialize_pem(),
            }),
        )
    };
    let (bad, good) = (member("bad"), member("good"));
    let mut held = Vec::new();
    for _ in 0..guests::OF_ONE_CLUSTER {
        let both = tokio::join!(connect(door.address, bad.clone()), door.incoming.next());
        held.push((both.0.unwrap(), both.1.unwrap().unwrap()));
    }
    // Refused on the server's side, where the next that comes through is the other's.
    let _refused = connect(door.address, bad.clone()).await;
    let (_good, next) = tokio::join!(connect(door.address, good), door.incoming.next());
    assert_eq!(
        next.unwrap().unwrap().info.peer,
        Peer::Cluster("good".into())
    );
    held.pop();
    let (_again, next) = tokio::join!(connect(door.address, bad), door.incoming.next());
    assert_eq!(
        next.unwrap().unwrap().info.peer,
        Peer::Cluster("bad".into())
    );
}
