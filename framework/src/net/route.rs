//! Routes: which interface, and which next hop, leads to an address (RFC 1122 3.3.1). Longest prefix first; a table of
//! tens of entries, looked at when a path is made and not per packet.

use thiserror::Error;

use crate::addr::Ip;

/// Why there is no way to an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RouteError {
    /// No route covers it, or a gateway is on none of our links.
    #[error("no route to the address")]
    NoRoute,
    /// The local address asked for is not ours, or of the other family.
    #[error("the local address is not one of this host")]
    NotLocal,
    /// The interface has no address of this family.
    #[error("the interface has no address of this family")]
    NoSource,
    /// As many as the configuration allows are in use.
    #[error("the table is full")]
    TableFull,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Route {
    pub(crate) network: Ip,
    pub(crate) prefix_bits: u8,
    /// `None`: on the link itself.
    pub(crate) gateway: Option<Ip>,
    pub(crate) netif: u16,
}

#[derive(Debug, Default)]
pub(crate) struct Routes(Vec<Route>);

impl Routes {
    /// Adds a route, or replaces the one to the same network out of the same interface.
    pub(crate) fn add(&mut self, route: Route) -> Result<(), RouteError> {
        let same = |r: &Route| {
            r.prefix_bits == route.prefix_bits
                && r.netif == route.netif
                && r.network.in_prefix(route.network, r.prefix_bits)
        };
        if let Some(old) = self.0.iter_mut().find(|r| same(r)) {
            *old = route;
            return Ok(());
        }
        if self.0.len() >= ROUTES_MAX {
            return Err(RouteError::TableFull);
        }
        // Longest first; of equals, the first added. The families never meet in a lookup.
        let at = self.0.iter().position(|r| r.prefix_bits < route.prefix_bits).unwrap_or(self.0.len());
        self.0.insert(at, route);
        Ok(())
    }

    /// The best route to `remote`, out of `netif` if that is given.
    pub(crate) fn lookup(&self, remote: Ip, netif: Option<u16>) -> Option<&Route> {
        self.0.iter().find(|r| netif.is_none_or(|n| n == r.netif) && remote.in_prefix(r.network, r.prefix_bits))
    }
}

const ROUTES_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Whatever the order of adding, the longest prefix wins.
        #[test]
        fn the_longest_prefix_wins(nets in proptest::collection::vec((any::<[u8; 4]>(), 0u8..=32), 1..40), remote: [u8; 4]) {
            let mut routes = Routes::default();
            for (net, prefix_bits) in &nets {
                routes.add(Route { network: Ip::v4(*net), prefix_bits: *prefix_bits, gateway: None, netif: 1 }).unwrap();
            }
            let best = nets.iter().filter(|(n, bits)| Ip::v4(remote).in_prefix(Ip::v4(*n), *bits)).map(|(_, bits)| *bits).max();
            prop_assert_eq!(routes.lookup(Ip::v4(remote), None).map(|r| r.prefix_bits), best);
        }
    }
}
