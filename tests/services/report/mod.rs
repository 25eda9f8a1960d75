//! The report in a real browser: what a compliance officer sees, points at, reaches by keyboard and
//! prints is what is archived. The tests leave the pages and screenshots of them in
//! `target/report`.

mod invented;
mod pages;
mod real_archives;

use crate::support::browser::Browser;
use serde_json::{Value, json};

/// What the card beside a square of the calendar says about a day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Card {
    pub text: String,
    /// Counts by kind (`By the agent`, `By the AI`) and status.
    pub counts: Value,
}

/// Reads the card as the page shows it; returns `None` while it is hidden.
pub fn card(browser: &mut Browser) -> Option<Card> {
    let read = "(() => {
        const card = document.getElementById('card');
        if (card.hidden) return null;
        const names = [...card.querySelectorAll('thead th')].map((one) => one.textContent);
        const rows = [...card.querySelectorAll('tbody tr')].map((row) => {
            const numbers = [...row.querySelectorAll('td')].map((one) => Number(one.textContent.replaceAll(',', '')));
            return [row.querySelector('th').textContent, Object.fromEntries(names.map((name, n) => [name, numbers[n]]))];
        });
        return { text: card.innerText, counts: Object.fromEntries(rows) };
    })()";
    let shown = browser.eval(read);
    let text = shown["text"].as_str()?.to_owned();
    Some(Card {
        text,
        counts: shown["counts"].clone(),
    })
}

/// Returns the selector of a day's square; `account` counts from 0 in the page's order.
pub fn square(account: usize, date: &str) -> String {
    let day = date
        .parse::<jiff::civil::Date>()
        .unwrap()
        .since(jiff::civil::date(1970, 1, 1))
        .unwrap()
        .get_days();
    format!("#days [data-cell=\"{account}/{day}\"]")
}

/// Focuses an element as a script would.
pub fn focus(browser: &mut Browser, selector: &str) {
    browser.eval(&format!(
        "document.querySelector({}).focus()",
        json!(selector)
    ));
}

/// Returns the label of the focused element.
pub fn focused(browser: &mut Browser) -> String {
    browser
        .text("document.activeElement.getAttribute('aria-label') || document.activeElement.tagName")
}
