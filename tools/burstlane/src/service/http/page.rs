//! What a server says of itself: the page at `/`, and its counters.

use std::cell::Cell;
use std::fmt;

use super::bytes::Digests;

/// One server, shared by its connections.
#[derive(Debug, Default)]
pub struct Site {
    /// The packet source, as it was given.
    pub driver: String,
    /// Our addresses.
    pub addresses: Vec<String>,
    /// Digests of `/bytes/N`.
    pub digests: Digests,
    /// Requests with a well-formed head.
    pub requests: Cell<u64>,
    /// Answers that refuse: 4xx and 5xx.
    pub refusals: Cell<u64>,
}

impl Site {
    /// The page for the client at `peer`.
    pub fn page(&self, peer: &str) -> String {
        let rows = [
            ("You are", peer.to_owned()),
            ("We are", self.addresses.join(", ")),
            ("Packets by", self.driver.clone()),
            ("Request", format!("number {} of this server", self.requests.get())),
        ];
        let mut table = String::new();
        for (name, value) in rows {
            table.push_str(&format!("<tr><th>{name}<td>{}\n", Escaped(&value)));
        }
        format!(
            "<!doctype html>\n<html lang=en>\n<meta charset=utf-8>\n<meta name=viewport content=\"width=device-width\">\n\
             <title>Burstlane</title>\n<style>{STYLE}</style>\n<h1>Burstlane answered</h1>\n\
             <p>No kernel socket served this page. Ethernet, ARP and NDP, IP, ICMP and TCP ran in one ordinary process.\n\
             <table>\n{table}</table>\n<p>Also here: <a href=/bytes/1048576>/bytes/N</a> (N reproducible bytes, with \
             X-Sha256), <code>POST /echo</code>, echo on port 7, discard on port 9.\n</html>\n"
        )
    }
}

/// Text that means nothing to HTML.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| match c {
            '&' => f.write_str("&amp;"),
            '<' => f.write_str("&lt;"),
            '>' => f.write_str("&gt;"),
            '"' => f.write_str("&quot;"),
            c => write!(f, "{c}"),
        })
    }
}

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:40em;margin:3em auto;padding:0 1em;color:#223;\
    background:#fff}h1{font-size:1.6em}th{text-align:left;padding-right:1.5em;font-weight:600}code,td{font-family:\
    ui-monospace,monospace}@media(prefers-color-scheme:dark){body{color:#dde;background:#15171c}a{color:#8cf}}";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_says_who_asked_and_who_answered_and_escapes_it() {
        let site = Site { driver: "tap:<x>".into(), addresses: vec!["10.77.0.2".into()], ..Site::default() };
        let page = site.page("10.77.0.1:5000");
        assert!(page.contains("10.77.0.1:5000") && page.contains("10.77.0.2") && page.contains("tap:&lt;x&gt;"));
        assert!(page.len() < 2048);
    }
}
