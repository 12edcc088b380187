//! The narrow waist: what a transport protocol implements, and what it is given.
