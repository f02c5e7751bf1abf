//! The proxies before small servers made here. In: faults and kill points. Out: what the two ends saw.

use std::process::Command;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::frames::{self, Frame};
use super::link::{Fault, LinkProxy};
use super::postgres::PostgresProxy;
use super::trigger::{KillPoint, Moment};
use crate::eventually::eventually;
use crate::process::Process;
use crate::rundir::RunDir;

const SOON: Duration = Duration::from_secs(5);

/// Sends everything back.
async fn echo() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let address = listener.local_addr().expect("address").to_string();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut from, mut to) = stream.split();
                tokio::io::copy(&mut from, &mut to).await
            });
        }
    });
    address
}

async fn ask(stream: &mut TcpStream, word: &[u8]) -> std::io::Result<Vec<u8>> {
    stream.write_all(word).await?;
    let mut answer = vec![0; word.len()];
    stream.read_exact(&mut answer).await?;
    Ok(answer)
}

#[tokio::test]
async fn passes_delays_and_counts() {
    let proxy = LinkProxy::start(&echo().await).await.expect("proxy");
    let mut stream = TcpStream::connect(proxy.address()).await.expect("connect");
    assert_eq!(ask(&mut stream, b"hello").await.expect("answer"), b"hello");
    eventually("the counts", SOON, async || {
        let counts = (proxy.connections(), proxy.bytes_up(), proxy.bytes_down());
        if counts == (1, 5, 5) {
            Ok(())
        } else {
            Err(format!("{counts:?}"))
        }
    })
    .await
    .expect("counts");
    proxy.set(Fault::Delay(Duration::from_millis(100)));
    let begin = std::time::Instant::now();
    ask(&mut stream, b"late").await.expect("answer");
    assert!(
        begin.elapsed() >= Duration::from_millis(200),
        "once each way"
    );
}

#[tokio::test]
async fn a_cut_closes_what_is_open_and_what_is_new() {
    let proxy = LinkProxy::start(&echo().await).await.expect("proxy");
    let mut stream = TcpStream::connect(proxy.address()).await.expect("connect");
    ask(&mut stream, b"a").await.expect("answer");
    proxy.set(Fault::Cut);
    assert!(ask(&mut stream, b"b").await.is_err());
    let mut new = TcpStream::connect(proxy.address()).await.expect("connect");
    assert!(ask(&mut new, b"c").await.is_err());
    proxy.set(Fault::None);
    let mut again = TcpStream::connect(proxy.address()).await.expect("connect");
    assert_eq!(ask(&mut again, b"d").await.expect("answer"), b"d");
}

#[tokio::test]
async fn held_bytes_arrive_in_order_and_lost_ones_never() {
    let proxy = LinkProxy::start(&echo().await).await.expect("proxy");
    let mut stream = TcpStream::connect(proxy.address()).await.expect("connect");
    proxy.set(Fault::Hold);
    stream.write_all(b"one").await.expect("write");
    stream.write_all(b"two").await.expect("write");
    let mut answer = [0; 6];
    let early = tokio::time::timeout(Duration::from_millis(100), stream.read(&mut answer)).await;
    assert!(early.is_err(), "nothing passes");
    proxy.set(Fault::None);
    stream.read_exact(&mut answer).await.expect("answer");
    assert_eq!(&answer, b"onetwo");

    proxy.set(Fault::HalfOpen);
    stream.write_all(b"lost").await.expect("write");
    let silent = tokio::time::timeout(Duration::from_millis(100), stream.read(&mut answer)).await;
    assert!(silent.is_err(), "open and silent");
    proxy.set(Fault::None);
    assert!(
        matches!(stream.read(&mut answer).await, Ok(0) | Err(_)),
        "closed, not resumed"
    );
}

/// A server that answers every query as PostgreSQL answers COMMIT, and remembers how many there were.
async fn commits() -> (String, tokio::sync::watch::Receiver<u64>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let address = listener.local_addr().expect("address").to_string();
    let (count, counted) = tokio::sync::watch::channel(0);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = frames::read(&mut stream, true).await;
            while let Some(frame) = frames::read(&mut stream, false).await {
                count.send_modify(|count| *count += u64::from(frame.commits()));
                let reply = Frame {
                    kind: b'C',
                    payload: b"COMMIT\0".to_vec(),
                };
                if stream.write_all(&reply.bytes()).await.is_err() {
                    break;
                }
            }
        }
    });
    (address, counted)
}

fn query(text: &str) -> Vec<u8> {
    let mut payload = text.as_bytes().to_vec();
    payload.push(0);
    Frame {
        kind: b'Q',
        payload,
    }
    .bytes()
}

async fn session(address: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.expect("connect");
    // An SSLRequest, which the proxy refuses by itself, then a start.
    let ssl = Frame {
        kind: 0,
        payload: 80_877_103_u32.to_be_bytes().to_vec(),
    };
    stream.write_all(&ssl.bytes()).await.expect("write");
    assert_eq!(stream.read_u8().await.expect("answer"), b'N');
    let start = Frame {
        kind: 0,
        payload: vec![0, 3, 0, 0, 0],
    };
    stream.write_all(&start.bytes()).await.expect("write");
    stream
}

