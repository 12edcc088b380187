//! burstlane-sim
