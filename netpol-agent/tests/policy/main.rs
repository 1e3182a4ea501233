//! What the declared policies mean, row by row.

mod dsl;
mod network_policy;