async fn kills_at_second_commit(moment: Moment) -> u64 {
    let run = RunDir::temporary("proxy").expect("folder");
    let mut command = Command::new("/bin/sh");
    command.args(["-c", "exec tail -f /dev/null"]);
    let mut victim = Process::spawn(&run, "victim", command).expect("start");
    let (server, counted) = commits().await;
    let proxy = PostgresProxy::start(&server).await.expect("proxy");
    proxy.trigger().arm(Some(KillPoint {
        number: 2,
        moment,
        pid: victim.pid(),
    }));
    let mut stream = session(proxy.address()).await;
    for text in ["select 1", "commit", "SELECT 'COMMIT'"] {
        stream.write_all(&query(text)).await.expect("write");
        assert!(
            frames::read(&mut stream, false).await.is_some(),
            "{text} is answered"
        );
    }
    assert_eq!(victim.ended(), None);
    stream.write_all(&query(" COMMIT")).await.expect("write");
    assert!(frames::read(&mut stream, false).await.is_none(), "no reply");
    proxy.trigger().struck(SOON).await.expect("struck");
    victim.killed(SOON).await.expect("killed");
    let at_server = *counted.borrow();
    proxy.trigger().release();
    let mut stream = session(proxy.address()).await;
    stream.write_all(&query("COMMIT")).await.expect("write");
    assert!(
        frames::read(&mut stream, false).await.is_some(),
        "the next life goes on"
    );
    at_server
}

#[tokio::test]
async fn postgres_is_cut_before_the_commit_or_after_its_reply() {
    assert_eq!(kills_at_second_commit(Moment::BeforeForward).await, 1);
    assert_eq!(kills_at_second_commit(Moment::AfterReply).await, 2);
}

#[tokio::test]
async fn one_way_is_lost_and_the_other_arrives() {
    let proxy = LinkProxy::start(&echo().await).await.expect("proxy");
    let mut stream = TcpStream::connect(proxy.address()).await.expect("connect");
    ask(&mut stream, b"a").await.expect("answer");
    for (fault, arrives) in [(Fault::LostUp, 0), (Fault::LostDown, 2)] {
        let mut stream = TcpStream::connect(proxy.address()).await.expect("connect");
        let before = proxy.bytes_up();
        proxy.set(fault);
        stream.write_all(b"hi").await.expect("write");
        let mut answer = [0; 2];
        let early = stream.read(&mut answer);
        let early = tokio::time::timeout(Duration::from_millis(100), early).await;
        assert!(early.is_err(), "{fault:?}: no answer");
        assert_eq!(proxy.bytes_up() - before, arrives, "{fault:?}");
        proxy.set(Fault::None);
    }
}

#[tokio::test]
async fn it_is_cut_after_so_many_pieces_and_once() {
    let proxy = LinkProxy::start(&echo().await).await.expect("proxy");
    let mut stream = TcpStream::connect(proxy.address()).await.expect("connect");
    proxy.cut_after(3);
    ask(&mut stream, b"a").await.expect("two pieces");
    ask(&mut stream, b"b")
        .await
        .expect_err("the third is the last");
    assert_eq!(proxy.cuts(), 1);
    let mut again = TcpStream::connect(proxy.address()).await.expect("connect");
    for _ in 0..3 {
        ask(&mut again, b"c").await.expect("no more cuts");
    }
}

#[tokio::test]
async fn what_is_open_breaks_or_falls_silent_and_what_is_new_is_taken() {
    let proxy = LinkProxy::start(&echo().await).await.expect("proxy");
    let mut stream = TcpStream::connect(proxy.address()).await.expect("connect");
    ask(&mut stream, b"a").await.expect("answer");
    proxy.break_off();
    ask(&mut stream, b"b").await.expect_err("broken");
    let mut stream = TcpStream::connect(proxy.address()).await.expect("connect");
    ask(&mut stream, b"c").await.expect("answer");
    proxy.silence();
    let silent = tokio::time::timeout(Duration::from_millis(100), ask(&mut stream, b"d")).await;
    assert!(silent.is_err(), "open and silent");
    let mut new = TcpStream::connect(proxy.address()).await.expect("connect");
    ask(&mut new, b"e").await.expect("answer");
}

#[tokio::test]
async fn a_server_that_is_away_is_passed_over() {
    let away = crate::hub::free_address().expect("a port that nobody has");
    let upstreams = [away, echo().await];
    let proxy = LinkProxy::before(&upstreams).await.expect("proxy");
    for _ in 0..2 {
        let mut stream = TcpStream::connect(proxy.address()).await.expect("connect");
        ask(&mut stream, b"a").await.expect("answer");
    }
}

#[tokio::test]
async fn only_a_marked_transaction_loses_its_reply() {
    let (server, counted) = commits().await;
    let proxy = PostgresProxy::start(&server).await.expect("proxy");
    let point = KillPoint {
        number: 1,
        moment: Moment::LostReply,
        pid: 0,
    };
    proxy.trigger().arm_at("the mark", point);
    let mut stream = session(proxy.address()).await;
    let texts = [
        "insert 'the mark'",
        "rollback",
        "insert 'another'",
        "commit",
        "insert 'the mark'",
    ];
    for text in texts {
        stream.write_all(&query(text)).await.expect("write");
        assert!(
            frames::read(&mut stream, false).await.is_some(),
            "{text} is answered"
        );
    }
    assert_eq!(proxy.trigger().lost(), 0);
    stream.write_all(&query("commit")).await.expect("write");
    assert!(frames::read(&mut stream, false).await.is_none(), "no reply");
    assert_eq!((proxy.trigger().lost(), *counted.borrow()), (1, 2));
    let mut stream = session(proxy.address()).await;
    stream.write_all(&query("commit")).await.expect("write");
    assert!(
        frames::read(&mut stream, false).await.is_some(),
        "only once"
    );
}
