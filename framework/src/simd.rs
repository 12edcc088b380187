//! Copy, checksum and prefetch: the few loops worth vector instructions, each with a portable twin.
