//! burstlane-tcp
