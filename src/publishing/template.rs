//! Keys of a Secret from minijinja templates. Pure.
//!
//! Users write templates and the operator runs them, so a template must neither run for long nor grow without limit. Fuel
//! limits the steps, the writer limits the output. Neither limits an intermediate value (`{% set x = x ~ x %}` doubles it
//! per step, as does a filter on a filter), so [`super::syntax`] allows nothing that can store a value and no long
//! expression, and every filter here limits its result.
//!
//! The values come from users too, and the cost of a step depends on their size: so large values allow fewer steps, filters
//! have a budget of bytes, and both apply to all templates of a connection together.

use bowline_oauth::catalog::is_never_published;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine;
use minijinja::value::{Serde, ValueKind};
use minijinja::{Environment, Error, ErrorKind, UndefinedBehavior, Value, context};
use secrecy::ExposeSecret;
use zeroize::Zeroizing;

use super::content::is_secret_key;
use super::material::Material;
use super::syntax;

/// Bytes of all rendered values together.
const OUTPUT_BYTES: usize = 256 * 1024;
/// Steps of all templates together, in equal parts.
const FUEL: u64 = 50_000;
/// Steps times the bytes of all values: with 4 KiB of them all steps are available, with 64 KiB about three thousand.
const STEP_BYTES: u64 = 200 * 1024 * 1024;
/// Bytes that the filters of all templates together may return.
const FILTER_BYTES: usize = 32 * 1024 * 1024;

/// Which template failed, where and how. Never quotes the template, its values or its output.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("the template for key {key} failed at line {line}: {fault}")]
pub(crate) struct RenderError {
    key: String,
    /// Line in that template, from 1.
    line: usize,
    fault: Fault,
}

#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
enum Fault {
    #[error("syntax error")]
    Syntax,
    /// Minijinja would accept it, we do not.
    #[error(
        "only if, `for NAME in scopes`, strings, comparisons, ~ and filters are allowed, in up to 512 characters"
    )]
    NotAllowed,
    #[error("unknown name")]
    UnknownName,
    #[error("too many steps")]
    TooManySteps,
    /// More than 256 KiB, in the output or in an intermediate value.
    #[error("more than 256 KiB")]
    TooLarge,
    #[error("the key is not valid in a Secret")]
    KeyInvalid,
    /// Anything else: a wrong argument, a value that is not a text.
    #[error("invalid operation")]
    Operation,
}

/// Renders every template over `token`, `username`, `account.id`, `account.name`, `scopes`, `expiresAt`, over `extras`: what the
/// provider publishes beside the token, such as `extras.instance_url`; and over `config`: the settings of a binding.
///
/// `token` is the access token, the API key or the password. A name without a value cannot be used: a template that
/// needs one fails instead of publishing a gap. Filters: `upper`, `lower`, `trim`, `join`, `tojson`, `b64encode`.
pub(crate) fn render(
    templates: &BTreeMap<String, String>,
    material: &Material<'_>,
) -> Result<BTreeMap<String, Zeroizing<String>>, RenderError> {
    let mut environment = environment();
    environment.set_fuel(Some(steps_each(templates.len(), material)));
    let values = values(material);
    let mut left = OUTPUT_BYTES;
    let mut rendered = BTreeMap::new();
    for (key, template) in templates {
        let text = render_one(&environment, template, &values, left)
            .map_err(|(line, fault)| RenderError { key: key.clone(), line, fault })?;
        if !is_secret_key(key) {
            return Err(RenderError { key: key.clone(), line: 1, fault: Fault::KeyInvalid });
        }
        left -= text.len();
        rendered.insert(key.clone(), text);
    }
    Ok(rendered)
}

fn render_one(
    environment: &Environment<'_>,
    template: &str,
    values: &Value,
    limit: usize,
) -> Result<Zeroizing<String>, (usize, Fault)> {
    syntax::check(template).map_err(|line| (line, Fault::NotAllowed))?;
    let fault = |error: &Error| (error.line().unwrap_or(1), fault_of(error));
    let compiled = environment.template_from_str(template).map_err(|error| fault(&error))?;
    let mut output = Bounded { bytes: Zeroizing::new(Vec::new()), limit };
    compiled.render_captured_to(values.clone(), &mut output).map_err(|error| fault(&error))?;
    let text = std::str::from_utf8(&output.bytes).map_err(|_| (1, Fault::Operation))?;
    Ok(Zeroizing::new(text.to_owned()))
}

