//! Headless Chromium, and a server that should never be asked.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A server on the loopback address. Whoever asks it has loaded something.
pub struct Canary {
    port: u16,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Canary {
    pub fn listen() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&asked);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { return };
                let mut request = [0; 512];
                // A connection alone is enough to know.
                let _ = stream.set_read_timeout(Some(Duration::from_secs(2)));
                let length = stream.read(&mut request).unwrap_or(0);
                kept.lock().unwrap().push(String::from_utf8_lossy(&request[..length]).into_owned());
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            }
        });
        Self { port, asked }
    }

    pub fn address(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

/// A page as the browser had it in the end.
pub struct Dom {
    pub html: String,
    /// The text between tags, with the entities of `&`, `<`, `>` and quotes resolved.
    pub text: String,
    /// What the browser's console said.
    pub console: Vec<String>,
}

/// Opens a page in Chromium, with what stands behind the `#` of its address.
pub fn open(name: &str, html: &str, fragment: &str) -> Dom {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let file = folder.join(format!("timeline-{name}.html"));
    // Tests run at the same time, some with the same page: each sees it whole.
    let fresh = tempfile::NamedTempFile::new_in(folder).unwrap();
    fs::write(fresh.path(), html).unwrap();
    fresh.persist(&file).unwrap();
    let profile = tempfile::tempdir().unwrap();
    let output = Command::new(chromium())
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"])
        .args([
            "--disable-component-update",
            "--disable-sync",
            "--disable-extensions",
            "--disable-dev-shm-usage",
            "--enable-logging=stderr",
        ])
        .args(["--virtual-time-budget=20000", "--dump-dom"])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .arg(format!("file://{}#{fragment}", file.display()))
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "Chromium ended with {}:\n{errors}", output.status);
    let console = errors.lines().filter(|line| line.contains(":CONSOLE")).map(str::to_owned).collect();
    let html = String::from_utf8(output.stdout).unwrap();
    Dom { console, ..Dom::of(html) }
}

/// The browser of this machine.
fn chromium() -> &'static str {
    let names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
    let is_there =
        |name: &&str| std::env::var_os("PATH").is_some_and(|path| std::env::split_paths(&path).any(|folder| folder.join(name).is_file()));
    names.into_iter().find(is_there).unwrap_or_else(|| {
        panic!("Chromium is not installed, and this test opens pages in it: `cargo xtask setup`, or `apt-get install chromium`")
    })
}

impl Dom {
    pub fn of(html: String) -> Self {
        let mut text = String::with_capacity(html.len());
        let mut rest = html.as_str();
        while let Some(start) = rest.find('<') {
            text.push_str(&rest[..start]);
            let after = &rest[start..];
            // The page's own script and style are no text.
            let skipped = ["script", "style"].iter().find(|name| after[1..].starts_with(*name)).map(|name| format!("</{name}>"));
            let end = match skipped {
                Some(end) => after.find(&end).map(|at| at + end.len()),
                None => tag_end(after),
            };
            rest = &after[end.unwrap_or(after.len())..];
        }
        text.push_str(rest);
        let text = ["&lt;<", "&gt;>", "&quot;\"", "&#39;'", "&nbsp;\u{a0}", "&amp;&"].iter().fold(text, |text, pair| {
            let (entity, character) = pair.split_at(pair.find(';').unwrap() + 1);
            text.replace(entity, character)
        });
        Self { html, text, console: Vec::new() }
    }

    pub fn title(&self) -> &str {
        let start = self.html.find("<title>").unwrap() + "<title>".len();
        &self.html[start..start + self.html[start..].find("</title>").unwrap()]
    }

    /// A mark of the root element (`data-...`).
    pub fn root(&self, name: &str) -> Option<String> {
        let start = self.html.find("<html")?;
        let tag = &self.html[start..start + tag_end(&self.html[start..])?];
        let (_, after) = tag.split_once(&format!("data-{name}=\""))?;
        Some(after.split('"').next()?.to_owned())
    }

    pub fn elements(&self, name: &str) -> usize {
        self.tags().filter(|tag| tag[1..].trim_end_matches('>').split([' ', '\n', '/']).next() == Some(name)).count()
    }

    /// The values of all attributes of a name.
    pub fn attributes(&self, name: &str) -> Vec<String> {
        let wanted = format!(" {name}=\"");
        self.tags().flat_map(|tag| tag.split(&wanted).skip(1)).filter_map(|after| after.split('"').next()).map(str::to_owned).collect()
    }

    /// The tags that have a handler of an event.
    pub fn handlers(&self) -> Vec<&str> {
        let has_handler = |tag: &str| tag.split('"').step_by(2).any(|names| names.split(' ').any(|name| name.starts_with("on")));
        self.tags().filter(|tag| has_handler(tag)).collect()
    }

    /// The page's tags, as the browser wrote them down: in text, and in attributes but for `>`, it escapes what is no markup.
    fn tags(&self) -> impl Iterator<Item = &str> {
        let mut rest = self.html.as_str();
        std::iter::from_fn(move || {
            let start = rest.find('<')?;
            let after = &rest[start..];
            let end = tag_end(after).unwrap_or(after.len());
            let tag = &after[..end];
            // What stands in the page's own script and style is no tag.
            let raw = ["script", "style"].into_iter().find(|name| tag[1..].starts_with(name));
            let skipped = raw.and_then(|name| after.find(&format!("</{name}>"))).unwrap_or(end);
            rest = &after[skipped.max(end)..];
            Some(tag)
        })
    }

    #[track_caller]
    pub fn assert_own_script_ran(&self) {
        assert_eq!(self.root("ready").as_deref(), Some("1"), "the page's own script did not come to its end: {:?}", self.console);
    }
}

/// Where a tag ends: the first `>` outside of quotes.
fn tag_end(tag: &str) -> Option<usize> {
    let mut is_quoted = false;
    tag.bytes()
        .position(|byte| {
            is_quoted ^= byte == b'"';
            byte == b'>' && !is_quoted
        })
        .map(|at| at + 1)
}
