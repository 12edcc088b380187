//! The small values of the command line: a driver, an address with its prefix, a URL. Each says what it expected.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

use burstlane_spec::scenario::text::units;

/// Which packet source: `tap:NAME`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DriverSpec {
    /// A TAP device of the kernel, by name.
    Tap(String),
}

impl FromStr for DriverSpec {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, String> {
        const EXPECTED: &str = "expected tap:NAME, for example tap:burst0";
        let Some((kind, name)) = s.split_once(':') else {
            return Err(format!("{EXPECTED} (no ':' in '{s}')"));
        };
        if kind != "tap" {
            return Err(format!("there is no driver '{kind}'; {EXPECTED}"));
        }
        if name.is_empty() || name.len() > INTERFACE_NAME_BYTES_MAX {
            return Err(format!("an interface name has 1 to {INTERFACE_NAME_BYTES_MAX} bytes; {EXPECTED}"));
        }
        if name == "." || name == ".." || name.contains(|c: char| c == '/' || c == ':' || c.is_whitespace()) {
            return Err(format!("'{name}' is no interface name; {EXPECTED}"));
        }
        Ok(Self::Tap(name.to_owned()))
    }
}

impl fmt::Display for DriverSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tap(name) => write!(f, "tap:{name}"),
        }
    }
}

/// An address of ours and the length of its network's prefix: `10.77.0.2/24`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cidr {
    /// The address.
    pub address: IpAddr,
    /// Bits of the network, at most 32 or 128 by family.
    pub prefix_bits: u8,
}

impl Cidr {
    /// Whether `other` is on the same network.
    pub fn contains(&self, other: IpAddr) -> bool {
        burstlane::addr::Ip::from(other).in_prefix(self.address.into(), self.prefix_bits)
    }
}

impl FromStr for Cidr {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, String> {
        const EXPECTED: &str = "expected ADDRESS/PREFIX, for example 10.77.0.2/24 or fd77::2/64";
        let Some((address, bits)) = s.split_once('/') else {
            return Err(format!("{EXPECTED} (the /PREFIX is missing)"));
        };
        let address: IpAddr = address.parse().map_err(|_| format!("'{address}' is no IP address; {EXPECTED}"))?;
        let bits_max = if address.is_ipv4() { 32 } else { 128 };
        let prefix_bits = bits.parse().ok().filter(|b: &u8| (1..=bits_max).contains(b)).ok_or_else(|| {
            let family = if address.is_ipv4() { "IPv4" } else { "IPv6" };
            format!("an {family} prefix has 1 to {bits_max} bits, not '{bits}'; {EXPECTED}")
        })?;
        if address.is_unspecified() || address.is_multicast() || address.is_loopback() {
            return Err(format!("{address} cannot be the address of an interface; {EXPECTED}"));
        }
        Ok(Self { address, prefix_bits })
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix_bits)
    }
}

/// `http://ADDRESS[:PORT][/PATH]`. There is no name resolution, so the host is an IP address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    /// Where to connect.
    pub server: SocketAddr,
    /// What stands in the Host header.
    pub host: String,
    /// The path with its query; begins with a slash.
    pub target: String,
}

impl FromStr for Url {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, String> {
        const EXPECTED: &str =
            "expected http://ADDRESS[:PORT]/PATH, for example http://10.77.0.1:8000/ or http://[fd77::1]/";
        let rest = match s.split_once("://") {
            Some(("http", rest)) => rest,
            Some(("https", _)) => return Err(format!("https is not implemented; {EXPECTED}")),
            Some((scheme, _)) => return Err(format!("there is no scheme '{scheme}'; {EXPECTED}")),
            None => return Err(EXPECTED.to_owned()),
        };
        let (host, path) = rest.find('/').map_or((rest, ""), |slash| rest.split_at(slash));
        let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
        let server = match bare.unwrap_or(host).parse::<IpAddr>() {
            Ok(ip) if ip.is_ipv4() == bare.is_none() => SocketAddr::new(ip, HTTP_PORT),
            _ => host.parse().map_err(|_| format!("'{host}' is no IP address (names are not resolved); {EXPECTED}"))?,
        };
        let path = path.split('#').next().unwrap_or_default();
        if path.bytes().any(|b| !b.is_ascii_graphic()) {
            return Err(format!("a path has no spaces and no bytes beyond ASCII: percent-encode them; {EXPECTED}"));
        }
        let target = if path.is_empty() { "/".to_owned() } else { path.to_owned() };
        Ok(Self { server, host: host.to_owned(), target })
    }
}

