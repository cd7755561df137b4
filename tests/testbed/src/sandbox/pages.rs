//! The few pages for people. Plain HTML, no scripts; each value is escaped.

use std::fmt::Write as _;

use super::config::Account;
use super::state::Asked;

/// The page that asks for consent: an account to choose, scopes to untick, a way to deny.
pub(super) fn consent(issuer: &str, request: &str, asked: &Asked, accounts: &[Account]) -> String {
    let mut scopes = String::new();
    for scope in &asked.scope {
        let scope = escaped(scope);
        let _ = write!(
            scopes,
            "<li><label><input type=checkbox name=\"scope:{scope}\" value=on checked> {scope}</label></li>"
        );
    }
    let body = format!(
        "<h1>Sandbox provider</h1><p><b>{client}</b> asks for access to your account.</p>\
         <form method=post action=\"{issuer}/authorize/decision\">\
         <input type=hidden name=request value=\"{request}\"><ul>{scopes}</ul>{accounts}</form>",
        client = escaped(&asked.client),
        issuer = escaped(issuer),
        request = escaped(request),
        accounts = buttons(accounts),
    );
    page(&body)
}

/// The page for the code of a device.
pub(super) fn device(issuer: &str, user_code: Option<&str>, accounts: &[Account]) -> String {
    let body = format!(
        "<h1>Connect a device</h1><form method=post action=\"{}/device/decision\">\
         <p><label>Code <input name=user_code value=\"{}\" required></label></p>{}</form>",
        escaped(issuer),
        escaped(user_code.unwrap_or_default()),
        buttons(accounts),
    );
    page(&body)
}

/// A page with one sentence.
pub(super) fn message(text: &str) -> String {
    page(&format!("<h1>Sandbox provider</h1><p>{}</p>", escaped(text)))
}

fn buttons(accounts: &[Account]) -> String {
    let mut buttons = String::new();
    for account in accounts {
        let _ = write!(
            buttons,
            "<p><button name=account value=\"{}\">Allow as {} ({})</button></p>",
            escaped(&account.sub),
            escaped(&account.name),
            escaped(&account.email)
        );
    }
    buttons + "<p><button name=deny value=yes>Deny</button></p>"
}

fn page(body: &str) -> String {
    format!(
        "<!doctype html><html lang=en><meta charset=utf-8><title>Sandbox provider</title>\
         <meta name=viewport content=\"width=device-width\">\
         <style>body{{font:16px sans-serif;max-width:32rem;margin:3rem auto;padding:0 1rem}}</style>{body}</html>"
    )
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
