//! What the declared policies mean, row by row.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail as tests do"
)]

mod addresses;
mod agreement;
mod cluster_policy;
mod dsl;
mod expected;
mod list;
mod naive;
mod network_policy;
mod random;
mod shop;
