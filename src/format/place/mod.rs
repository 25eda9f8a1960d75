//! Where each object of an archive lies.

pub mod key;
