//! What the declared policies mean, row by row.

mod agreement;
mod cluster_policy;
mod dsl;
mod naive;
mod network_policy;
mod random;
