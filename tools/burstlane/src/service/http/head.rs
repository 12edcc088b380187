//! Message heads: a request as the server reads it, a response as the client reads it (RFC 9112 2 to 6).
//!
//! Whatever is not understood is refused by name. Lines end in CRLF; a lone LF is accepted (RFC 9112 2.2), a lone CR
//! is not.

use thiserror::Error;

use super::HEAD_BYTES_MAX;

/// What a request may ask for here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// GET
    Get,
    /// HEAD
    Head,
    /// POST
    Post,
    /// Any other token.
    Other,
}

/// How long the body is (RFC 9112 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// Neither header is there.
    Absent,
    /// `Content-Length`.
    Exactly(u64),
    /// `Transfer-Encoding: chunked`.
    Chunked,
}

/// A request's head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// Path and query; an absolute form is reduced to them.
    pub target: String,
    /// The body's length.
    pub length: Length,
    /// Whether the connection stays open after the answer.
    pub keep_alive: bool,
    /// The client waits for `100 Continue` before it sends the body.
    pub expects_continue: bool,
}

/// A response's head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The three-digit code.
    pub status: u16,
    /// The text beside it.
    pub reason: String,
    /// The body's length, before the rules for HEAD, 204 and 304.
    pub length: Length,
    /// `X-Sha256`, if it was there.
    pub sha256: Option<String>,
}

/// Why a head is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum HeadError {
    /// The first line is not what it should be.
    #[error("malformed first line")]
    FirstLine,
    /// A header line without a proper name, or with a forbidden byte.
    #[error("malformed header")]
    Header,
    /// `Content-Length` is no number, or two of them disagree, or it comes with `Transfer-Encoding`.
    #[error("contradictory or malformed length")]
    Length,
    /// HTTP/1.1 without exactly one Host.
    #[error("missing or repeated Host")]
    Host,
    /// A transfer coding other than chunked.
    #[error("unknown transfer coding")]
    Coding,
    /// Neither HTTP/1.0 nor HTTP/1.1.
    #[error("unsupported HTTP version")]
    Version,
    /// The target is too long.
    #[error("target too long")]
    Target,
    /// More bytes or more lines than a head may have.
    #[error("head too large")]
    TooLarge,
}

impl HeadError {
    /// The status that tells the client.
    pub fn status(self) -> (u16, &'static str) {
        match self {
            Self::FirstLine | Self::Header | Self::Length | Self::Host => (400, "Bad Request"),
            Self::Target => (414, "URI Too Long"),
            Self::TooLarge => (431, "Request Header Fields Too Large"),
            Self::Coding => (501, "Not Implemented"),
            Self::Version => (505, "HTTP Version Not Supported"),
        }
    }
}

/// Finds where the head at the front of `input` ends, remembering how far it has looked.
#[derive(Clone, Copy, Debug, Default)]
pub struct HeadEnd {
    looked: usize,
}

impl HeadEnd {
    /// Bytes of the head with its empty line, once that is there.
    ///
    /// # Errors
    /// [`HeadError::TooLarge`] when it cannot end within bounds any more.
    pub fn find(&mut self, input: &[u8]) -> Result<Option<usize>, HeadError> {
        let from = self.looked.min(input.len());
        for (i, &byte) in input.iter().enumerate().skip(from) {
            if byte == b'\n' && ends_with_empty_line(input.get(..=i).unwrap_or_default()) {
                self.looked = 0;
                return if i < HEAD_BYTES_MAX { Ok(Some(i + 1)) } else { Err(HeadError::TooLarge) };
            }
        }
        self.looked = input.len();
        if input.len() >= HEAD_BYTES_MAX { Err(HeadError::TooLarge) } else { Ok(None) }
    }
}

impl Request {
    /// Reads a whole head, empty line included.
    ///
    /// # Errors
    /// Why it is refused.
    pub fn parse(head: &[u8]) -> Result<Self, HeadError> {
        let (first, fields) = Fields::read(head)?;
        let (method, rest) = first.split_once(' ').ok_or(HeadError::FirstLine)?;
        let (target, version) = rest.split_once(' ').ok_or(HeadError::FirstLine)?;
        if method.is_empty() || !method.bytes().all(is_token) {
            return Err(HeadError::FirstLine);
        }
        let is_11 = is_http_11(version)?;
        if target.len() > TARGET_BYTES_MAX {
            return Err(HeadError::Target);
        }
        if target.is_empty() || !target.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(HeadError::FirstLine);
        }
        if fields.hosts > 1 || (is_11 && fields.hosts == 0) {
            return Err(HeadError::Host);
        }
        if !is_11 && fields.chunked {
            return Err(HeadError::Length); // RFC 9112 6.1: faulty framing
        }
        let method = match method {
            "GET" => Method::Get,
            "HEAD" => Method::Head,
            "POST" => Method::Post,
            _ => Method::Other,
        };
        let keep_alive = !fields.close && (is_11 || fields.keep_alive);
        let expects_continue = is_11 && fields.expects_continue;
        Ok(Self { method, target: origin_form(target)?, length: fields.length()?, keep_alive, expects_continue })
    }
}

