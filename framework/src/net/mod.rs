//! The network layer of one lane: from Ethernet to the transport header, and back.
