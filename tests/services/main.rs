//! The `cxvault` program with real services: MinIO, DuckDB and a browser.

#[path = "../support/mod.rs"]
mod support;

mod anchors;
mod auditing;
mod copies;
mod doctor;
mod minio_day;
mod operator;
mod packs;
mod records;
mod report;
mod roster;
mod sql_duckdb;
mod store_contract;
