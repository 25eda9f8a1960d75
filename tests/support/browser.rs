//! A real Chromium without a window, driven through a pipe by the DevTools protocol.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;

/// A browser that is silent for longer than this hangs; no test measures time by it.
const FOREVER: Duration = Duration::from_secs(120);
/// Waits for the script of a report, which decompresses its data after the page is loaded.
const CALENDAR_DRAWN: &str = "new Promise((drawn) => {
    const parts = ['calendar-body', 'too-old', 'damaged'].map((id) => document.getElementById(id));
    const look = () => (parts.some((part) => !part.hidden) ? drawn(true) : setTimeout(look, 5));
    look();
})";
const REMEDY: &str = "The tests look at reports in a real browser. Install Chromium (Debian: apt-get install chromium), \
                      or name a Chromium or Chrome with CXVAULT_TEST_CHROMIUM.";

/// A browser with one page. It ends when the value is dropped.
pub struct Browser {
    child: Child,
    to: ChildStdin,
    from: Receiver<Value>,
    session: String,
    sent: u64,
    /// Events of the page: requests, console messages, exceptions.
    pub events: Vec<Value>,
    _profile: TempDir,
}

impl Browser {
    pub fn start() -> Browser {
        let profile = TempDir::new().unwrap();
        let mut command = Command::new("sh");
        // The protocol uses file 3 for input and file 4 for output of the browser.
        command
            .args(["-c", "exec \"$@\" 3<&0 4>&1 0</dev/null 1>/dev/null", "sh"])
            .arg(chromium());
        command.args([
            "--remote-debugging-pipe",
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
        ]);
        command.args([
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
        ]);
        command.args([
            "--disable-sync",
            "--disable-dev-shm-usage",
            "--hide-scrollbars",
            "--window-size=1400,1000",
        ]);
        command
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg("about:blank");
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("there is a `sh`");
        let (to, out) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let (sender, from) = channel();
        std::thread::spawn(move || {
            for message in BufReader::new(out).split(0) {
                let message = serde_json::from_slice(&message.unwrap()).unwrap();
                if sender.send(message).is_err() {
                    return;
                }
            }
        });
        let mut browser = Browser {
            child,
            to,
            from,
            session: String::new(),
            sent: 0,
            events: Vec::new(),
            _profile: profile,
        };
        let target =
            browser.ask("Target.createTarget", json!({"url": "about:blank"}))["targetId"].clone();
        let session = browser.ask(
            "Target.attachToTarget",
            json!({"targetId": target, "flatten": true}),
        );
        browser.session = session["sessionId"].as_str().unwrap().to_owned();
        for domain in ["Page", "Runtime", "Network", "Log"] {
            browser.ask(&format!("{domain}.enable"), json!({}));
        }
        browser
    }

    /// Sends a command, and waits for its answer.
    pub fn ask(&mut self, method: &str, params: Value) -> Value {
        self.sent += 1;
        let mut message = json!({"id": self.sent, "method": method, "params": params});
        if !self.session.is_empty() {
            message["sessionId"] = self.session.as_str().into();
        }
        let sent = self
            .to
            .write_all(format!("{message}\0").as_bytes())
            .and_then(|()| self.to.flush());
        sent.unwrap_or_else(|error| panic!("the browser is gone: {error}\n{REMEDY}"));
        loop {
            let message = self.next();
            if message["id"] == self.sent {
                assert!(message["error"].is_null(), "{method}: {}", message["error"]);
                return message["result"].clone();
            }
            self.events.push(message);
        }
    }

    fn next(&self) -> Value {
        self.from
            .recv_timeout(FOREVER)
            .unwrap_or_else(|error| panic!("the browser is silent: {error}\n{REMEDY}"))
    }

    /// Opens a file, and waits until it is loaded.
    pub fn open(&mut self, file: &Path) {
        self.events.clear();
        self.ask(
            "Page.navigate",
            json!({"url": format!("file://{}", file.display())}),
        );
        while !self
            .events
            .iter()
            .any(|event| event["method"] == "Page.loadEventFired")
        {
            let event = self.next();
            self.events.push(event);
        }
    }

    /// Opens a report, and waits until its script has drawn the calendar or said that it cannot.
    pub fn open_report(&mut self, file: &Path) {
        self.open(file);
        self.eval(CALENDAR_DRAWN);
    }

