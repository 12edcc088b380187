//! burstlane-spec
