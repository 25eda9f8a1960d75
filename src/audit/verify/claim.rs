//! What a verification may claim: the verdict, and what it was read from.
//!
//! A verdict that says more than was checked is worse than none. Each sentence here names one thing that was compared, or
//! that was not, and the same sentences stand in the terminal, in the event `verified` and on the report's page.

use crate::audit::verify::verifier::{Level, VerifyOptions, VerifyTotals};
use crate::format::text::{count, grouped};
use crate::outcome::Exit;

impl VerifyOptions {
    /// Returns the verdict in one line.
    pub fn verdict(&self, totals: &VerifyTotals) -> String {
        if totals.exit() == Exit::Integrity {
            return format!("VIOLATED: {}", count(totals.violations, "violation"));
        }
        let unchanged = match self.level {
            Level::Quick => {
                "no record was changed, and every file has the length that its record names; no file was read"
            }
            Level::Full => {
                "no record and no file was changed; the rows in the files were not examined"
            }
            Level::Deep => "no record, no file and no row was changed",
        };
        let scope = if self.is_whole() {
            ""
        } else {
            ", for the files of the chosen days and sub-accounts"
        };
        // Where the end of a chain was compared with nothing, later records may have been cut off.
        let holds = match self.ends_are_known() {
            true => "HOLDS",
            false => "HOLDS up to the heads shown",
        };
        match (totals.exit(), totals.days_disposed) {
            (Exit::Gaps, _) => {
                format!(
                    "{holds}, WITH GAPS: some days or summaries are missing; {unchanged}{scope}"
                )
            }
            (_, 0) => format!("{holds}: nothing is missing; {unchanged}{scope}"),
            _ => {
                format!(
                    "{holds}: nothing is missing except what was disposed of; {unchanged}{scope}"
                )
            }
        }
    }

    /// Returns whether the ends of the chains were compared with a second source.
    fn ends_are_known(&self) -> bool {
        !self.heads.is_empty() || self.anchors.is_some()
    }

    /// Returns what was checked and what was not, a sentence each.
    pub fn checked(&self, totals: &VerifyTotals) -> Vec<String> {
        vec![
            self.files_checked(totals),
            self.signatures_checked(totals),
            self.ends_checked(),
            locks_checked(totals).to_owned(),
        ]
    }

    /// Returns whether all days of all sub-accounts were checked.
    fn is_whole(&self) -> bool {
        self.sub_accounts.is_empty()
            && self.subset.is_none()
            && self.days.from.is_none()
            && self.days.to.is_none()
    }

    fn files_checked(&self, totals: &VerifyTotals) -> String {
        let files = count(totals.files, "file");
        match self.level {
            Level::Quick if totals.store_asked => format!(
                "{files}: name and length as the store lists them, and the checksum that the store reports; none was read"
            ),
            Level::Quick => {
                format!("{files}: name and length as the folder lists them; none was read")
            }
            Level::Full => format!("{files}: read, and compared with the SHA-256 in their records"),
            Level::Deep => format!(
                "{files}: read, and compared with the SHA-256 in their records; {} checked",
                count(totals.rows, "row")
            ),
        }
    }

    /// Says whose keys count: valid signatures by unknown keys prove only that one key signed.
    fn signatures_checked(&self, totals: &VerifyTotals) -> String {
        let (signed, all) = (totals.signed_manifests, totals.manifests);
        match (signed, self.allowed.is_empty()) {
            (0, _) => {
                "signatures: none; whoever can write to the store could have written all of this"
                    .to_owned()
            }
            (_, true) => format!(
                "signatures: {} of {} are valid, by keys that the archive itself lists; whose keys they are was not checked (--allowed-signers)",
                grouped(signed),
                count(all, "record")
            ),
            (_, false) => format!(
                "signatures: {} of {} are by keys in the allowed signers",
                grouped(signed),
                count(all, "record")
            ),
        }
    }

    fn ends_checked(&self) -> String {
        let expected = match self.heads.len() {
            0 => None,
            n => Some(count(n as u64, "expected head")),
        };
        let anchored = self
            .anchors
            .as_ref()
            .map(|anchors| format!("the anchors at {}", anchors.root()));
        let sources: Vec<String> = expected.into_iter().chain(anchored).collect();
        match sources.is_empty() {
            true => "ends of the chains: compared with the roster alone, and the roster's end with nothing (--expect-head, --anchor)".to_owned(),
            false => format!("ends of the chains: compared with the roster and with {}", sources.join(" and ")),
        }
    }
}

fn locks_checked(totals: &VerifyTotals) -> &'static str {
    match totals.store_asked {
        true => "versions, locks and legal holds: as the store reports them",
        false => "versions, locks and legal holds: a folder has none",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::signature::AllowedSigners;
    use crate::format::time::Days;

    fn options(level: Level) -> VerifyOptions {
        VerifyOptions {
            days: Days::default(),
            sub_accounts: Vec::new(),
            level,
            subset: None,
            heads: Vec::new(),
            anchors: None,
            allowed: AllowedSigners::default(),
        }
    }

    #[test]
    fn no_level_claims_what_it_has_not_read() {
        let totals = VerifyTotals {
            manifests: 3,
            signed_manifests: 3,
            files: 2,
            rows: 40,
            ..VerifyTotals::default()
        };
        for (level, verdict, files) in [
            (Level::Quick, "no file was read", "none was read"),
            (
                Level::Full,
                "the rows in the files were not examined",
                "read, and compared",
            ),
            (Level::Deep, "no row was changed", "40 rows checked"),
        ] {
            let options = options(level);
            assert!(
                options
                    .verdict(&totals)
                    .starts_with("HOLDS up to the heads shown: "),
                "{level:?}"
            );
            assert!(options.verdict(&totals).contains(verdict), "{level:?}");
            let checked = options.checked(&totals).join("\n");
            assert!(checked.contains(files), "{checked}");
            assert!(
                checked.contains("whose keys they are was not checked"),
                "{checked}"
            );
            assert!(
                checked.contains("the roster's end with nothing"),
                "{checked}"
            );
            assert!(checked.contains("a folder has none"), "{checked}");
        }
        let few = VerifyOptions {
            subset: Some((1, 2)),
            ..options(Level::Quick)
        };
        assert!(few.verdict(&totals).contains("of the chosen days"));
    }
}
