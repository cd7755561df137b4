//! A person at the browser: opens pages, reads, clicks, types. Each step waits until it is possible.

use std::time::Duration;

use serde_json::json;
use thirtyfour::{By, Key, TypingData, WebElement};

use crate::PORTAL;
use crate::chromium::Chromium;
use crate::looking::until_within;
use crate::portal::{Portal, token};
use crate::scene::Scene;

/// Longer than any step on a page takes on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);

/// A person at a browser.
pub struct Person {
    pub browser: Chromium,
}

impl Person {
    /// Takes a browser that knows this portal.
    pub async fn at(it: &Scene, portal: &Portal) -> Self {
        let address = portal.address.trim_start_matches("http://");
        Self { browser: Chromium::start(&it.name, address).await }
    }

    /// Signs in with this user's token of the cluster.
    pub async fn signs_in(&self, it: &Scene, user: &str) {
        self.opens("/").await;
        self.types("#token", &token(&it.stage.access, user)).await;
        self.clicks("#with-token").await;
        self.reads("#signed-in-as", user).await;
    }

    /// Goes to a path of the portal.
    pub async fn opens(&self, path: &str) {
        self.browser.driver().goto(format!("{PORTAL}{path}")).await.expect("the page loads");
    }

    /// Clicks what this selector finds.
    pub async fn clicks(&self, selector: &str) {
        self.does("click", selector, async |element| element.click().await).await;
    }

    /// Clicks the button or link with this text.
    pub async fn presses(&self, words: &str) {
        let path = format!("//*[self::button or self::a][contains(normalize-space(), \"{words}\")]");
        self.does_by("press", By::XPath(path), async |element| element.click().await).await;
    }

    /// Replaces the content of a field with this text.
    pub async fn types(&self, selector: &str, text: &str) {
        self.does("type into", selector, async |element| {
            element.clear().await?;
            element.send_keys(text).await
        })
        .await;
    }

    /// Chooses the option with this text in the list with this id.
    pub async fn chooses(&self, id: &str, words: &str) {
        let path = format!("//select[@id='{id}']/option[.='{words}']");
        self.does_by("choose", By::XPath(path), async |option| option.click().await).await;
    }

    /// Waits until this part of the page contains this text.
    pub async fn reads(&self, selector: &str, words: &str) {
        self.until(&format!("{selector} reads \"{words}\""), async || {
            let text = self.text(selector).await?;
            if text.contains(words) { Ok(()) } else { Err(text) }
        })
        .await;
    }

    /// Waits until the page's address has this path.
    pub async fn is_at(&self, path: &str) {
        self.until(&format!("the browser is at {path}"), async || {
            let url = self.browser.driver().current_url().await.map_err(|error| error.to_string())?;
            let expected = url.as_str().starts_with(PORTAL) && url.path() == path;
            if expected { Ok(()) } else { Err(url.path().to_owned()) }
        })
        .await;
    }

    /// The present text of a part of the page.
    pub async fn text(&self, selector: &str) -> Result<String, String> {
        let found = self.browser.driver().find(By::Css(selector)).await;
        match found {
            Ok(element) => element.text().await.map_err(|error| error.to_string()),
            Err(_) => Err("it is not there".to_owned()),
        }
    }

    /// Marks this page, so that [`Person::stayed`] can tell whether it was loaded again.
    pub async fn marks_the_page(&self) {
        self.browser.driver().execute("window.marked = true", vec![]).await.expect("a script");
    }

    /// Whether the page is still the one that was marked: then changes on it were live.
    pub async fn stayed(&self) -> bool {
        let marked = self.browser.driver().execute("return window.marked === true", vec![]).await;
        marked.expect("a script").json() == &json!(true)
    }

    /// Presses keys, wherever the focus is.
    pub async fn keys(&self, keys: impl Into<TypingData>) {
        self.browser.driver().action_chain().send_keys(keys).perform().await.expect("keys");
    }

    /// Presses Tab until the focus is on what this selector finds; the focus must be visible.
    pub async fn tabs_to(&self, selector: &str) {
        self.until(&format!("{selector} is there"), async || self.text(selector).await).await;
        for _ in 0..60 {
            self.keys(Key::Tab.value().to_string()).await;
            if self.is_focused(selector).await {
                return;
            }
        }
        panic!("the Tab key does not lead to {selector}");
    }

    async fn is_focused(&self, selector: &str) -> bool {
        let script = "const element = document.activeElement;
            if (!element.matches(arguments[0])) return null;
            const ring = (part) => { const style = getComputedStyle(part);
                return style.outlineStyle === 'auto' || style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2; };
            return { shows: ring(element) || [...document.querySelectorAll(':has(:focus-visible)')].some(ring) };";
        let found = self.browser.driver().execute(script, vec![json!(selector)]).await.expect("a script");
        let found = found.json().clone();
        assert!(found.is_null() || found["shows"] == true, "the focus does not show on {selector}");
        !found.is_null()
    }

    async fn does<T>(
        &self,
        what: &str,
        selector: &str,
        act: impl AsyncFn(WebElement) -> thirtyfour::error::WebDriverResult<T>,
    ) -> T {
        self.does_by(what, By::Css(selector), act).await
    }

    async fn does_by<T>(
        &self,
        what: &str,
        by: By,
        act: impl AsyncFn(WebElement) -> thirtyfour::error::WebDriverResult<T>,
    ) -> T {
        // A page that follows its connection may replace an element between finding and using it.
        self.until(&format!("{what} {by}"), async || act(self.browser.driver().find(by.clone()).await?).await)
            .await
    }

    async fn until<T, E: std::fmt::Display>(&self, what: &str, look: impl AsyncFnMut() -> Result<T, E>) -> T {
        until_within(PATIENCE, what, look).await
    }
}