    /// Returns the value of an expression in the page.
    #[track_caller]
    pub fn eval(&mut self, expression: &str) -> Value {
        let params = json!({"expression": expression, "returnByValue": true, "awaitPromise": true});
        let answer = self.ask("Runtime.evaluate", params);
        assert!(
            answer["exceptionDetails"].is_null(),
            "{expression}: {answer:#}"
        );
        answer["result"]["value"].clone()
    }

    #[track_caller]
    pub fn text(&mut self, expression: &str) -> String {
        match self.eval(expression) {
            Value::String(text) => text,
            other => panic!("{expression} is {other}"),
        }
    }

    /// Presses and releases a key, such as `ArrowRight`, `Tab`, `Enter`.
    pub fn press(&mut self, key: &str) {
        let code = match key {
            "Tab" => 9,
            "Enter" => 13,
            "Escape" => 27,
            "PageUp" => 33,
            "PageDown" => 34,
            "End" => 35,
            "Home" => 36,
            "ArrowLeft" => 37,
            "ArrowUp" => 38,
            "ArrowRight" => 39,
            "ArrowDown" => 40,
            other => panic!("no such key here: {other}"),
        };
        for kind in ["keyDown", "keyUp"] {
            let params =
                json!({"type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code});
            self.ask("Input.dispatchKeyEvent", params);
        }
    }

    /// Moves the pointer onto the middle of an element.
    pub fn point_at(&mut self, selector: &str) {
        let middle = format!(
            "(() => {{ const one = document.querySelector({}); one.scrollIntoView({{ block: 'center', behavior: \
             'instant' }}); const box = one.getBoundingClientRect(); return [box.x + box.width / 2, box.y + box.height \
             / 2]; }})()",
            json!(selector)
        );
        let middle = self.eval(&middle);
        let params = json!({"type": "mouseMoved", "x": middle[0], "y": middle[1]});
        self.ask("Input.dispatchMouseEvent", params);
    }

    /// Moves the pointer to an empty place.
    pub fn point_away(&mut self) {
        self.ask(
            "Input.dispatchMouseEvent",
            json!({"type": "mouseMoved", "x": 1, "y": 1}),
        );
    }

    /// Sets the colour scheme to `light` or `dark`.
    pub fn prefer(&mut self, scheme: &str) {
        let features = json!([{"name": "prefers-color-scheme", "value": scheme}]);
        self.ask("Emulation.setEmulatedMedia", json!({"features": features}));
    }

    /// Writes a screenshot of the whole page to `file`, as PNG.
    pub fn screenshot(&mut self, file: &Path) {
        let picture = self.ask(
            "Page.captureScreenshot",
            json!({"captureBeyondViewport": true}),
        );
        std::fs::write(
            file,
            STANDARD.decode(picture["data"].as_str().unwrap()).unwrap(),
        )
        .unwrap();
    }

    /// Returns the page as it would be printed on A4.
    pub fn pdf(&mut self) -> Vec<u8> {
        let params = json!({"paperWidth": 8.27, "paperHeight": 11.69, "preferCSSPageSize": true});
        let printed = self.ask("Page.printToPDF", params);
        STANDARD.decode(printed["data"].as_str().unwrap()).unwrap()
    }

    /// Returns requests for anything but the opened file, and the errors of the page.
    pub fn misbehaviour(&mut self) -> Vec<String> {
        // An answer arrives after the events before it.
        self.eval("1");
        let told = self
            .events
            .iter()
            .filter(|event| match event["method"].as_str() {
                Some("Network.requestWillBeSent") => {
                    let url = event["params"]["request"]["url"]
                        .as_str()
                        .unwrap_or_default();
                    !url.starts_with("file://") && !url.starts_with("data:,")
                }
                Some("Runtime.consoleAPICalled" | "Runtime.exceptionThrown" | "Log.entryAdded") => {
                    true
                }
                _ => false,
            });
        told.map(Value::to_string).collect()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn chromium() -> PathBuf {
    if let Some(named) = std::env::var_os("CXVAULT_TEST_CHROMIUM") {
        return named.into();
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let names = [
        "chromium",
        "chromium-browser",
        "google-chrome",
        "google-chrome-stable",
        "chrome",
    ];
    let places = names
        .iter()
        .flat_map(|name| folders.iter().map(move |folder| folder.join(name)));
    places
        .into_iter()
        .find(|place| place.is_file())
        .unwrap_or_else(|| panic!("there is no Chromium\n{REMEDY}"))
}
