//! The server's side of one HTTP connection: requests one after another (pipelined ones too), the answers in order.
//!
//! Memory a connection is two fixed buffers. Nothing is read while the answer before it has no room, so a client that
//! does not read is not read from either.

use std::rc::Rc;

use super::super::{Buffer, ByteStream, Interest, Service, Status, would_block};
use super::body::BodyDecoder;
use super::bytes::{self, BYTES_MAX, HASHED_BYTES_MAX, Hashing};
use super::head::{HeadEnd, Length, Method, Request};
use super::page::Site;

/// One connection.
#[derive(Debug)]
pub struct HttpConn {
    site: Rc<Site>,
    peer: String,
    input: Buffer,
    output: Buffer,
    head_end: HeadEnd,
    finished_reading: bool,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Waiting for a request, or in its head.
    Head,
    /// Making the digest that the answer's head needs.
    Hashing { hashing: Box<Hashing>, length: u64, head_only: bool, keep_alive: bool },
    /// Sending `/bytes/N` from `position` to `length`.
    Bytes { position: u64, length: u64, keep_alive: bool },
    /// Sending a request's body back. The head goes with its first byte, so that a client that sends all before it
    /// reads is served as far as buffers reach.
    Echo { decoder: BodyDecoder, head: Option<String>, keep_alive: bool },
    /// Past a body that nobody wants.
    Skip { decoder: BodyDecoder },
    /// The last answer is queued.
    Closing,
    /// Finished; takes what the peer still sends, so that no reset overtakes the answer (RFC 9112 9.6).
    Linger { left: usize },
}

/// What a step of the state machine needs before the next.
enum Step {
    Go,
    Yield,
    Input,
    Output,
    Broken,
}

impl HttpConn {
    /// A new connection from `peer`.
    pub fn new(site: Rc<Site>, peer: String) -> Self {
        let (input, output) = (Buffer::new(INPUT_BYTES), Buffer::new(OUTPUT_BYTES));
        Self { site, peer, input, output, head_end: HeadEnd::default(), finished_reading: false, state: State::Head }
    }

    fn step(&mut self) -> Step {
        match &mut self.state {
            State::Head => self.step_head(),
            State::Hashing { hashing, length, head_only, keep_alive } => {
                let (length, head_only, keep_alive) = (*length, *head_only, *keep_alive);
                match self.site.digests.find(length) {
                    Some(digest) => self.answer_bytes(length, Some(&digest), head_only, keep_alive),
                    None => match hashing.step() {
                        Some(digest) => self.site.digests.add(length, &digest),
                        None => return Step::Yield,
                    },
                }
                Step::Go
            }
            State::Bytes { position, length, keep_alive } => {
                let (left, keep_alive) = (*length - *position, *keep_alive);
                if left == 0 {
                    self.next_request(keep_alive);
                    return Step::Go;
                }
                let free = self.output.free();
                let count = usize::try_from(left).unwrap_or(usize::MAX).min(free.len());
                if count == 0 {
                    return Step::Output;
                }
                bytes::fill(*position, free.get_mut(..count).unwrap_or_default());
                *position += count as u64;
                self.output.filled_by(count);
                Step::Go
            }
            State::Echo { .. } => self.step_echo(),
            State::Skip { decoder } => {
                if decoder.is_done() {
                    self.state = State::Head;
                    return Step::Go;
                }
                if self.input.is_empty() {
                    return Step::Input;
                }
                let Ok(step) = decoder.step(self.input.filled()) else { return Step::Broken };
                self.input.consume(step.consumed);
                Step::Go
            }
            State::Closing => Step::Output,
            State::Linger { left } => {
                *left = left.saturating_sub(self.input.len());
                let exhausted = *left == 0;
                self.input.consume(self.input.len());
                if exhausted { Step::Broken } else { Step::Input }
            }
        }
    }

    fn step_head(&mut self) -> Step {
        if self.output.room() < ANSWER_BYTES_MAX {
            return Step::Output;
        }
        let refusal = match self.head_end.find(self.input.filled()) {
            Ok(None) => return Step::Input,
            Ok(Some(head_bytes)) => {
                let parsed = Request::parse(self.input.filled().get(..head_bytes).unwrap_or_default());
                self.input.consume(head_bytes);
                match parsed {
                    Ok(request) => {
                        self.site.requests.set(self.site.requests.get() + 1);
                        self.answer(&request);
                        return Step::Go;
                    }
                    Err(e) => e,
                }
            }
            Err(e) => e,
        };
        let (status, reason) = refusal.status();
        self.refuse(status, reason, &format!("{refusal}\n"), "", false);
        self.state = State::Closing;
        Step::Go
    }

