//! A headless Chromium and its driver: two processes of ours, killed by their ids when dropped, no matter how a test ends.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bowline_testbed::process::Process;
use bowline_testbed::random;
use bowline_testbed::scratch::Scratch;
use bowline_testbed::tls::install_tls;
use serde_json::{Value, json};
use thirtyfour::{Capabilities, WebDriver};

use crate::looking::until_within;

/// Longer than Chromium takes to start on a busy machine.
const STARTS_WITHIN: Duration = Duration::from_mins(2);

/// A browser. Its `localhost:80` is the portal it was made for.
pub struct Chromium {
    driver: Option<WebDriver>,
    session: String,
    name: String,
    /// Dropped before the browser that it drives.
    _driven_by: Process,
    _itself: Process,
    _scratch: Scratch,
}

impl Chromium {
    /// Starts a browser; `portal` is host and port of the portal, `name` names the picture that is kept if the test fails.
    pub async fn start(name: &str, portal: &str) -> Self {
        install_tls();
        let scratch = Scratch::create().expect("a directory");
        let (chromium, browser) = browser(scratch.path(), portal).await;
        let (chromedriver, address) = driver(scratch.path()).await;
        let mut capabilities = Capabilities::new();
        let options = json!({"debuggerAddress": format!("127.0.0.1:{browser}")});
        capabilities.set("goog:chromeOptions", options).expect("JSON");
        let driver = WebDriver::new(&address, capabilities).await.expect("a session of the driver");
        driver.set_script_timeout(STARTS_WITHIN).await.expect("a timeout");
        driver.set_page_load_timeout(STARTS_WITHIN).await.expect("a timeout");
        let session = format!("{address}/session/{}", driver.session_id());
        Self {
            driver: Some(driver),
            session,
            name: name.to_owned(),
            _driven_by: chromedriver,
            _itself: chromium,
            _scratch: scratch,
        }
    }

    /// The driver's session.
    pub fn driver(&self) -> &WebDriver {
        self.driver.as_ref().expect("it exists until it is dropped")
    }

    /// Sends a command of the `DevTools` protocol.
    pub async fn devtools(&self, method: &str, parameters: Value) -> Value {
        let sent = self.driver().cdp().send_raw(method, parameters).await;
        sent.unwrap_or_else(|error| panic!("{method}: {error}"))
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let (session, name) = (self.session.clone(), self.name.clone());
            // We cannot wait on a test's runtime from here.
            let kept = std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(keep(&session, &name));
            });
            if kept.join().is_err() {
                eprintln!("no picture of the failure: the browser does not answer");
            }
        }
        // The processes are killed by their ids, so the driver's session need not be closed.
        if let Some(driver) = self.driver.take() {
            let _ = driver.leak();
        }
    }
}

/// The folder for pictures that nobody commits.
pub fn pictures() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("browser");
    fs::create_dir_all(&folder).expect("a folder");
    folder
}

/// Saves what the browser shows, and says where.
async fn keep(session: &str, name: &str) {
    let client = reqwest::Client::builder().no_proxy().timeout(STARTS_WITHIN).build().unwrap();
    let ask = async |what: &str| {
        let text = client.get(format!("{session}/{what}")).send().await.unwrap().text().await.unwrap();
        let answer: Value = serde_json::from_str(&text).unwrap();
        answer["value"].as_str().unwrap_or_default().to_owned()
    };
    let file = pictures().join(format!("failed-{name}.png"));
    fs::write(&file, STANDARD.decode(ask("screenshot").await).unwrap()).unwrap();
    let source = file.with_extension("html");
    fs::write(&source, ask("source").await).unwrap();
    eprintln!("# at {}: {} and {}", ask("url").await, file.display(), source.display());
}

/// The browser, and the port on which it takes commands.
async fn browser(scratch: &Path, portal: &str) -> (Process, u16) {
    let profile = scratch.join("profile");
    let mut process = Process::start(
        Path::new("chromium"),
        |command| {
            // Chromium's sandbox works neither as root nor in most containers; it visits only our pages.
            command.args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]);
            command.args(["--disable-quic", "--disable-background-networking", "--disable-breakpad"]);
            command.args(["--no-first-run", "--no-proxy-server", "--hide-scrollbars", "--lang=en"]);
            command.args(["--remote-debugging-port=0", "--window-size=1280,900"]);
            command.arg(format!("--user-data-dir={}", profile.display()));
            command.arg(format!("--host-resolver-rules=MAP localhost:80 {portal}"));
            command.arg("about:blank").env("HOME", scratch);
        },
        scratch.join("chromium.log"),
    )
    .expect("chromium runs");
    let port = until_within(STARTS_WITHIN, "Chromium listens", async || {
        process.check_running().expect("Chromium");
        let told = fs::read_to_string(profile.join("DevToolsActivePort")).ok()?;
        told.lines().next()?.parse().ok()
    })
    .await;
    (process, port)
}

/// The driver and its address.
async fn driver(scratch: &Path) -> (Process, String) {
    let log = scratch.join("chromedriver.log");
    // With port 0 it takes one for IPv6, and ends if that one is taken for IPv4.
    let port = random::free_port().expect("a port");
    let prepare = |command: &mut std::process::Command| {
        command.arg(format!("--port={port}"));
    };
    let mut process = Process::start(Path::new("chromedriver"), prepare, log).expect("chromedriver runs");
    until_within(STARTS_WITHIN, "chromedriver listens", async || {
        process.check_running().expect("chromedriver");
        process.log().expect("its log").contains("started successfully").then_some(())
    })
    .await;
    (process, format!("http://127.0.0.1:{port}"))
}
