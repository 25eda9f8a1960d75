//! Commands around the archive: first settings, keys, checks before the first night, the demo and the manual.

pub mod config;
pub mod demo;
pub mod doctor;
pub mod init;
pub mod keygen;
pub mod manual;
pub mod simulate;
