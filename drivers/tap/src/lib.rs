//! burstlane-tap
