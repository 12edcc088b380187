//! burstlane-udp
