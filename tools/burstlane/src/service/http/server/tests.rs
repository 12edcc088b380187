//! Conversations with the server over a pipe in memory, split at every kind of place.

use proptest::prelude::*;
use sha2::{Digest, Sha256};

use super::super::super::pipe::{Pipe, run};
use super::*;

fn talk(input: &[u8], steps: &[usize]) -> (Status, Vec<u8>) {
    let site = Rc::new(Site { driver: "tap:t".into(), addresses: vec!["10.77.0.2".into()], ..Site::default() });
    let mut pipe = Pipe::new(input, steps);
    let status = run(&mut HttpConn::new(site, "10.77.0.1:9".into()), &mut pipe);
    (status, pipe.sent)
}

fn text(input: &str) -> String {
    String::from_utf8_lossy(&talk(input.as_bytes(), &[100_000]).1).into_owned()
}

/// Body of the first answer in `sent`, by its Content-Length, and what is behind it.
fn body(sent: &[u8]) -> (&[u8], &[u8]) {
    let end = sent.windows(4).position(|w| w == b"\r\n\r\n").unwrap() + 4;
    let head = std::str::from_utf8(&sent[..end]).unwrap();
    let length = head.lines().find_map(|l| l.strip_prefix("Content-Length: ")).unwrap().parse().unwrap();
    sent[end..].split_at(length)
}

const CONVERSATION: &str = "GET / HTTP/1.1\r\nHost: h\r\n\r\n\
    POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello\
    GET /nothing HTTP/1.1\r\nHost: h\r\n\r\n\
    POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nT: u\r\n\r\n\
    HEAD /bytes/100 HTTP/1.1\r\nHost: h\r\n\r\n\
    GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nskip\
    GET /bytes/40 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";

/// Chunk boundaries follow the reads; everything else does not.
fn without_chunk_sizes(sent: &[u8]) -> Vec<u8> {
    let at = sent.windows(11).position(|w| w == b": chunked\r\n").unwrap();
    let start = at + sent[at..].windows(4).position(|w| w == b"\r\n\r\n").unwrap() + 4;
    let end = start + sent[start..].windows(5).position(|w| w == b"0\r\n\r\n").unwrap() + 5;
    let mut decoder = BodyDecoder::for_request(Length::Chunked);
    let mut out = sent[..start].to_vec();
    let mut from = start;
    while !decoder.is_done() {
        let step = decoder.step(&sent[from..end]).unwrap();
        out.extend_from_slice(&sent[from..end][step.data]);
        from += step.consumed;
    }
    out.extend_from_slice(&sent[from..]);
    out
}

proptest! {
    #[test]
    fn the_answers_do_not_depend_on_where_reads_and_writes_split(steps in prop::collection::vec(1usize..300, 1..10)) {
        let (status, whole) = talk(CONVERSATION.as_bytes(), &[100_000]);
        prop_assert_eq!(status, Status::Done);
        let (status, split) = talk(CONVERSATION.as_bytes(), &steps);
        prop_assert_eq!(status, Status::Done);
        prop_assert_eq!(without_chunk_sizes(&split), without_chunk_sizes(&whole));
    }

    #[test]
    fn an_echoed_body_comes_back_whole(data in prop::collection::vec(any::<u8>(), 0..60_000), steps in prop::collection::vec(50usize..30_000, 1..6)) {
        let mut input = format!("POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n", data.len()).into_bytes();
        input.extend_from_slice(&data);
        let (status, sent) = talk(&input, &steps);
        prop_assert_eq!(status, Status::Done);
        prop_assert_eq!(body(&sent), (&data[..], &b""[..]));
    }

    #[test]
    fn any_bytes_end_the_connection_without_a_panic(data in prop::collection::vec(any::<u8>(), 0..3000), steps in prop::collection::vec(1usize..300, 1..4)) {
        let (status, _) = talk(&data, &steps);
        prop_assert!(matches!(status, Status::Done | Status::Broken));
    }
}

#[test]
fn bytes_carry_their_digest_and_are_those_bytes() {
    let (status, sent) = talk(b"GET /bytes/300000 HTTP/1.1\r\nHost: h\r\n\r\n", &[1000, 70_000]);
    assert_eq!(status, Status::Done);
    let digest = bytes::hex(&Sha256::digest(body(&sent).0));
    assert_eq!(body(&sent).0.len(), 300_000);
    assert!(String::from_utf8_lossy(&sent[..300]).contains(&format!("X-Sha256: {digest}\r\n")));
}

#[test]
fn beyond_the_limit_there_is_no_digest_and_then_no_answer() {
    let large = text("HEAD /bytes/1000000000 HTTP/1.1\r\nHost: h\r\n\r\n");
    assert!(large.contains("Content-Length: 1000000000\r\n") && !large.contains("X-Sha256"), "{large}");
    assert!(text("GET /bytes/10737418241 HTTP/1.1\r\nHost: h\r\n\r\n").starts_with("HTTP/1.1 404 "));
    assert!(text("GET /bytes/x HTTP/1.1\r\nHost: h\r\n\r\n").starts_with("HTTP/1.1 404 "));
}

#[test]
fn refusals_say_why_and_close_where_framing_is_lost() {
    for (request, status) in [
        ("nonsense\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\n\r\n", "400"),
        ("GET / HTTP/3.0\r\n\r\n", "505"),
        ("PUT / HTTP/1.1\r\nHost: h\r\n\r\n", "405"),
        ("GET /echo HTTP/1.1\r\nHost: h\r\n\r\n", "405"),
        ("GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999\r\n\r\n", "413"),
        ("POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: br\r\n\r\n", "501"),
    ] {
        assert!(text(request).starts_with(&format!("HTTP/1.1 {status} ")), "{request}: {}", text(request));
    }
    assert!(text(&format!("GET /{} HTTP/1.1\r\n", "a".repeat(9000))).starts_with("HTTP/1.1 431 "));
    let keeps = text("GET /a HTTP/1.1\r\nHost: h\r\n\r\nGET /b HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!(keeps.matches("HTTP/1.1 404").count(), 2);
}

#[test]
fn a_client_that_expects_100_gets_it_before_it_sends() {
    let site = Rc::new(Site::default());
    let mut conn = HttpConn::new(site, String::new());
    let mut pipe =
        Pipe::new(b"POST /echo HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n", &[1000]);
    pipe.ends = false;
    assert_eq!(run(&mut conn, &mut pipe), Status::Waiting(Interest { read: true, write: false }));
    assert_eq!(pipe.sent, b"HTTP/1.1 100 Continue\r\n\r\n");
}

#[test]
fn a_client_that_does_not_read_is_not_read_from() {
    struct Stuck(usize);
    impl ByteStream for Stuck {
        fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
            buf.fill(b'x');
            self.0 += buf.len();
            Ok(buf.len())
        }
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::WouldBlock.into())
        }
        fn shutdown_write(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut conn = HttpConn::new(Rc::new(Site::default()), String::new());
    conn.input.push(b"POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000000\r\n\r\n");
    let mut stuck = Stuck(0);
    for _ in 0..10 {
        conn.pump(&mut stuck);
    }
    assert_eq!(conn.pump(&mut stuck), Status::Waiting(Interest { read: false, write: true }));
    assert!(stuck.0 <= INPUT_BYTES + OUTPUT_BYTES);
}

#[test]
fn a_body_cut_short_breaks_the_connection() {
    let (status, _) = talk(b"POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nabc", &[1000]);
    assert_eq!(status, Status::Broken);
}
