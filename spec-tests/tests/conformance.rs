//! The bundled transports before the conformance kit: every law that their promises call for.

/// See the crate `burstlane-tcp`.
mod tcp {
    burstlane_spec::conformance! { burstlane_spec_bundled::tcp() }
}

/// See the crate `burstlane-rudp`.
mod rudp {
    burstlane_spec::conformance! { burstlane_spec_bundled::rudp() }
}

/// See the crate `burstlane-udp`.
mod udp {
    burstlane_spec::conformance! { burstlane_spec_bundled::udp() }
}

/// See `examples/stop-and-wait`.
mod stop_and_wait {
    burstlane_spec::conformance! { burstlane_spec_bundled::stop_and_wait() }
}