impl Response {
    /// Reads a whole head, empty line included.
    ///
    /// # Errors
    /// Why it is refused.
    pub fn parse(head: &[u8]) -> Result<Self, HeadError> {
        let (first, fields) = Fields::read(head)?;
        let (version, rest) = first.split_once(' ').ok_or(HeadError::FirstLine)?;
        is_http_11(version)?;
        let (code, reason) = rest.split_once(' ').unwrap_or((rest, ""));
        let status = code.parse().ok().filter(|s| (100..=599).contains(s) && code.len() == 3);
        let status = status.ok_or(HeadError::FirstLine)?;
        Ok(Self { status, reason: reason.to_owned(), length: fields.length()?, sha256: fields.sha256 })
    }
}

/// The header fields that mean something here.
#[derive(Default)]
struct Fields {
    hosts: usize,
    content_length: Option<u64>,
    chunked: bool,
    close: bool,
    keep_alive: bool,
    expects_continue: bool,
    sha256: Option<String>,
}

impl Fields {
    /// The first line, and the fields below it.
    fn read(head: &[u8]) -> Result<(&str, Self), HeadError> {
        let head = std::str::from_utf8(head).map_err(|_| HeadError::Header)?;
        let mut lines = head.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line));
        // RFC 9112 2.2: an empty line before a request is skipped (at most one is tolerated here).
        let first = lines.next().filter(|l| !l.is_empty()).or_else(|| lines.next()).unwrap_or_default();
        if first.bytes().any(|b| b.is_ascii_control()) {
            return Err(HeadError::FirstLine);
        }
        let mut fields = Self::default();
        for (count, line) in lines.take_while(|l| !l.is_empty()).enumerate() {
            if count >= FIELDS_MAX {
                return Err(HeadError::TooLarge);
            }
            let (name, value) = line.split_once(':').ok_or(HeadError::Header)?;
            if name.is_empty() || !name.bytes().all(is_token) {
                return Err(HeadError::Header); // also a folded line, and a space before the colon
            }
            let value = value.trim_matches([' ', '\t']);
            if value.bytes().any(|b| b.is_ascii_control() && b != b'\t') {
                return Err(HeadError::Header);
            }
            fields.add(name, value)?;
        }
        Ok((first, fields))
    }

    fn add(&mut self, name: &str, value: &str) -> Result<(), HeadError> {
        let is = |known: &str| name.eq_ignore_ascii_case(known);
        if is("host") {
            self.hosts += 1;
        } else if is("content-length") {
            if value.is_empty() || !value.bytes().all(|b| b.is_ascii_digit()) {
                return Err(HeadError::Length);
            }
            let length = value.parse().map_err(|_| HeadError::Length)?;
            if self.content_length.is_some_and(|other| other != length) {
                return Err(HeadError::Length);
            }
            self.content_length = Some(length);
        } else if is("transfer-encoding") {
            if self.chunked || !value.eq_ignore_ascii_case("chunked") {
                return Err(HeadError::Coding);
            }
            self.chunked = true;
        } else if is("connection") {
            for token in value.split(',').map(|t| t.trim_matches([' ', '\t'])) {
                self.close |= token.eq_ignore_ascii_case("close");
                self.keep_alive |= token.eq_ignore_ascii_case("keep-alive");
            }
        } else if is("expect") {
            self.expects_continue |= value.eq_ignore_ascii_case("100-continue");
        } else if is("x-sha256") {
            self.sha256 = Some(value.to_owned());
        }
        Ok(())
    }

    fn length(&self) -> Result<Length, HeadError> {
        match (self.content_length, self.chunked) {
            (None, false) => Ok(Length::Absent),
            (Some(length), false) => Ok(Length::Exactly(length)),
            (None, true) => Ok(Length::Chunked),
            // Two framings are how requests are smuggled (RFC 9112 11.2).
            (Some(_), true) => Err(HeadError::Length),
        }
    }
}

fn is_http_11(version: &str) -> Result<bool, HeadError> {
    match version {
        "HTTP/1.1" => Ok(true),
        "HTTP/1.0" => Ok(false),
        _ if version.starts_with("HTTP/") => Err(HeadError::Version),
        _ => Err(HeadError::FirstLine),
    }
}

/// RFC 9112 3.2: the origin form as it is, of the absolute form its path, and the asterisk.
fn origin_form(target: &str) -> Result<String, HeadError> {
    if target.starts_with('/') || target == "*" {
        return Ok(target.to_owned());
    }
    let (_, rest) = target.split_once("://").ok_or(HeadError::FirstLine)?;
    Ok(rest.find('/').and_then(|slash| rest.get(slash..)).unwrap_or("/").to_owned())
}