/// Seconds, also with a fraction: `2`, `0.5`.
pub fn seconds(s: &str) -> Result<Duration, String> {
    s.parse::<f64>()
        .ok()
        .and_then(|v| Duration::try_from_secs_f64(v).ok())
        .ok_or_else(|| "expected seconds, for example 10 or 0.5".to_owned())
}

/// A time with its unit: `20ms`, `1.5s`.
pub fn duration(s: &str) -> Result<Duration, String> {
    units::duration(s).ok_or_else(|| format!("expected {}", units::DURATION))
}

/// Bits a second: `10Mbit`.
pub fn rate(s: &str) -> Result<u64, String> {
    units::rate(s).filter(|rate| *rate > 0).ok_or_else(|| format!("expected {}", units::RATE))
}

/// `1%` or `0.01`.
pub fn probability(s: &str) -> Result<f64, String> {
    units::probability(s).ok_or_else(|| format!("expected {}", units::PROBABILITY))
}

/// Bytes that a simulated flow carries: `100k`.
pub fn bytes(s: &str) -> Result<u64, String> {
    units::size(s)
        .filter(|bytes| *bytes <= FLOW_BYTES_MAX)
        .ok_or_else(|| format!("expected {}, at most 64Mi", units::SIZE))
}

/// What a run keeps in memory is bounded, and no picture shows more.
const FLOW_BYTES_MAX: u64 = 64 << 20;
const INTERFACE_NAME_BYTES_MAX: usize = 15;
const HTTP_PORT: u16 = 80;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_string_is_a_value_or_an_error_with_an_example(s in "\\PC{0,24}") {
            for error in [s.parse::<DriverSpec>().err(), s.parse::<Cidr>().err(), s.parse::<Url>().err()].into_iter().flatten() {
                prop_assert!(error.contains("for example"), "{}", error);
            }
        }

        #[test]
        fn what_is_printed_is_read_back(address: std::net::Ipv6Addr, bits in 1u8..=128) {
            prop_assume!(!address.is_unspecified() && !address.is_multicast() && !address.is_loopback());
            let cidr = Cidr { address: address.into(), prefix_bits: bits };
            prop_assert_eq!(cidr.to_string().parse(), Ok(cidr));
        }
    }

    #[test]
    fn a_driver_is_named_by_kind_and_device() {
        assert_eq!("tap:burst0".parse(), Ok(DriverSpec::Tap("burst0".into())));
        for bad in ["tap", "tap:", "eth:x", "tap:0123456789abcdef", "tap:a/b", "tap:a b", "tap:.."] {
            assert!(bad.parse::<DriverSpec>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_prefix_fits_its_family() {
        assert!("10.77.0.2/24".parse::<Cidr>().unwrap().contains("10.77.0.9".parse().unwrap()));
        for bad in ["10.77.0.2", "10.77.0.2/", "10.77.0.2/33", "10.77.0/24", "fd77::2/129", "0.0.0.0/8", "224.0.0.1/4"]
        {
            assert!(bad.parse::<Cidr>().is_err(), "{bad}");
        }
        assert!("10.77.0.2".parse::<Cidr>().unwrap_err().contains("/PREFIX is missing"));
    }

    #[test]
    fn a_url_has_an_address_a_port_and_a_path() {
        let url: Url = "http://10.77.0.1:8000/a?b=1#frag".parse().unwrap();
        assert_eq!((url.server.to_string().as_str(), url.target.as_str()), ("10.77.0.1:8000", "/a?b=1"));
        let url: Url = "http://[fd77::1]".parse().unwrap();
        assert_eq!((url.server.port(), url.host.as_str(), url.target.as_str()), (80, "[fd77::1]", "/"));
        for bad in
            ["10.0.0.1", "https://10.0.0.1/", "http://name/", "http://fd77::1/", "http://10.0.0.1:99999/", "http:///"]
        {
            assert!(bad.parse::<Url>().is_err(), "{bad}");
        }
    }
}
