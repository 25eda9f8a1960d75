//! Pages that are hard to create from a real archive (large, strange, hostile), and how every page
//! behaves.

use std::collections::BTreeMap;
use std::fs;

use cxvault::audit::calendar::CalendarDay;
use cxvault::command::inspect::report::chain::ReportedChain;
use cxvault::command::inspect::report::contents::Damage;
use cxvault::command::inspect::report::details::ChainDetails;
use cxvault::command::inspect::report::verification::Verification;
use cxvault::format::record::coverage::DayState;
use cxvault::format::row::tally::{GroupShare, Statuses, Tally};
use jiff::civil::date;
use serde_json::{Value, json};

use super::invented::{bare_day, calendar, low_volume, made_up, report, shown, write};
use super::{card, focus, focused, square};
use crate::support::browser::Browser;

/// Asserts that the page sent no request and reported no error.
const NOTHING: [String; 0] = [];

#[test]
fn two_hundred_sub_accounts_of_seven_years_fit_and_work() {
    let path = write(&made_up(200, date(2019, 12, 1), 2_557), "large.html");
    let bytes = fs::metadata(&path).unwrap().len();
    assert!(bytes < 6_000_000, "{bytes} bytes");
    let mut browser = Browser::start();
    browser.open_report(&path);
    // December 2019 to November 2026.
    assert_eq!(
        browser.eval("document.querySelectorAll('#months [data-cell]').length"),
        200 * 84
    );
    let squares = browser
        .eval("document.querySelectorAll('#days [data-cell]').length")
        .as_u64()
        .unwrap();
    assert_eq!(squares, 2_557, "days on demand: those of one sub-account");

    // A month is hovered over, left and opened.
    let last = "#months tbody tr:last-child [data-cell]:last-of-type";
    browser.point_at(last);
    let pointed = card(&mut browser).unwrap();
    assert!(
        pointed.text.starts_with("November 2026") && pointed.text.contains("11575881"),
        "{}",
        pointed.text
    );
    focus(&mut browser, last);
    assert_eq!(card(&mut browser).unwrap(), pointed);
    browser.press("ArrowUp");
    assert!(
        focused(&mut browser).starts_with("11567962, November 2026"),
        "{}",
        focused(&mut browser)
    );
    browser.press("Home");
    assert!(
        focused(&mut browser).starts_with("11567962, December 2019"),
        "{}",
        focused(&mut browser)
    );
    browser.press("Enter");
    assert_eq!(
        browser.text("document.getElementById('account').selectedOptions[0].textContent"),
        "11567962"
    );
    assert!(
        focused(&mut browser).starts_with("Sunday, 1 December 2019"),
        "{}",
        focused(&mut browser)
    );
    browser.press("End");
    assert!(
        focused(&mut browser).starts_with("Monday, 30 November 2026"),
        "{}",
        focused(&mut browser)
    );

    // Sub-accounts are found by number and by finding.
    let rows =
        "[...document.querySelectorAll('#months tbody tr')].filter((row) => !row.hidden).length";
    browser.eval("(() => { const find = document.getElementById('find'); find.value = '1156'; find.dispatchEvent(new Event('input')); })()");
    assert_eq!(browser.eval(rows), 3);
    assert_eq!(
        browser.text("document.getElementById('months-shown').textContent"),
        "3 of 200 sub-accounts"
    );
    assert_eq!(browser.misbehaviour(), NOTHING);
    browser.screenshot(&shown("large.png"));
}

#[test]
fn pages_of_a_month_and_of_years_are_rendered() {
    for (name, accounts, first, days) in [
        ("month", 1, date(2026, 11, 1), 30),
        ("year", 3, date(2026, 1, 1), 330),
        ("years", 1, date(2023, 3, 1), 1_350),
    ] {
        let path = write(&made_up(accounts, first, days), &format!("{name}.html"));
        let mut browser = Browser::start();
        for scheme in ["light", "dark"] {
            browser.prefer(scheme);
            browser.open_report(&path);
            browser.point_at("#days .s-m[data-cell], #days .s-c[data-cell]");
            assert!(card(&mut browser).is_some());
            browser.screenshot(&shown(&format!("{name}-{scheme}.png")));
        }
        assert_eq!(browser.misbehaviour(), NOTHING);
    }
}

