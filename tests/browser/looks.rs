//! Each page, in both colour schemes and at two widths: for people who see little, and for those who look closely.

use std::fs;
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bowline_testbed::sandbox::Rotation;
use serde_json::json;

use crate::axe::violations;
use crate::chromium::pictures;
use crate::person::Person;
use crate::portal;
use crate::stage::Stage;

/// Names a folder: the pictures go there. `make images` sets it.
const IMAGES: &str = "BOWLINE_IMAGES";

/// A phone and a desk, in CSS pixels.
const WIDTHS: [u32; 2] = [390, 1280];

const SCHEMES: [&str; 2] = ["light", "dark"];

/// Looks at pages, and remembers what was wrong.
struct Viewer<'a> {
    person: &'a Person,
    folder: PathBuf,
    wrong: Vec<String>,
}

impl Viewer<'_> {
    /// Looks at a page of the portal.
    async fn looks_at(&mut self, name: &str, path: &str) {
        self.person.opens(path).await;
        self.looks(name).await;
    }

    /// Looks at the page that is open.
    async fn looks(&mut self, name: &str) {
        for width in WIDTHS {
            for scheme in SCHEMES {
                self.sets(width, scheme).await;
                let found = violations(self.person).await;
                self.wrong.extend(found.into_iter().map(|line| format!("{name}, {width}, {scheme}: {line}")));
                self.keeps(&format!("{name}-{width}-{scheme}.png"), width).await;
            }
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
        let clip =
            json!({"x": 0, "y": 0, "width": width, "height": size["height"], "scale": 1});
        let picture = json!({"format": "png", "captureBeyondViewport": true, "clip": clip});
        let picture = browser.devtools("Page.captureScreenshot", picture).await;
        let bytes = STANDARD.decode(picture["data"].as_str().expect("a picture")).expect("base64");
        fs::write(self.folder.join(name), bytes).expect("the picture is kept");
    }
}

#[tokio::test]
#[ignore = "needs an API server and Chromium: make test"]
async fn every_page_is_open_to_everybody_in_both_schemes_at_both_widths() {
    let it = Stage::fresh(&[]).await.scene_named("marketing").await;
    it.provider(Rotation::SingleUse).apply().await;
    let folder = std::env::var_os(IMAGES).map_or_else(pictures, PathBuf::from);
    let portal = portal::open(&it).await;
    let alice = Person::at(&it, &portal).await;
    let mut viewer = Viewer { person: &alice, folder, wrong: Vec::new() };
    viewer.looks_at("sign-in", "/sign-in").await;
    alice.signs_in(&it, "alice").await;
    viewer.looks_at("connections-empty", "/connections").await;
    assert!(viewer.wrong.is_empty(), "{}", viewer.wrong.join("\n"));
}
