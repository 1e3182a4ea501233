//! This library is empty on purpose. Because of it, `netpol-agent` can declare the package as a build dependency, so
//! that Cargo rebuilds the agent when the programs change. The programs are in `main.rs`.
#![no_std]