fn ends_with_empty_line(head: &[u8]) -> bool {
    // An empty first line alone does not end a head.
    head.len() > 2 && (head.ends_with(b"\n\n") || head.ends_with(b"\n\r\n"))
}

/// RFC 9110 5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

const TARGET_BYTES_MAX: usize = 2048;
const FIELDS_MAX: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn request(text: &str) -> Result<Request, HeadError> {
        Request::parse(text.as_bytes())
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_request_or_a_named_refusal(head in prop::collection::vec(any::<u8>(), 0..600)) {
            let _ = Request::parse(&head);
            let _ = Response::parse(&head);
        }

        #[test]
        fn almost_requests_do_not_panic(head in "(GET|POST|X) [/a-z:]{0,9} HTTP/1.[0-2](\r?\n[A-Za-z-]{0,17}:? ?[a-z0-9,]{0,9}){0,4}\r\n\r\n") {
            let _ = Request::parse(head.as_bytes());
        }

        #[test]
        fn the_end_is_found_wherever_the_reads_split(cuts in prop::collection::vec(1usize..12, 1..40)) {
            let text = b"GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\nGET /next HTTP/1.1\r\n";
            let mut end = HeadEnd::default();
            let mut seen = 0;
            for cut in cuts {
                seen = (seen + cut).min(text.len());
                let found = end.find(&text[..seen]).unwrap();
                prop_assert_eq!(found, (seen >= 33).then_some(33));
                if found.is_some() { break; }
            }
        }
    }

    #[test]
    fn a_request_is_read_as_sent() {
        let r =
            request("POST /echo?x HTTP/1.1\r\nHost: h\r\ncontent-length: 12\r\nExpect: 100-continue\r\n\r\n").unwrap();
        assert_eq!((r.method, r.target.as_str(), r.length), (Method::Post, "/echo?x", Length::Exactly(12)));
        assert!(r.keep_alive && r.expects_continue);
        assert!(!request("GET / HTTP/1.1\r\nHost: h\r\nConnection: x, close\r\n\r\n").unwrap().keep_alive);
        assert!(!request("GET / HTTP/1.0\r\n\r\n").unwrap().keep_alive);
        assert!(request("GET / HTTP/1.0\nConnection: Keep-Alive\n\n").unwrap().keep_alive);
        assert_eq!(request("GET http://h/a HTTP/1.1\r\nHost: h\r\n\r\n").unwrap().target, "/a");
        assert_eq!(request("\r\nGET / HTTP/1.0\r\n\r\n").unwrap().target, "/");
    }

    #[test]
    fn each_refusal_has_its_name_and_status() {
        let long = format!("GET /{} HTTP/1.1\r\nHost: h\r\n\r\n", "a".repeat(3000));
        let many = format!("GET / HTTP/1.1\r\nHost: h\r\n{}\r\n", "A: b\r\n".repeat(101));
        for (text, error, status) in [
            ("GET /\r\n\r\n", HeadError::FirstLine, 400),
            ("GET  / HTTP/1.1\r\nHost: h\r\n\r\n", HeadError::FirstLine, 400),
            ("GET nothing HTTP/1.1\r\nHost: h\r\n\r\n", HeadError::FirstLine, 400),
            ("GET / HTTP/1.1\r\n\r\n", HeadError::Host, 400),
            ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", HeadError::Host, 400),
            ("GET / HTTP/1.1\r\nHost : a\r\n\r\n", HeadError::Header, 400),
            ("GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n", HeadError::Header, 400),
            ("GET / HTTP/1.1\r\nHost: a\rb\r\n\r\n", HeadError::Header, 400),
            ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\n", HeadError::Length, 400),
            ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", HeadError::Length, 400),
            (
                "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
                HeadError::Length,
                400,
            ),
            ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", HeadError::Coding, 501),
            ("GET / HTTP/2.0\r\n\r\n", HeadError::Version, 505),
            (&long, HeadError::Target, 414),
            (&many, HeadError::TooLarge, 431),
        ] {
            assert_eq!(request(text).unwrap_err(), error, "{text}");
            assert_eq!(error.status().0, status);
        }
        assert_eq!(HeadEnd::default().find(&[b'a'; HEAD_BYTES_MAX]), Err(HeadError::TooLarge));
    }

    #[test]
    fn a_response_is_read_as_sent() {
        let r = Response::parse(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-Sha256: ab\r\n\r\n").unwrap();
        assert_eq!((r.status, r.length, r.sha256.as_deref()), (200, Length::Chunked, Some("ab")));
        assert_eq!(Response::parse(b"HTTP/1.0 404\r\n\r\n").unwrap().status, 404);
        assert!(Response::parse(b"HTTP/1.1 20 OK\r\n\r\n").is_err());
    }
}
