//! The client's side: one GET, its body handed over piece by piece.

use thiserror::Error;

use super::super::{Buffer, ByteStream, Interest, would_block};
use super::body::{BodyDecoder, BodyError};
use super::head::{HeadEnd, HeadError, Response};
use crate::spec::Url;

/// One GET on one connection.
#[derive(Debug)]
pub struct GetConn {
    output: Buffer,
    input: Buffer,
    head_end: HeadEnd,
    response: Option<Response>,
    body: BodyDecoder,
    body_bytes: u64,
}

/// How far [`GetConn::pump`] came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Nothing to do until the stream is ready as it says.
    Waiting(Interest),
    /// There is more to do at once.
    Again,
    /// The whole body was handed over.
    Done,
}

/// Why there is no answer, or not all of it.
#[derive(Debug, Error)]
pub enum GetError {
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Stream(std::io::Error),
    /// The answer's head makes no sense.
    #[error("the server's answer is not HTTP: {0}")]
    Head(#[from] HeadError),
    /// The body's framing makes no sense.
    #[error("the body's framing is broken: {0}")]
    Body(#[from] BodyError),
    /// The server finished before its answer was complete.
    #[error("the server closed the connection after {0} bytes of the body, before its end")]
    Truncated(u64),
    /// The body could not be written where it was to go.
    #[error("cannot write the body: {0}")]
    Sink(std::io::Error),
}

impl GetConn {
    /// Will ask for `url` as soon as it is pumped.
    pub fn new(url: &Url) -> Self {
        let request = format!(
            "GET {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: burstlane\r\nAccept: */*\r\nConnection: close\r\n\r\n",
            url.target, url.host
        );
        let mut output = Buffer::new(request.len());
        output.push(request.as_bytes());
        let body = BodyDecoder::UntilClose;
        Self {
            output,
            input: Buffer::new(INPUT_BYTES),
            head_end: HeadEnd::default(),
            response: None,
            body,
            body_bytes: 0,
        }
    }

    /// The answer's head, once it is there.
    pub fn response(&self) -> Option<&Response> {
        self.response.as_ref()
    }

    /// Bytes of the body so far.
    pub fn body_bytes(&self) -> u64 {
        self.body_bytes
    }

    /// Does what can be done now; body bytes go to `sink`.
    ///
    /// # Errors
    /// There will be no (further) answer.
    pub fn pump(
        &mut self,
        stream: &mut dyn ByteStream,
        sink: &mut dyn FnMut(&[u8]) -> std::io::Result<()>,
    ) -> Result<Progress, GetError> {
        match self.output.drain_to(stream) {
            Ok(()) => {}
            Err(e) if would_block(&e) => return Ok(Progress::Waiting(Interest { read: true, write: true })),
            Err(e) => return Err(GetError::Stream(e)),
        }
        for _ in 0..READS_PER_PUMP_MAX {
            if self.digest_input(sink)? {
                return Ok(Progress::Done);
            }
            match self.input.fill_from(stream) {
                Ok(0) if self.response.is_some() && self.body == BodyDecoder::UntilClose => return Ok(Progress::Done),
                Ok(0) => return Err(GetError::Truncated(self.body_bytes)),
                Ok(_) => {}
                Err(e) if would_block(&e) => return Ok(Progress::Waiting(Interest { read: true, write: false })),
                Err(e) => return Err(GetError::Stream(e)),
            }
        }
        Ok(Progress::Again)
    }

    /// Uses up the input; whether the answer is complete. Leaves room to read into.
    fn digest_input(&mut self, sink: &mut dyn FnMut(&[u8]) -> std::io::Result<()>) -> Result<bool, GetError> {
        while self.response.is_none() {
            let Some(head_bytes) = self.head_end.find(self.input.filled())? else { return Ok(false) };
            let response = Response::parse(self.input.filled().get(..head_bytes).unwrap_or_default())?;
            self.input.consume(head_bytes);
            // Interim answers (RFC 9110 15.2) precede the real one; each is read off the connection, so they end.
            if response.status >= 200 {
                self.body = BodyDecoder::for_response(response.length, response.status);
                self.response = Some(response);
            }
        }
        while !self.body.is_done() && !self.input.is_empty() {
            let step = self.body.step(self.input.filled())?;
            let data = self.input.filled().get(step.data).unwrap_or_default();
            if !data.is_empty() {
                sink(data).map_err(GetError::Sink)?;
                self.body_bytes += data.len() as u64;
            }
            self.input.consume(step.consumed);
        }
        Ok(self.body.is_done())
    }
}

const INPUT_BYTES: usize = 64 * 1024;
const READS_PER_PUMP_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::super::super::pipe::Pipe;
    use super::*;
    use proptest::prelude::*;

    /// The outcome of a GET that gets `answer`: status and body.
    fn get(answer: &[u8], steps: &[usize]) -> Result<(u16, Vec<u8>), GetError> {
        let mut pipe = Pipe::new(answer, steps);
        let mut conn = GetConn::new(&"http://10.77.0.2/x".parse().unwrap());
        let mut body = Vec::new();
        loop {
            let progress = conn.pump(&mut pipe, &mut |data| {
                body.extend_from_slice(data);
                Ok(())
            })?;
            if progress == Progress::Done {
                assert!(pipe.sent.starts_with(b"GET /x HTTP/1.1\r\nHost: 10.77.0.2\r\n"));
                assert_eq!(conn.body_bytes(), body.len() as u64);
                return Ok((conn.response().unwrap().status, body));
            }
        }
    }

    proptest! {
        #[test]
        fn a_body_arrives_by_each_framing(data in prop::collection::vec(any::<u8>(), 0..5000), steps in prop::collection::vec(1usize..700, 1..6)) {
            let by_length = [format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", data.len()).as_bytes(), &data].concat();
            prop_assert_eq!(get(&by_length, &steps).unwrap(), (200, data.clone()));
            let by_close = [b"HTTP/1.0 200 OK\r\n\r\n".as_slice(), &data].concat();
            prop_assert_eq!(get(&by_close, &steps).unwrap(), (200, data.clone()));
            let mut chunked = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
            for chunk in data.chunks(99) {
                chunked.extend_from_slice(&[format!("{:x}\r\n", chunk.len()).as_bytes(), chunk, b"\r\n"].concat());
            }
            chunked.extend_from_slice(b"0\r\n\r\n");
            prop_assert_eq!(get(&chunked, &steps).unwrap(), (200, data));
        }

        #[test]
        fn any_answer_ends(answer in prop::collection::vec(any::<u8>(), 0..3000), steps in prop::collection::vec(1usize..700, 1..6)) {
            let _ = get(&answer, &steps);
        }
    }

    #[test]
    fn what_is_cut_short_is_an_error() {
        assert!(matches!(get(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab", &[9]), Err(GetError::Truncated(2))));
        assert!(matches!(get(b"", &[9]), Err(GetError::Truncated(0))));
        assert!(matches!(get(b"SSH-2.0-x\r\n\r\n", &[9]), Err(GetError::Head(_))));
        assert_eq!(get(b"HTTP/1.1 204 No Content\r\n\r\n", &[9]).unwrap().0, 204);
    }
}