/// An environment without loaders, globals and built-in filters.
fn environment() -> Environment<'static> {
    let mut environment = Environment::empty();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    let budget = Budget(Arc::new(AtomicUsize::new(FILTER_BYTES)));
    let spent = |filter: fn(&str) -> String| {
        let budget = budget.clone();
        move |text: &str| budget.spend(filter(text))
    };
    environment.add_filter("upper", spent(str::to_uppercase));
    environment.add_filter("lower", spent(str::to_lowercase));
    environment.add_filter("trim", spent(|text| text.trim().to_owned()));
    environment.add_filter("b64encode", spent(|text| base64::engine::general_purpose::STANDARD.encode(text)));
    let json = budget.clone();
    environment.add_filter("tojson", move |value: &Value| json.spend(to_json(value)?));
    environment
        .add_filter("join", move |list: &Value, between: Option<&str>| budget.spend(join(list, between)?));
    environment
}

#[derive(Clone)]
struct Budget(Arc<AtomicUsize>);

impl Budget {
    /// `WriteFailure` is our signal for "too large".
    fn spend(&self, text: String) -> Result<String, Error> {
        let left = self.0.load(Ordering::Relaxed);
        if text.len() > OUTPUT_BYTES.min(left) {
            return Err(Error::from(ErrorKind::WriteFailure));
        }
        self.0.store(left - text.len(), Ordering::Relaxed);
        Ok(text)
    }
}

fn steps_each(templates: usize, material: &Material<'_>) -> u64 {
    let scopes: usize = material.scopes.iter().map(String::len).sum();
    let credential = material.credential;
    let extras: usize = material.extras.values().map(|value| value.expose_secret().len()).sum();
    let config =
        material.config.map_or(0, |config| serde_json::to_string(config).map_or(0, |json| json.len()));
    let weight =
        credential.secret().len() + credential.username().map_or(0, str::len) + scopes + extras + config;
    let steps = STEP_BYTES.checked_div(weight as u64).unwrap_or(FUEL).min(FUEL);
    steps / templates.max(1) as u64
}

fn to_json(value: &Value) -> Result<String, Error> {
    use ValueKind as Kind;
    if !matches!(value.kind(), Kind::String | Kind::Seq | Kind::Map | Kind::Number | Kind::Bool) {
        return Err(Error::from(ErrorKind::InvalidOperation));
    }
    serde_json::to_string(value).map_err(|_| Error::from(ErrorKind::BadSerialization))
}

fn join(list: &Value, between: Option<&str>) -> Result<String, Error> {
    if list.kind() != ValueKind::Seq {
        return Err(Error::from(ErrorKind::InvalidOperation));
    }
    let mut joined = String::new();
    for (index, item) in list.try_iter()?.enumerate() {
        if index > 0 {
            joined.push_str(between.unwrap_or_default());
        }
        write!(joined, "{item}").map_err(|_| Error::from(ErrorKind::WriteFailure))?;
        if joined.len() > OUTPUT_BYTES {
            return Err(Error::from(ErrorKind::WriteFailure));
        }
    }
    Ok(joined)
}

fn values(material: &Material<'_>) -> Value {
    // Strict: what has no value must be undefined, not none, which would be rendered as a word.
    let or_undefined = |text: Option<&str>| text.map_or(Value::UNDEFINED, Value::from);
    let extras = material.extras.iter().filter(|(key, _)| !is_never_published(key));
    let extras = extras.map(|(key, value)| (key.clone(), Value::from(value.expose_secret())));
    context! {
        extras => extras.collect::<BTreeMap<_, _>>(),
        token => material.credential.secret(),
        username => or_undefined(material.credential.username()),
        scopes => material.scopes.to_vec(),
        expiresAt => or_undefined(material.expires_at.map(|at| at.to_string()).as_deref()),
        account => context! {
            id => or_undefined(material.account_id),
            name => or_undefined(material.account_name),
        },
        config => material.config.map_or_else(|| context! {}, |config| Value::from(Serde(config))),
    }
}

fn fault_of(error: &Error) -> Fault {
    match error.kind() {
        ErrorKind::SyntaxError | ErrorKind::BadEscape => Fault::Syntax,
        ErrorKind::UndefinedError
        | ErrorKind::UnknownFilter
        | ErrorKind::UnknownTest
        | ErrorKind::UnknownFunction
        | ErrorKind::UnknownMethod => Fault::UnknownName,
        ErrorKind::OutOfFuel => Fault::TooManySteps,
        ErrorKind::WriteFailure => Fault::TooLarge,
        _ => Fault::Operation,
    }
}

struct Bounded {
    bytes: Zeroizing<Vec<u8>>,
    limit: usize,
}

impl io::Write for Bounded {
    fn write(&mut self, part: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + part.len() > self.limit {
            return Err(io::ErrorKind::WriteZero.into());
        }
        self.bytes.extend_from_slice(part);
        Ok(part.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
#[path = "template_tests.rs"]
mod tests;