fn statuses(present: u64, empty: u64, not_found: u64, rare: [u64; 4]) -> Statuses {
    let [failed, binary, skipped, no_id] = rare;
    Statuses {
        present,
        empty,
        not_found,
        binary,
        failed,
        skipped,
        no_id,
    }
}

/// Days around the date that Samoa skipped, with numbers of every size and every rare status.
fn strange() -> Vec<CalendarDay> {
    let tally = |segments, agent, auto| Tally {
        segments,
        agent,
        auto,
        ..Tally::default()
    };
    let plain = |segments| {
        tally(
            segments,
            statuses(segments, 0, 0, [0; 4]),
            statuses(0, segments, 0, [0; 4]),
        )
    };
    let huge = 40_000_000_000;
    let odd = Tally {
        out_of_day: 3,
        vanished: 2,
        ..tally(
            2_800,
            statuses(2_000, 700, 90, [1, 2, 3, 4]),
            statuses(0, 49, 2_749, [0, 0, 2, 0]),
        )
    };
    vec![
        bare_day(date(2011, 12, 27), DayState::Complete, plain(25)),
        CalendarDay {
            revisions: 100,
            ..bare_day(date(2011, 12, 28), DayState::Gaps, odd)
        },
        bare_day(date(2011, 12, 29), DayState::Complete, plain(75_650)),
        bare_day(date(2011, 12, 31), DayState::Complete, plain(huge)),
        CalendarDay {
            revisions: 2,
            ..bare_day(date(2012, 1, 1), DayState::Empty, Tally::default())
        },
        bare_day(date(2012, 1, 2), DayState::Missing, Tally::default()),
        bare_day(date(2012, 1, 3), DayState::Disposed, plain(7)),
        CalendarDay {
            warnings: vec![low_volume()],
            ..bare_day(date(2012, 1, 4), DayState::Complete, plain(1))
        },
        bare_day(
            date(2012, 1, 5),
            DayState::Acknowledged,
            tally(
                9,
                statuses(5, 0, 0, [4, 0, 0, 0]),
                statuses(9, 0, 0, [0; 4]),
            ),
        ),
    ]
}

#[test]
fn strange_days_are_shown_and_keys_reach_what_the_pointer_reaches() {
    let days = strange();
    let chain = ReportedChain::of(
        &calendar("apia", days.clone()),
        &ChainDetails::default(),
        None,
    );
    let mut browser = Browser::start();
    browser.open_report(&write(&report(vec![chain]), "strange.html"));
    let mut pointed = BTreeMap::new();
    for day in &days {
        browser.point_at(&square(0, &day.date.to_string()));
        let card = card(&mut browser).unwrap();
        if day.counts.segments > 0 {
            for (kind, name) in [
                (&day.counts.agent, "By the agent"),
                (&day.counts.auto, "By the AI"),
            ] {
                let count = |status: &str| card.counts[name][status].as_u64().unwrap_or(0);
                let rare = [
                    count("no answer"),
                    count("not text"),
                    count("not requested"),
                    count("no id"),
                ];
                assert_eq!(
                    statuses(count("present"), count("empty"), count("not found"), rare),
                    *kind,
                    "{}",
                    card.text
                );
            }
        }
        assert!(
            day.revisions < 2 || card.text.contains(&format!("{} revisions", day.revisions)),
            "{}",
            card.text
        );
        pointed.insert(day.date, card);
    }
    let odd = &pointed[&date(2011, 12, 28)].text;
    assert!(
        odd.contains("3 segments with an end outside")
            && odd.contains("2 segments that RingCX no longer"),
        "{odd}"
    );
    assert!(
        pointed[&date(2012, 1, 4)]
            .text
            .contains("Warning: low-volume")
    );

    // By keyboard alone: Tab until the calendar is reached, then a day at a time.
    browser.point_away();
    assert_eq!(card(&mut browser), None);
    let first = "document.activeElement.matches('#days [data-cell]')";
    for _ in 0..20 {
        if browser.eval(first) == true {
            break;
        }
        browser.press("Tab");
    }
    assert_eq!(browser.eval(first), true, "Tab reaches the calendar");
    browser.press("Home");
    for (n, day) in days.iter().enumerate() {
        assert_eq!(
            card(&mut browser).as_ref(),
            Some(&pointed[&day.date]),
            "{}",
            day.date
        );
        assert_eq!(
            browser.text("document.activeElement.getAttribute('aria-describedby')"),
            "card"
        );
        // The skipped date is not a step.
        if n + 1 < days.len() {
            browser.press("ArrowDown");
        }
    }
    browser.press("ArrowLeft");
    assert!(
        focused(&mut browser).starts_with("Thursday, 29 December 2011"),
        "{}",
        focused(&mut browser)
    );
    browser.press("Escape");
    assert_eq!(card(&mut browser), None);
    assert_eq!(
        browser.eval("document.querySelectorAll('#days [tabindex=\"0\"][data-cell]').length"),
        1
    );
    browser.press("Tab");
    assert_eq!(browser.eval(first), false, "one stop of the Tab key");
    browser.eval("document.querySelector('#attention a[href$=\"2012-01-02\"]').click()");
    browser.eval("new Promise((done) => setTimeout(done, 50))");
    assert_eq!(focused(&mut browser), "Monday, 2 January 2012: missing");
    assert_eq!(browser.misbehaviour(), NOTHING);
}

