//! Where each object of an archive lies.

pub mod key;
pub mod location;
pub mod plain_http;
