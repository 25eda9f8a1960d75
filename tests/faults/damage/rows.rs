//! Rows, and what the files say about themselves. Each manifest and chain is made to follow, so
//! that only reading the files detects it.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch, StringArray};
use arrow::datatypes::{Field, Schema};
use cxvault::audit::verify::finding::FindingCode;
use cxvault::audit::verify::finding::FindingCode::*;
use cxvault::format::hash::digest::Digest;
use cxvault::format::part::Statement;
use cxvault::format::row::Row;
use cxvault::format::row::observation::{Observation, Status};
use cxvault::format::row::omit::Omission;
use cxvault::format::row::segment::Segment;

use super::archives::{BETWEEN, GAPS, LAST, MADE, SUB, manifest, parts};
use super::case::Level::{Deep, Full, Quick};
use super::case::Where::Folder;
use super::case::{Case, case};
use crate::support::damage::{Archive, Pen, file_of};

const DAY_MS: i64 = 86_400_000;

pub fn cases() -> Vec<Case> {
    [
        observations(),
        metadata(),
        order(),
        columns(),
        statements(),
        signed(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Changes the rows of a part, and what follows from them.
type Forgery = fn(&mut Archive, &str, &dyn Fn(&mut Vec<Row>));

/// Returns a case that changes a row whose agent summary has that status; all hashes follow, and no count does.
fn row(name: &str, n: u64, status: Status, code: FindingCode, change: fn(&mut Row)) -> Case {
    let (part, at) = MADE
        .unsigned
        .find_row(&parts(n), |row| row.agent.status == status);
    let object = if code == RowCounts {
        manifest(n)
    } else {
        part.clone()
    };
    case(format!("a row's {name}"), move |a| {
        a.forge_rows(&part, Pen::Own, |rows| change(&mut rows[at]))
    })
    .unsigned()
    .at(Deep)
    .finds(code, object)
}

fn present(name: &str, code: FindingCode, change: fn(&mut Row)) -> Case {
    row(name, BETWEEN, Status::Present, code, change)
}

fn bare(look: &mut Observation, status: Status) {
    *look = Observation {
        attempts: look.attempts,
        ..Observation::bare(status, &look.observed_by)
    };
}

fn observations() -> Vec<Case> {
    let text = |row: &mut Row| row.agent.summary = Some("The customer agreed.".to_owned());
    vec![
        present("text", SummaryHash, text),
        present("text, one blank at its end", SummaryHash, |row| {
            row.agent.summary.as_mut().unwrap().push(' ')
        }),
        present("hash", SummaryHash, |row| {
            row.agent.sha256 = Some(Digest::of(b"another"))
        }),
        row(
            "text by the AI",
            LAST,
            Status::Present,
            SummaryHash,
            |row| {
                row.auto.summary = Some("x".to_owned());
                row.auto.status = Status::Present;
                row.auto.sha256 = Some(Digest::of(b"y"));
                (row.auto.http_status, row.auto.fetched_at) = (Some(200), row.agent.fetched_at);
            },
        )
        .beside(&[RowCounts]),
        present("hash, taken away", RowContradicts, |row| {
            row.agent.sha256 = None
        }),
        present("text, taken away", RowContradicts, |row| {
            row.agent.summary = None
        }),
        present("status, PRESENT called EMPTY", RowContradicts, |row| {
            row.agent.status = Status::Empty
        })
        .beside(&[RowCounts]),
        present("status, PRESENT called FAILED", RowContradicts, |row| {
            row.agent.status = Status::Failed
        })
        .beside(&[RowCounts]),
        present("status, PRESENT made NOT_FOUND", RowCounts, |row| {
            let at = row.agent.fetched_at;
            bare(&mut row.agent, Status::NotFound);
            (row.agent.http_status, row.agent.fetched_at) = (Some(404), at);
        }),
        present("status, PRESENT made SKIPPED", RowCounts, |row| {
            bare(&mut row.agent, Status::Skipped);
            row.agent.attempts = 0;
        }),
        present("status, PRESENT made EMPTY", RowCounts, |row| {
            row.agent.status = Status::Empty;
            (row.agent.summary, row.agent.sha256) = (Some(String::new()), Some(Digest::of(b"")));
        }),
        row(
            "status, NOT_FOUND made PRESENT",
            BETWEEN,
            Status::NotFound,
            RowCounts,
            |row| {
                row.agent.status = Status::Present;
                (row.agent.summary, row.agent.sha256) =
                    (Some("x".to_owned()), Some(Digest::of(b"x")));
                row.agent.http_status = Some(200);
            },
        ),
        row(
            "status, NOT_FOUND with a text",
            BETWEEN,
            Status::NotFound,
            RowContradicts,
            |row| row.agent.summary = Some("x".to_owned()),
        ),
        row(
            "failure, by another class",
            GAPS,
            Status::Failed,
            RowCounts,
            |row| row.agent.error = Some("http_418".to_owned()),
        ),
        row(
            "status, FAILED made SKIPPED",
            GAPS,
            Status::Failed,
            RowCounts,
            |row| {
                bare(&mut row.agent, Status::Skipped);
                row.agent.attempts = 0;
            },
        ),
        present("bytes, said not to be UTF-8", RowContradicts, |row| {
            row.agent.binary = Some("eA==".to_owned())
        }),
        present("HTTP status", RowContradicts, |row| {
            row.agent.http_status = Some(206)
        }),
        present("attempts, none", RowContradicts, |row| {
            row.agent.attempts = 0
        }),
        present("time of the answer, taken away", RowContradicts, |row| {
            row.agent.fetched_at = None
        }),
        present(
            "time of the answer, years after the commit",
            RowTimes,
            |row| row.agent.fetched_at = row.agent.fetched_at.map(|at| at + 3_650 * DAY_MS),
        ),
        present(
            "time of the answer, years before the day",
            RowTimes,
            |row| row.agent.fetched_at = row.agent.fetched_at.map(|at| at - 3_650 * DAY_MS),
        ),
        present("server's date, before the day", RowTimes, |row| {
            row.agent.server_date = row.agent.fetched_at.map(|at| at - 30 * DAY_MS)
        }),
    ]
}

fn metadata() -> Vec<Case> {
    fn replace(row: &mut Row, from: &str, to: &str) {
        let raw = row.segment.raw.replace(from, to);
        assert_ne!(raw, row.segment.raw, "{from} stands in it");
        row.segment = Segment::read(raw);
    }
    vec![
        present("verbatim object, not its columns", RowContradicts, |row| {
            row.segment.raw = row
                .segment
                .raw
                .replace("\"segmentType\":\"", "\"segmentType\":\"X")
        }),
        present("column, not its verbatim object", RowContradicts, |row| {
            row.segment.metadata.segment_participant_id = Some("another agent".to_owned())
        }),
        present(
            "segment id, not its verbatim object",
            RowContradicts,
            |row| row.segment.metadata.segment_id = Some("another".to_owned()),
        ),
        present("verbatim object, no JSON any more", RowContradicts, |row| {
            row.segment.raw.truncate(9)
        }),
        present("agent group, in both", RowCounts, |row| {
            let group = row.segment.metadata.segment_agent_group_id.clone().unwrap();
            replace(row, &format!("\"{group}\""), "\"4999\"")
        }),
        present("mark as out of the day", RowContradicts, |row| {
            row.out_of_day = !row.out_of_day
        })
        .beside(&[RowCounts]),
        present("mark as vanished", RowCounts, |row| row.vanished = true),
        present("revision", RowContradicts, |row| row.revision = 7),
        present("other answers, no JSON", RowContradicts, |row| {
            row.other_answers = Some("invented words".to_owned())
        }),
        present(
            "time of discovery, years after the commit",
            RowTimes,
            |row| row.discovered_at += 3_650 * DAY_MS,
        ),
        present("time of discovery, years before the day", RowTimes, |row| {
            row.discovered_at -= 3_650 * DAY_MS
        }),
    ]
}

fn order() -> Vec<Case> {
    let (first, second) = (parts(BETWEEN)[0].clone(), parts(BETWEEN)[1].clone());
    let rows = |name: &str, code: FindingCode, change: fn(&mut Vec<Row>)| {
        let at = first.clone();
        case(format!("rows: {name}"), move |a| {
            a.forge_rows(&at, Pen::Own, change)
        })
        .unsigned()
        .at(Deep)
        .finds(code, &first)
    };
    // The manifest still names as many rows as before.
    let counted = |name: &str, change: fn(&mut Vec<Row>)| {
        let at = first.clone();
        let deed = move |a: &mut Archive| {
            let rows = a.rows(&at).len();
            a.forge_rows(&at, Pen::Own, change);
            a.forge(SUB, BETWEEN, Pen::Own, |m| {
                file_of(m, &at)["rows"] = rows.into()
            });
        };
        case(format!("rows: {name}"), deed)
            .unsigned()
            .at(Deep)
            .finds(PartStatement, &first)
            .beside(&[MerkleRoot, RowCounts, SegmentRepeated, RowOrder])
    };
    let (from, to) = (first.clone(), second.clone());
    let again = move |a: &mut Archive| {
        let last = a.rows(&from).pop().unwrap();
        a.forge_rows(&to, Pen::Own, |rows| rows[0] = last.clone());
    };
    vec![
        rows("two neighbours exchanged", RowOrder, |rows| rows.swap(1, 2)),
        rows("the first and the last exchanged", RowOrder, |rows| {
            let last = rows.len() - 1;
            rows.swap(0, last)
        }),
        rows("one in the place of another", SegmentRepeated, |rows| {
            rows[2] = rows[1].clone()
        })
        .beside(&[RowOrder, RowCounts]),
        case(
            "rows: one of another part of the day in the place of another",
            again,
        )
        .unsigned()
        .at(Deep)
        .finds(SegmentRepeated, &second)
        .beside(&[RowCounts]),
        counted("the first removed", |rows| drop(rows.remove(0))),
        counted("one in the middle removed", |rows| {
            drop(rows.remove(rows.len() / 2))
        }),
        counted("the last removed", |rows| drop(rows.pop())),
        counted("one repeated", |rows| rows.insert(2, rows[1].clone())),
        counted("all removed", Vec::clear).beside(&[PartUnreadable]),
        counted("one added", |rows| {
            let mut more = rows.last().unwrap().clone();
            more.segment = Segment::read(more.segment.raw.replacen(
                "\"segmentId\":\"",
                "\"segmentId\":\"z",
                1,
            ));
            rows.push(more);
        }),
        // With the counts of the files made to fit, those of the day no longer do.
        rows(
            "one removed, and the file's count follows",
            CountsWrong,
            |rows| drop(rows.pop()),
        )
        .at(Quick)
        .of(manifest(BETWEEN))
        .beside(&[RowCounts]),
    ]
}

/// Changes one text column of one row, as cxvault's writer would never write it.
fn cell(batch: RecordBatch, column: &str, change: impl Fn(&str) -> String) -> RecordBatch {
    let index = batch.schema().index_of(column).unwrap();
    let texts = batch.column(index).as_string::<i32>();
    let changed: StringArray = texts.iter().map(|text| text.map(&change)).collect();
    let mut columns = batch.columns().to_vec();
    columns[index] = Arc::new(changed) as ArrayRef;
    RecordBatch::try_new(batch.schema(), columns).unwrap()
}

fn columns() -> Vec<Case> {
    let part = parts(BETWEEN)[0].clone();
    let shaped = |name: &str, code: FindingCode, change: fn(RecordBatch) -> RecordBatch| {
        let at = part.clone();
        let deed = move |a: &mut Archive| {
            a.reshape(&at, change);
            a.enlist(&at, Pen::Own);
        };
        case(format!("columns: {name}"), deed)
            .unsigned()
            .at(Deep)
            .finds(code, &part)
    };
    let replaced = |name: &str, bytes: fn(&Archive) -> Vec<u8>| {
        let at = part.clone();
        let deed = move |a: &mut Archive| {
            let (bytes, old) = (bytes(a), a.bytes(&at));
            a.put(&at, bytes.clone());
            a.forge(SUB, BETWEEN, Pen::Own, |m| {
                let file = file_of(m, &at);
                file["bytes"] = bytes.len().into();
                file["sha256"] = Digest::of(&bytes).hex().into();
            });
            assert_ne!(old, a.bytes(&at));
        };
        case(format!("a part's bytes: {name}"), deed)
            .unsigned()
            .at(Deep)
            .finds(PartUnreadable, &part)
    };
    fn without(batch: RecordBatch, column: &str) -> RecordBatch {
        let index = batch.schema().index_of(column).unwrap();
        let kept: Vec<usize> = (0..batch.num_columns()).filter(|n| *n != index).collect();
        batch.project(&kept).unwrap()
    }
    vec![
        shaped("an unknown status", RowContradicts, |batch| {
            cell(batch, "agent_status", |_| "FINE".to_owned())
        })
        .beside(&[MerkleRoot, RowCounts]),
        shaped("hashes in capitals", RowContradicts, |batch| {
            cell(batch, "agent_sha256", str::to_uppercase)
        })
        .beside(&[MerkleRoot]),
        shaped("one left out", PartUnreadable, |batch| {
            without(batch, "agent_sha256")
        }),
        shaped("one more", PartUnreadable, |batch| {
            let mut fields: Vec<Field> = batch
                .schema()
                .fields()
                .iter()
                .map(|field| field.as_ref().clone())
                .collect();
            fields.push(batch.schema().field(0).clone().with_name("note"));
            let columns = batch
                .columns()
                .iter()
                .chain([batch.column(0)])
                .cloned()
                .collect();
            RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
        }),
        replaced("no Parquet", |_| {
            b"not a part, and long enough to be one".to_vec()
        }),
        replaced("none", |_| Vec::new()),
        replaced("a part cut in half", |a| {
            let bytes = a.bytes(&parts(LAST)[0]);
            bytes[..bytes.len() / 2].to_vec()
        }),
    ]
}

fn dialog() -> Omission {
    std::iter::once("dialogId".to_owned()).collect()
}

fn statements() -> Vec<Case> {
    let part = parts(BETWEEN)[0].clone();
    let stated = |name: &str, change: fn(&mut Statement)| {
        let at = part.clone();
        let deed = move |a: &mut Archive| {
            a.restate(&at, Pen::Own, change);
            let bytes = a.bytes(&at);
            a.forge(SUB, BETWEEN, Pen::Own, |m| {
                let file = file_of(m, &at);
                file["bytes"] = bytes.len().into();
                file["sha256"] = Digest::of(&bytes).hex().into();
            });
        };
        case(format!("a part's statement: {name}"), deed)
            .unsigned()
            .at(Deep)
            .finds(PartStatement, &part)
            .beside(&[MerkleRoot])
    };
    let at = part.clone();
    let under = move |a: &mut Archive| {
        a.rewrite_under_old_statement(&at, |rows| {
            rows[0].agent.observed_by = "another run".to_owned()
        });
        a.enlist(&at, Pen::Own);
    };
    vec![
        stated("archive id", |statement| {
            statement.archive_id = "0".repeat(32)
        }),
        stated("format version", |statement| statement.format_version = 2),
        stated("key", |statement| statement.key = parts(BETWEEN)[1].clone()),
        stated("rows", |statement| statement.rows += 1),
        stated("Merkle root", |statement| {
            statement.merkle_root = Digest::of(b"")
        }),
        stated("window", |statement| statement.window.start_ms -= 1),
        stated("zone", |statement| statement.zone = "UTC".to_owned()),
        stated("omitted fields", |statement| {
            statement.omitted_fields = dialog()
        }),
        // Every record says so, and yet the rows have it.
        case("a field that is said to be left out", |a| {
            for at in parts(BETWEEN) {
                a.restate(&at, Pen::Own, |statement| {
                    statement.omitted_fields = dialog()
                });
                a.enlist(&at, Pen::Own);
            }
            a.forge(SUB, BETWEEN, Pen::Own, |m| {
                m["omitted_fields"] = serde_json::json!(["dialogId"])
            });
        })
        .unsigned()
        .at(Deep)
        .finds(OmittedField, &part)
        .beside(&[OmittedField, MerkleRoot]),
        case("a row changed under the part's old statement", under)
            .unsigned()
            .at(Deep)
            .finds(MerkleRoot, &part),
    ]
}

/// In a signed archive whose key the forger does not have, or whose owner is the forger.
fn signed() -> Vec<Case> {
    let part = parts(BETWEEN)[0].clone();
    let (_, at) = MADE.unsigned.find_row(std::slice::from_ref(&part), |row| {
        row.agent.status == Status::Present
    });
    let text =
        move |rows: &mut Vec<Row>| rows[at].agent.summary = Some("The customer agreed.".to_owned());
    let forged = |name: &str, deed: Forgery| {
        let key = part.clone();
        case(name, move |a| deed(a, &key, &text))
    };
    // The manifest is valid, so that only the file's own signature can show it.
    let resigned = |name: &str, pen: Pen| {
        let key = part.clone();
        let deed = move |a: &mut Archive| {
            a.rewrite(&key, pen, |rows| {
                rows[0].agent.observed_by = "another run".to_owned()
            });
            a.enlist(&key, Pen::Own);
        };
        case(name, deed)
            .by_owner()
            .at(Deep)
            .finds(PartSignature, &part)
    };
    let differs = &[FileSize, FileHash, StoreChecksum];
    vec![
        forged("a text changed in a signed part", |a, part, text| {
            a.rewrite(part, Pen::Stale, text)
        })
        .at(Full)
        .or_sooner()
        .finds_one_of(differs, &part)
        .beside(&[
            SummaryHash,
            PartStatement,
            PartSignature,
            MerkleRoot,
            VersionDiffers,
        ]),
        forged(
            "a text and its manifest changed without the key",
            |a, part, text| a.forge_rows(part, Pen::Stale, text),
        )
        .at(Full)
        .or_sooner()
        .finds(ForeignRecord, manifest(BETWEEN))
        .finds_one_of(&[ForeignObject, Leftover], &part)
        .beside(&[DayIncomplete, DayMissing]),
        forged(
            "a text and its manifest changed, unsigned from there",
            |a, part, text| a.forge_rows(part, Pen::Bare, text),
        )
        .at(Full)
        .or_sooner()
        .finds(ForeignRecord, manifest(BETWEEN))
        .finds_one_of(&[ForeignObject, Leftover], &part)
        .beside(&[DayIncomplete, DayMissing]),
        forged(
            "a text and its manifest changed, signed by another key",
            |a, part, text| a.forge_rows(part, Pen::Stranger, text),
        )
        .at(Full)
        .or_sooner()
        .finds(ForeignRecord, manifest(BETWEEN))
        .finds_one_of(&[ForeignObject, Leftover], &part)
        .beside(&[DayIncomplete, DayMissing]),
        forged("a text changed by the key's owner", |a, part, text| {
            a.forge_rows(part, Pen::Own, text)
        })
        .by_owner()
        .at(Deep)
        .finds(SummaryHash, &part),
        resigned(
            "a part signed by another key, its manifest by the right one",
            Pen::Stranger,
        ),
        resigned("a part unsigned, its manifest signed", Pen::Bare),
        resigned("a part with a signature that does not fit", Pen::Stale),
        // Text, hash and everything above: without a key only the head can show it.
        case(
            "a text and its hash changed in an unsigned archive",
            move |a| {
                a.forge_rows(&parts(BETWEEN)[0], Pen::Own, |rows| {
                    rows[at].agent.summary = Some("x".to_owned());
                    rows[at].agent.sha256 = Some(Digest::of(b"x"));
                })
            },
        )
        .unsigned()
        .only(Folder)
        .expecting(SUB, super::archives::FILLED)
        .finds(HeadDiffers, manifest(super::archives::FILLED)),
    ]
}
