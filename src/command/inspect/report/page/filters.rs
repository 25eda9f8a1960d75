//! The filters of the page's templates: how numbers, sizes and times are written. A template uses one as `{{ days|grouped }}`.

use std::borrow::Borrow;

use askama::{Result, Values};

use crate::render;

/// A number with thousands separators, `1,234,567`.
#[askama::filter_fn]
pub(crate) fn grouped(number: impl Borrow<u64>, _: &dyn Values) -> Result<String> {
    Ok(render::grouped(*number.borrow()))
}

/// A number of bytes, such as `1.5 KiB`.
#[askama::filter_fn]
pub fn size(bytes: impl Borrow<u64>, _: &dyn Values) -> Result<String> {
    Ok(render::size(*bytes.borrow()))
}

/// UTC milliseconds as `20 Nov 2026, 06:00 UTC`.
#[askama::filter_fn]
pub fn instant(instant_ms: impl Borrow<i64>, _: &dyn Values) -> Result<String> {
    Ok(super::words::instant(*instant_ms.borrow()))
}
