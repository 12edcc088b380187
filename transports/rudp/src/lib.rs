//! burstlane-rudp