#[test]
fn the_trend_equals_the_days_and_can_be_read_by_keyboard() {
    let page = made_up(2, date(2026, 10, 1), 60);
    let expected: u64 = page.chains.iter().map(|chain| chain.counts.segments).sum();
    let one = page.chains[1].counts.segments;
    let mut browser = Browser::start();
    browser.open_report(&write(&page, "trend.html"));
    let sum = "[...document.querySelectorAll('#trend-table tbody tr')].reduce((sum, row) => sum + Number(row.children[1].textContent.replaceAll(',', '')), 0)";
    assert_eq!(browser.eval(sum), expected);
    assert_eq!(
        browser.eval("document.querySelectorAll('#trend-table tbody tr').length"),
        60
    );
    browser.eval("(() => { const scope = document.getElementById('scope'); scope.value = '1'; scope.dispatchEvent(new Event('change')); })()");
    assert_eq!(browser.eval(sum), one);
    focus(&mut browser, "#charts svg");
    browser.press("End");
    let spoken = browser.text("document.getElementById('spoken').textContent");
    assert!(
        spoken.contains("29 Nov 2026") && card(&mut browser).unwrap().text == spoken,
        "{spoken}"
    );
    assert_eq!(
        browser.eval("document.querySelectorAll('#charts svg').length"),
        3
    );
    assert_eq!(browser.misbehaviour(), NOTHING);
}

#[test]
fn hostile_texts_are_texts() {
    let evil = "</script><script>document.title='pwned'</script><img src=x onerror=\"document.title='pwned'\">&lt;'\"";
    let days = vec![bare_day(
        date(2026, 11, 1),
        DayState::Complete,
        Tally::default(),
    )];
    let mut calendar = calendar(evil, days);
    calendar.zone = evil.into();
    calendar.groups.insert(
        evil.into(),
        GroupShare {
            segments: 1,
            agent_present: 0,
            auto_present: 0,
        },
    );
    let details = ChainDetails {
        signers: [Some(evil.to_owned())].into(),
        ..ChainDetails::default()
    };
    let mut verification = Verification::default();
    let finding = json!({"event": "finding", "severity": evil, "code": evil, "object": evil, "expected": evil, "found": evil, "meaning": evil});
    verification.take(finding);
    verification.take(json!({"event": "error", "message": evil}));
    verification.file = Some((evil.to_owned(), None));
    let chain = ReportedChain::of(&calendar, &details, None);
    let mut page = report(vec![chain.clone(), chain]);
    page.archive = evil.into();
    page.archive_id = evil.into();
    page.damaged = vec![Damage {
        sub_account: evil.into(),
        message: evil.into(),
    }];
    page.verification = Some(verification);
    let mut browser = Browser::start();
    browser.open_report(&write(&page, "hostile.html"));
    browser.point_at("#months [data-cell]");
    assert!(card(&mut browser).unwrap().text.contains(evil));
    browser.point_at("#days [data-cell]");
    assert!(card(&mut browser).unwrap().text.contains(evil));
    assert!(browser.text("document.title").starts_with("Archive report"));
    assert_eq!(
        browser.eval("document.querySelectorAll('img, script').length"),
        2
    );
    for place in [
        "header",
        "#attention",
        "#verification",
        "#chains",
        "footer",
        "#account",
    ] {
        let text = browser.text(&format!("document.querySelector('{place}').textContent"));
        assert!(text.contains(evil), "{place}: {text}");
    }
    assert_eq!(browser.misbehaviour(), NOTHING);
}

