//! Tables in the documents that must agree with the program.

use std::fs;
use std::path::Path;

use cxvault::config::document::settings_table_markdown;
use cxvault::outcome::Exit;

fn document(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

#[test]
fn the_settings_table_is_the_programs_own() {
    let settings = document("docs/settings.md");
    let between = settings
        .split("<!-- settings -->\n")
        .nth(1)
        .and_then(|rest| rest.split("<!-- /settings -->").next());
    let table = settings_table_markdown();
    assert!(
        between == Some(table.as_str()),
        "put this between the settings marks of docs/settings.md:\n{table}"
    );
}

#[test]
fn every_exit_code_is_documented() {
    let operators = document("docs/operators.md");
    let all = [
        Exit::Done,
        Exit::Unexpected,
        Exit::Usage,
        Exit::Gaps,
        Exit::Integrity,
        Exit::Later,
        Exit::Denied,
        Exit::Locked,
    ];
    for exit in all {
        assert!(
            operators.contains(&format!("\n| {} | ", exit.code())),
            "{exit:?}"
        );
    }
}

#[test]
fn the_format_document_names_every_column() {
    let format =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas/segments.v1.txt"))
            .unwrap();
    assert_eq!(format, cxvault::format::row::schema::describe());
}
