//! `Core<T>`: everything between the network layer and one transport.
