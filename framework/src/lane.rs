//! One core: receive, expire, application, transmit.
