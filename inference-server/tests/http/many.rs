//! Many connections at once: idle ones, slow ones, and some that read nothing.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use reqwest::StatusCode;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::model::Kind;
use crate::server::{PATIENCE, config, greedy, json_of, ready_with};

/// Connections that are wanted, each of two file descriptors here.
const IDLE: usize = 10_000;
/// Other tests need some, too.
const OTHERS: usize = 800;

/// How many connections the limit on file descriptors allows, raised as far as it goes.
fn allowed() -> usize {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    let files = getrlimit(Resource::Nofile).current.map_or(usize::MAX, |files| files as usize);
    (files.saturating_sub(OTHERS) / 2).min(IDLE)
}

/// Bytes of memory that this process has; none where there is no such file.
fn resident() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().trim_end_matches(" kB").parse::<usize>().ok()? << 10)
}

/// Connections that have asked once, and then say nothing.
fn idle(address: SocketAddr, count: usize) -> Vec<TcpStream> {
    let connect = |_| {
        let mut stream = TcpStream::connect(address).expect("it accepts");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").expect("it reads");
        let mut answer = [0; 1024];
        let count = stream.read(&mut answer).expect("it answers");
        assert!(answer[..count].starts_with(b"HTTP/1.1 200 "));
        stream
    };
    (0..count).map(connect).collect()
}

#[tokio::test]
#[expect(clippy::print_stderr, reason = "how many they were depends on the machine")]
async fn ten_thousand_idle_connections_cost_little_memory_and_keep_nobody_out() {
    let count = allowed();
    if count < IDLE {
        eprintln!("only {count} connections: the limit on open files allows no more");
    }
    let mut many = config();
    many.connections = count + 100;
    many.header_timeout = Duration::from_secs(600);
    let server = ready_with(many, Kind::Successor).await;
    let before = resident();
    let address = server.address;
    let connections = tokio::task::spawn_blocking(move || idle(address, count)).await;
    let connections = connections.expect("no panic");
    if let (Some(before), Some(after)) = (before, resident()) {
        let each = after.saturating_sub(before) / count.max(1);
        eprintln!("{each} bytes for each of {count} connections");
        // The kernel's part is not in it; that of tests beside this one is.
        assert!(each < 32 << 10, "{each} bytes for each of {count}");
    }
    assert_eq!(server.complete(&greedy("a", 1)).await["choices"][0]["text"], "b");
    json_of(server.get("/healthz").await, StatusCode::OK).await;
    drop(connections);
}

#[tokio::test]
async fn clients_that_send_a_byte_now_and_then_are_cut_off_and_others_served_meanwhile() {
    let mut impatient = config();
    impatient.header_timeout = Duration::from_millis(500);
    impatient.connections = 100;
    let server = ready_with(impatient, Kind::Successor).await;
    let address = server.address;
    // More of them than there are connections.
    let slow = (0..250).map(|_| async move {
        let mut stream = tokio::net::TcpStream::connect(address).await.expect("it accepts");
        stream
            .write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nx-slow: ")
            .await
            .expect("written");
        let mut answer = [0; 1];
        loop {
            tokio::select! {
                read = stream.read(&mut answer) => return read.unwrap_or(0),
                () = tokio::time::sleep(Duration::from_millis(50)) => {
                    if stream.write_all(b"x").await.is_err() {
                        return 0;
                    }
                }
            }
        }
    });
    let slow = tokio::spawn(futures::future::join_all(slow));
    for _ in 0..3 {
        json_of(server.get("/healthz").await, StatusCode::OK).await;
        assert_eq!(server.complete(&greedy("a", 1)).await["choices"][0]["text"], "b");
    }
    let cut = tokio::time::timeout(PATIENCE, slow).await.expect("they are cut").expect("no panic");
    assert_eq!(cut, [0; 250], "none of them is answered");
}

#[tokio::test]
async fn a_body_that_comes_byte_by_byte_is_refused_in_time() {
    let mut impatient = config();
    impatient.body_timeout = Duration::from_millis(300);
    let server = ready_with(impatient, Kind::Successor).await;
    let mut stream = tokio::net::TcpStream::connect(server.address).await.expect("it accepts");
    let head =
        b"POST /v1/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100000\r\n\r\n";
    stream.write_all(head).await.expect("written");
    let (mut reader, mut writer) = stream.split();
    let drip = async {
        while writer.write_all(b" ").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        std::future::pending::<usize>().await
    };
    let mut answer = [0; 12];
    let answered = async { reader.read_exact(&mut answer).await.expect("it answers") };
    let count = tokio::select! { count = answered => count, count = drip => count };
    assert_eq!((count, &answer), (12, b"HTTP/1.1 408"));
}

#[tokio::test]
async fn a_client_that_reads_nothing_is_given_up() {
    let mut single = config();
    single.connections = 1;
    single.answer_timeout = Duration::from_millis(300);
    let server = ready_with(single, Kind::Successor).await;
    let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4096).expect("a small buffer");
    let mut deaf = socket.connect(server.address).await.expect("it accepts");
    // Answers of many megabytes, to a few hundred kilobytes of questions.
    let questions = "GET /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n".repeat(5_000);
    deaf.write_all(questions.as_bytes()).await.expect("they fit the buffers");
    // The only connection is that one, until it is given up.
    json_of(server.get("/healthz").await, StatusCode::OK).await;
    drop(deaf);
}
