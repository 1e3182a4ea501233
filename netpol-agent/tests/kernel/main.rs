//! The agent on real packets: pods are network namespaces, each test has a node of its own, so that all may run at
//! once. As root, with the kernel features that the README names.

#![expect(clippy::unwrap_used, clippy::panic, reason = "the helpers of tests fail as tests do")]

mod agent;
mod attach;
mod attacks;
mod bad_input;
mod capabilities;
mod churn;
mod headers;
mod hubble;
mod outcomes;
mod prometheus;
mod start;