    fn answer(&mut self, request: &Request) {
        let path = request.target.split('?').next().unwrap_or_default();
        if path == "/echo" {
            return match request.method {
                Method::Post => self.begin_echo(request),
                _ => self.refuse_request(request, 405, "Method Not Allowed", "send a POST\n", "Allow: POST\r\n"),
            };
        }
        let head_only = request.method == Method::Head;
        let known = path == "/" || path.starts_with("/bytes/");
        if known && !head_only && request.method != Method::Get {
            return self.refuse_request(request, 405, "Method Not Allowed", "send a GET\n", "Allow: GET, HEAD\r\n");
        }
        let is_skippable = match request.length {
            Length::Absent | Length::Exactly(0) => true,
            Length::Exactly(bytes) => bytes <= UNWANTED_BYTES_MAX && !request.expects_continue,
            Length::Chunked => false,
        };
        if !is_skippable {
            return self.refuse_request(request, 413, "Content Too Large", "no body is wanted here\n", "");
        }
        let count = path.strip_prefix("/bytes/").map(|n| n.parse::<u64>().ok().filter(|n| *n <= BYTES_MAX));
        match count {
            _ if path == "/" => {
                let page = self.site.page(&self.peer);
                self.head(200, "OK", "text/html; charset=utf-8", page.len() as u64, "", request.keep_alive);
                if !head_only {
                    self.output.push(page.as_bytes());
                }
                self.next_after(request);
            }
            Some(Some(length)) => self.begin_bytes(length, head_only, request),
            Some(None) => {
                let hint = format!("/bytes/N takes a number up to {BYTES_MAX}\n");
                self.refuse_request(request, 404, "Not Found", &hint, "");
            }
            None => {
                let hint = "here are /, /bytes/N and POST /echo\n";
                self.refuse_request(request, 404, "Not Found", hint, "");
            }
        }
    }

    fn begin_bytes(&mut self, length: u64, head_only: bool, request: &Request) {
        // A small unwanted body stands between this answer and the next request; it is simplest to close then.
        let keep_alive = request.keep_alive && matches!(request.length, Length::Absent | Length::Exactly(0));
        if length > HASHED_BYTES_MAX {
            self.answer_bytes(length, None, head_only, keep_alive);
        } else {
            self.state = State::Hashing { hashing: Box::new(Hashing::new(length)), length, head_only, keep_alive };
        }
    }

    fn answer_bytes(&mut self, length: u64, digest: Option<&str>, head_only: bool, keep_alive: bool) {
        let extra = digest.map_or_else(String::new, |d| format!("X-Sha256: {d}\r\n"));
        self.head(200, "OK", "application/octet-stream", length, &extra, keep_alive);
        let position = if head_only { length } else { 0 };
        self.state = State::Bytes { position, length, keep_alive };
    }

    fn begin_echo(&mut self, request: &Request) {
        if request.expects_continue {
            self.output.push(b"HTTP/1.1 100 Continue\r\n\r\n");
        }
        let framing = match request.length {
            Length::Chunked => "Transfer-Encoding: chunked\r\n".to_owned(),
            Length::Absent => "Content-Length: 0\r\n".to_owned(),
            Length::Exactly(bytes) => format!("Content-Length: {bytes}\r\n"),
        };
        let head = format!(
            "HTTP/1.1 200 OK\r\nServer: burstlane\r\nContent-Type: application/octet-stream\r\n{framing}{}\r\n",
            connection(request.keep_alive)
        );
        let decoder = BodyDecoder::for_request(request.length);
        self.state = State::Echo { decoder, head: Some(head), keep_alive: request.keep_alive };
    }

    fn step_echo(&mut self) -> Step {
        let State::Echo { decoder, head, keep_alive } = &mut self.state else { return Step::Go };
        let chunked = matches!(decoder, BodyDecoder::Chunked(_));
        if decoder.is_done() {
            if self.output.room() < ANSWER_BYTES_MAX {
                return Step::Output;
            }
            let keep_alive = *keep_alive;
            if let Some(head) = head.take() {
                self.output.push(head.as_bytes());
            }
            if chunked {
                self.output.push(b"0\r\n\r\n");
            }
            self.next_request(keep_alive);
            return Step::Go;
        }
        if self.input.is_empty() {
            return Step::Input;
        }
        let room = self.output.room().saturating_sub(head.as_ref().map_or(0, String::len) + CHUNK_FRAMING_BYTES_MAX);
        if room == 0 {
            return Step::Output;
        }
        let input = self.input.filled();
        let input = input.get(..room.min(input.len())).unwrap_or_default();
        let Ok(step) = decoder.step(input) else { return Step::Broken };
        let data = input.get(step.data).unwrap_or_default();
        if !data.is_empty() {
            if let Some(head) = head.take() {
                self.output.push(head.as_bytes());
            }
            if chunked {
                self.output.push(format!("{:x}\r\n", data.len()).as_bytes());
            }
            self.output.push(data);
            if chunked {
                self.output.push(b"\r\n");
            }
        }
        self.input.consume(step.consumed);
        Step::Go
    }

