//! HTTP/1.1 (RFC 9110, RFC 9112) as far as a demonstration needs it: a server's side of a connection and a client's
//! GET. Not a web server: no files, no TLS, no compression.

pub mod body;
pub mod bytes;
pub mod client;
pub mod head;
pub mod page;
pub mod server;

/// Bytes of a message head at most, first line included.
pub const HEAD_BYTES_MAX: usize = 8 * 1024;
