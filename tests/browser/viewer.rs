//! Checks how a page looks: at two widths, in both colour schemes, with axe-core.

use std::fs;
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use crate::axe::violations;
use crate::person::Person;

/// A phone and a desk, in CSS pixels.
const WIDTHS: [u32; 2] = [390, 1280];

const SCHEMES: [&str; 2] = ["light", "dark"];

/// Checks pages, and collects what is wrong.
pub struct Viewer<'a> {
    pub person: &'a Person,
    folder: PathBuf,
    wrong: Vec<String>,
}

impl<'a> Viewer<'a> {
    /// Saves pictures in this folder.
    pub fn new(person: &'a Person, folder: PathBuf) -> Self {
        Self { person, folder, wrong: Vec::new() }
    }

    /// Passes if nothing was wrong on any page.
    pub fn is_content(&self) {
        assert!(self.wrong.is_empty(), "{} things are wrong:\n{}", self.wrong.len(), self.wrong.join("\n"));
    }

    /// Checks a page of the portal that has this heading.
    pub async fn looks_at(&mut self, name: &str, path: &str, heading: &str) {
        self.person.opens(path).await;
        self.person.reads("h1", heading).await;
        self.looks(name).await;
    }

    /// Checks the page that is open.
    pub async fn looks(&mut self, name: &str) {
        for width in WIDTHS {
            for scheme in SCHEMES {
                self.sets(width, scheme).await;
                let found = violations(self.person).await;
                self.wrong.extend(found.into_iter().map(|line| format!("{name}, {width}, {scheme}: {line}")));
                self.keeps(&format!("{name}-{width}-{scheme}.png"), width).await;
            }
        }
    }

    /// A checker that never finds anything wrong does not work.
    pub async fn would_see_faults(&self) {
        let spoil = "const main = document.querySelector('main');
            main.innerHTML = '<input><p>Faint words</p>';
            main.querySelector('p').style.color = '#999';";
        self.sets(1280, "light").await;
        self.person.browser.driver().execute(spoil, vec![]).await.expect("a script");
        let found = violations(self.person).await;
        for rule in ["label: ", "color-contrast: "] {
            assert!(found.iter().any(|line| line.starts_with(rule)), "{rule}{found:?}");
        }
    }

    async fn sets(&self, width: u32, scheme: &str) {
        let browser = &self.person.browser;
        let features = json!([{"name": "prefers-color-scheme", "value": scheme},
            {"name": "prefers-reduced-motion", "value": "reduce"}]);
        browser.devtools("Emulation.setEmulatedMedia", json!({"features": features})).await;
        let size = json!({"width": width, "height": 720, "deviceScaleFactor": 1, "mobile": width < 640});
        browser.devtools("Emulation.setDeviceMetricsOverride", size).await;
    }

    async fn keeps(&mut self, name: &str, width: u32) {
        let browser = &self.person.browser;
        let size = browser.devtools("Page.getLayoutMetrics", json!({})).await["cssContentSize"].clone();
        if size["width"].as_f64() != Some(f64::from(width)) {
            self.wrong.push(format!("{name}: {} wide, so it scrolls sideways", size["width"]));
        }
        let clip = json!({"x": 0, "y": 0, "width": width, "height": size["height"], "scale": 1});
        let picture = json!({"format": "png", "captureBeyondViewport": true, "clip": clip});
        let picture = browser.devtools("Page.captureScreenshot", picture).await;
        let bytes = STANDARD.decode(picture["data"].as_str().expect("a picture")).expect("base64");
        fs::write(self.folder.join(name), bytes).expect("the picture is kept");
    }
}
