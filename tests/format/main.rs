//! The format of archives, the settings and the documents.

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
