//! netpol's development tasks: the parts that its tests use too.

pub mod agent;
pub mod apiserver;
pub mod cache;
mod command;
pub mod confined;
pub mod demo;
pub mod helm;
pub mod image;
pub mod kubernetes;
pub mod lab;
pub mod manifest;
pub mod node;
