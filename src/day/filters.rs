//! Which segments' summaries an account wants.

use crate::format::row::Segment;

/// The channel classes and segment types whose summaries are requested. An empty list admits all.
///
/// A segment that the filters leave out is archived too, with the status `SKIPPED` in place of its summaries.
///
/// # Examples
/// ```
/// use cxvault::day::filters::Filters;
///
/// let filters = Filters {
///     channel_classes: vec!["VOICE".to_owned()],
///     segment_types: Vec::new(),
/// };
/// assert!(filters.admit(Some("voice"), Some("INBOUND")));
/// assert!(!filters.admit(Some("DIGITAL"), None));
/// ```
#[derive(Debug, Clone, Default)]
pub struct Filters {
    /// Channel classes as RingCX spells them; letter case is ignored.
    pub channel_classes: Vec<String>,
    /// Segment types as RingCX spells them; letter case is ignored.
    pub segment_types: Vec<String>,
}

impl Filters {
    /// Returns whether summaries of such a segment are wanted.
    ///
    /// A segment without a class or type passes that filter: leaving it out would be a guess.
    pub fn admit(&self, channel_class: Option<&str>, segment_type: Option<&str>) -> bool {
        passes(&self.channel_classes, channel_class) && passes(&self.segment_types, segment_type)
    }

    /// Returns whether summaries of `segment` are wanted, by its metadata.
    pub(super) fn admit_segment(&self, segment: &Segment) -> bool {
        let metadata = &segment.metadata;
        self.admit(
            metadata.channel_class.as_deref(),
            metadata.segment_type.as_deref(),
        )
    }
}

fn passes(wanted: &[String], found: Option<&str>) -> bool {
    wanted.is_empty()
        || found.is_none_or(|found| wanted.iter().any(|name| name.eq_ignore_ascii_case(found)))
}