    /// Refuses one request. A body that may still come ends the connection, since where it ends is not awaited.
    fn refuse_request(&mut self, request: &Request, status: u16, reason: &str, hint: &str, extra: &str) {
        let has_body = !matches!(request.length, Length::Absent | Length::Exactly(0));
        let keep_alive = request.keep_alive && !has_body;
        let hint = if request.method == Method::Head { "" } else { hint };
        self.refuse(status, reason, hint, extra, keep_alive);
        self.next_request(keep_alive);
    }

    fn refuse(&mut self, status: u16, reason: &str, hint: &str, extra: &str, keep_alive: bool) {
        self.site.refusals.set(self.site.refusals.get() + 1);
        self.head(status, reason, "text/plain; charset=utf-8", hint.len() as u64, extra, keep_alive);
        self.output.push(hint.as_bytes());
    }

    /// Queues a head. There is room: a request is only looked at when there is.
    fn head(&mut self, status: u16, reason: &str, kind: &str, length: u64, extra: &str, keep_alive: bool) {
        let head = format!(
            "HTTP/1.1 {status} {reason}\r\nServer: burstlane\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\
             {extra}{}\r\n",
            connection(keep_alive)
        );
        self.output.push(head.as_bytes());
    }

    fn next_after(&mut self, request: &Request) {
        self.next_request(request.keep_alive);
        if matches!(self.state, State::Head) {
            self.state = State::Skip { decoder: BodyDecoder::for_request(request.length) };
        }
    }

    fn next_request(&mut self, keep_alive: bool) {
        self.state = if keep_alive { State::Head } else { State::Closing };
    }

    /// The peer has finished sending, and more was needed.
    fn input_ended(&mut self) -> Option<Status> {
        match self.state {
            State::Head => self.state = State::Closing, // between requests, or in the middle of a head: no one to tell
            State::Linger { .. } => return Some(Status::Done),
            _ => return Some(Status::Broken),
        }
        None
    }
}

impl Service for HttpConn {
    fn pump(&mut self, stream: &mut dyn ByteStream) -> Status {
        for _ in 0..STEPS_PER_PUMP_MAX {
            // Written when it is worth a call, or when nothing else can be done.
            if self.output.len() >= OUTPUT_BYTES / 2 {
                match self.output.drain_to(stream) {
                    Ok(()) => {}
                    Err(e) if would_block(&e) => {}
                    Err(_) => return Status::Broken,
                }
            }
            let step = self.step();
            if matches!(step, Step::Go) {
                continue;
            }
            match self.output.drain_to(stream) {
                Ok(()) => {}
                Err(e) if would_block(&e) => {
                    // More input would help only a state that waits for it.
                    let read = matches!(step, Step::Input) && self.input.room() > 0 && !self.finished_reading;
                    if !read || !self.read_more(stream) {
                        return Status::Waiting(Interest { read, write: true });
                    }
                    continue;
                }
                Err(_) => return Status::Broken,
            }
            match step {
                Step::Go => {}
                Step::Yield => return Status::Again,
                Step::Broken => return Status::Broken,
                Step::Output => {
                    if matches!(self.state, State::Closing) {
                        if stream.shutdown_write().is_err() {
                            return Status::Broken;
                        }
                        self.state = State::Linger { left: LINGER_BYTES_MAX };
                    }
                }
                Step::Input if self.finished_reading => {
                    if let Some(status) = self.input_ended() {
                        return status;
                    }
                }
                Step::Input => match self.input.fill_from(stream) {
                    Ok(count) => self.finished_reading = count == 0,
                    Err(e) if would_block(&e) => return Status::Waiting(Interest { read: true, write: false }),
                    Err(_) => return Status::Broken,
                },
            }
        }
        Status::Again
    }
}

impl HttpConn {
    /// Reads while the output is stuck; whether anything came. Errors show at the next write.
    fn read_more(&mut self, stream: &mut dyn ByteStream) -> bool {
        match self.input.fill_from(stream) {
            Ok(0) => {
                self.finished_reading = true;
                false
            }
            Ok(_) => true,
            Err(_) => false,
        }
    }
}

fn connection(keep_alive: bool) -> &'static str {
    if keep_alive { "Connection: keep-alive\r\n" } else { "Connection: close\r\n" }
}

/// A head and the body of an echo on its way.
const INPUT_BYTES: usize = 16 * 1024;
const OUTPUT_BYTES: usize = 32 * 1024;
/// Every head with a small body fits in it.
const ANSWER_BYTES_MAX: usize = 4 * 1024;
/// `ffff`, two line ends, and some.
const CHUNK_FRAMING_BYTES_MAX: usize = 16;
/// A body on a GET that is skipped rather than refused.
const UNWANTED_BYTES_MAX: u64 = 64 * 1024;
const LINGER_BYTES_MAX: usize = 256 * 1024;
const STEPS_PER_PUMP_MAX: usize = 256;

#[cfg(test)]
mod tests;
