//! netpol's development tasks: the parts that its tests use too.

pub mod agent;
pub mod apiserver;
pub mod demo;
pub mod lab;
