//! netpol's development tasks: the parts that its tests use too.

pub mod agent;
pub mod apiserver;
mod command;
pub mod demo;
pub mod kubernetes;
pub mod lab;
pub mod node;
