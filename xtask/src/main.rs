//! `cargo xtask …`: netpol's development tasks.

fn main() {}
