//! netpol's development tasks, and the lab that its kernel tests and its demo run in.

pub mod lab;
