//! The format of archives, the settings, and the documents. These tests need nothing but Rust, except where their
//! names say that they compare with another program.

#[path = "../support/mod.rs"]
mod support;

mod document;
mod golden_archive;
mod layers;
mod manifests;
mod manual;
mod part_damage;
mod parts;
mod readme;
mod settings;
mod signature;