/// Returns the WCAG contrast ratio between the colours of an element's text and of the nearest
/// background.
const CONTRAST: &str = "(selector) => {
    const parts = (colour) => colour.match(/[\\d.]+/g).map(Number);
    const light = (colour) => {
        const [r, g, b] = parts(colour).map((part) => part / 255).map((part) => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const back = (element) => {
        for (let one = element; one; one = one.parentElement) {
            const colour = getComputedStyle(one).backgroundColor;
            if (!/, 0\\)$/.test(colour)) return colour;
        }
        return 'rgb(255, 255, 255)';
    };
    const element = document.querySelector(selector);
    const [one, other] = [light(getComputedStyle(element).color), light(back(element))];
    return (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
}";

#[test]
fn both_colour_schemes_are_legible_and_dark_is_dark() {
    let chain = ReportedChain::of(&calendar("1", strange()), &ChainDetails::default(), None);
    let path = write(&report(vec![chain]), "schemes.html");
    let mut browser = Browser::start();
    let mut backs = Vec::new();
    for scheme in ["light", "dark"] {
        browser.prefer(scheme);
        browser.open_report(&path);
        let texts = [
            "body",
            ".verdict",
            ".hint",
            "nav a",
            "dt",
            ".badge",
            ".list td",
            ".list thead th",
            ".list a",
            "figcaption",
            ".legend li",
        ];
        for selector in texts {
            let contrast = browser
                .eval(&format!("({CONTRAST})({})", json!(selector)))
                .as_f64()
                .unwrap();
            assert!(contrast >= 4.5, "{scheme} {selector}: {contrast}");
        }
        for selector in ["td.s-m", "td.s-g", "td.s-e", "td.s-a", "td.s-d"] {
            let contrast = browser
                .eval(&format!("({CONTRAST})({})", json!(selector)))
                .as_f64()
                .unwrap();
            assert!(contrast >= 3.0, "{scheme} {selector}: {contrast}");
        }
        backs.push(browser.text("getComputedStyle(document.body).backgroundColor"));
    }
    assert_eq!(backs, ["rgb(255, 255, 255)", "rgb(14, 17, 22)"]);
}

#[test]
fn the_whole_page_is_printed() {
    let path = write(&made_up(60, date(2026, 1, 1), 330), "print.html");
    let mut browser = Browser::start();
    browser.prefer("dark");
    browser.open_report(&path);
    browser.point_at("#days [data-cell]");
    let pdf = browser.pdf();
    fs::write(shown("print.pdf"), &pdf).unwrap();
    let text = String::from_utf8_lossy(&pdf);
    let pages = text.matches("/Type /Page\n").count();
    assert!(
        pdf.starts_with(b"%PDF-") && (2..30).contains(&pages),
        "{pages} pages"
    );
    browser.ask(
        "Emulation.setEmulatedMedia",
        json!({"media": "print", "features": [{"name": "prefers-color-scheme", "value": "dark"}]}),
    );
    browser.ask(
        "Emulation.setDeviceMetricsOverride",
        json!({"width": 695, "height": 1000, "deviceScaleFactor": 1, "mobile": false}),
    );
    assert_eq!(
        browser.text("getComputedStyle(document.body).backgroundColor"),
        "rgb(255, 255, 255)",
        "no black paper"
    );
    assert_eq!(
        browser.text("getComputedStyle(document.getElementById('card')).display"),
        "none"
    );
    // Nothing is hidden behind a scroll bar or outside the paper.
    let hidden = "[...document.querySelectorAll('.scroll')].filter((one) => one.scrollHeight > one.clientHeight + 1).length";
    assert_eq!(browser.eval(hidden), 0);
    assert_eq!(
        browser.eval("document.documentElement.scrollWidth > document.documentElement.clientWidth"),
        false
    );
}

#[test]
fn a_screen_reader_finds_tables_with_names_and_a_reader_without_scripts_the_exceptions() {
    let chain = ReportedChain::of(&calendar("apia", strange()), &ChainDetails::default(), None);
    let path = write(&report(vec![chain]), "reader.html");
    let mut browser = Browser::start();
    browser.open_report(&path);
    browser.ask("Accessibility.enable", json!({}));
    let tree = browser.ask("Accessibility.getFullAXTree", json!({}));
    let named = |role: &str| -> Vec<String> {
        let nodes = tree["nodes"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|node| node["role"]["value"] == role && node["ignored"] != true);
        nodes
            .map(|node| {
                node["name"]["value"]
                    .as_str()
                    .unwrap_or_default()
                    .to_owned()
            })
            .collect()
    };
    let cells = named("gridcell");
    for words in [
        "Wednesday, 28 December 2011: gaps, 2,800 segments, 100 revisions",
        "Monday, 2 January 2012: missing",
        "Wednesday, 4 January 2012: complete, 1 segment, with a warning",
    ] {
        assert!(
            cells.iter().any(|cell| cell == words),
            "no {words} in {cells:?}"
        );
    }
    assert_eq!(
        named("grid"),
        [
            "Days of 2012, sub-account apia",
            "Days of 2011, sub-account apia"
        ]
    );
    assert!(
        named("rowheader").contains(&"Monday".to_owned()),
        "{:?}",
        named("rowheader")
    );
    assert!(named("columnheader").contains(&"Why, and what to do".to_owned()));
    assert!(
        named("image")
            .iter()
            .any(|name| name.starts_with("Segments by day: ")),
        "{:?}",
        named("image")
    );
    for section in [
        "Calendar",
        "Needs attention",
        "Trend",
        "Verification",
        "Sub-accounts",
        "How to read this page",
    ] {
        assert!(named("region").contains(&section.to_owned()), "{section}");
    }
    assert_eq!(browser.text("document.documentElement.lang"), "en");
    let levels = browser.eval("[...document.querySelectorAll('h1,h2,h3,h4')].filter((one) => one.offsetParent).map((one) => Number(one.tagName[1]))");
    let levels: Vec<u64> = levels
        .as_array()
        .unwrap()
        .iter()
        .filter_map(Value::as_u64)
        .collect();
    assert!(
        levels[0] == 1 && levels.windows(2).all(|pair| pair[1] <= pair[0] + 1),
        "{levels:?}"
    );

    browser.ask(
        "Emulation.setScriptExecutionDisabled",
        json!({"value": true}),
    );
    browser.open(&path);
    let document = browser.ask("DOM.getDocument", json!({"depth": 0}));
    let html = browser.ask(
        "DOM.getOuterHTML",
        json!({"nodeId": document["root"]["nodeId"]}),
    );
    let html = html["outerHTML"].as_str().unwrap();
    assert!(
        html.contains("scripts are switched off") && html.contains("2 Jan 2012"),
        "{html}"
    );
}

#[test]
fn a_browser_that_cannot_decompress_the_days_says_so_and_shows_the_tables() {
    let path = write(&made_up(2, date(2026, 11, 1), 30), "old-browser.html");
    let mut browser = Browser::start();
    browser.ask(
        "Page.addScriptToEvaluateOnNewDocument",
        json!({"source": "delete globalThis.DecompressionStream"}),
    );
    browser.open_report(&path);
    let text = browser.text("document.getElementById('calendar').innerText");
    assert!(text.contains("This browser is too old"), "{text}");
    assert_eq!(
        browser.eval("document.getElementById('calendar-body').hidden"),
        true
    );
    assert_eq!(
        browser.eval("document.querySelectorAll('#attention table').length > 0"),
        true
    );
    assert_eq!(browser.misbehaviour(), NOTHING);
}

#[test]
fn a_page_whose_days_are_damaged_says_so_instead_of_showing_less() {
    let path = write(&made_up(2, date(2026, 11, 1), 30), "damaged-days.html");
    let html = fs::read_to_string(&path).unwrap();
    let data = html.split_once(r#"id="data">"#).unwrap().1;
    let data = data.split_once("</script>").unwrap().0;
    let middle = data.len() / 2;
    let other = match &data[middle..=middle] {
        "A" => "B",
        _ => "A",
    };
    let changed = format!("{}{other}{}", &data[..middle], &data[middle + 1..]);
    // The second is valid base64 of a stream that ends early.
    for damaged in [changed.as_str(), &data[..middle / 4 * 4], "", "?"] {
        fs::write(&path, html.replace(data, damaged)).unwrap();
        let mut browser = Browser::start();
        browser.open_report(&path);
        let text = browser.text("document.getElementById('calendar').innerText");
        assert!(
            text.contains("their data in this page is damaged"),
            "{text}"
        );
        assert_eq!(
            browser.eval("document.getElementById('calendar-body').hidden"),
            true
        );
        assert_eq!(browser.misbehaviour(), NOTHING);
    }
}
