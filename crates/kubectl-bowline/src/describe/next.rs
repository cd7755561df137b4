//! What has to be done next, by whom, and with which command: from objects, nothing else.

use kube::ResourceExt;

use super::super::list::{account_word, condition};
use super::super::table::Cell;
pub(in super::super) use super::advice::Way;
use bowline_api::connection::{AccountStatus, Method};
use bowline_api::names::connection_id;
use bowline_api::{ConnectionShare, IntegrationConnection, IntegrationProvider};

use super::advice::{Advice, Who, advice, share_advice};

/// What matters of a provider object here; nothing of it where the user may not read it.
#[derive(Clone, Debug, Default)]
pub(in super::super) struct About {
    /// Whom it names for what only an administrator can mend.
    pub contact: Option<String>,
    /// How grants can be obtained, the usual one first.
    pub methods: Vec<Method>,
    /// Whether codes for another device are allowed.
    pub device_flow: Option<bool>,
}

impl From<IntegrationProvider> for About {
    fn from(provider: IntegrationProvider) -> Self {
        let methods = provider.status.map(|status| status.methods).unwrap_or_default();
        let device_flow = provider.spec.allow.and_then(|allow| allow.device_flow).unwrap_or_default();
        Self { contact: provider.spec.contact, methods, device_flow: Some(device_flow) }
    }
}

/// One thing to do.
#[derive(Debug, PartialEq, Eq)]
pub(in super::super) struct Step {
    /// Who does it, in words.
    pub who: String,
    /// What, as a sentence.
    pub what: String,
    /// The command that does it or shows more.
    pub command: String,
}

impl Step {
    /// Two lines, the second one the command.
    pub fn lines(&self, indent: &str) -> String {
        format!("{indent}{}: {}\n{indent}  {}\n", self.who, self.what, self.command)
    }
}

/// How the owner brings a grant to this connection.
pub(in super::super) fn way(connection: &IntegrationConnection, provider: &About) -> Way {
    let spec = &connection.spec;
    match spec.method.or_else(|| provider.methods.first().copied()) {
        Some(Method::DeviceCode) => Way::Device,
        Some(Method::ApiKey | Method::BasicAuth | Method::RefreshToken) => Way::Intake,
        Some(Method::AuthorizationCode | Method::ClientCredentials) | None => Way::Browser,
    }
}

/// The causes, not what follows from them: a refused grant explains why there is no token and no Secret.
pub(in super::super) fn steps(connection: &IntegrationConnection, provider: &About) -> Vec<Step> {
    let way = way(connection, provider);
    let is_warning = |reason: &str| advice(reason, way).is_some_and(|advice| advice.who != Who::Nobody);
    let cause = ["Authorized", "TokenFresh", "SecretPublished"]
        .into_iter()
        .filter_map(|kind| condition(connection, kind))
        .find(|condition| condition.status != "True" || is_warning(&condition.reason));
    // Without a grant there is nothing to share, so that is no step of its own.
    let is_authorized = condition(connection, "Authorized").is_none_or(|it| it.status == "True");
    let sharing = condition(connection, "Shared")
        .filter(|_| is_authorized)
        .filter(|condition| condition.status != "True" && connection.spec.shared == Some(true));
    let advice = cause.into_iter().chain(sharing).filter_map(|condition| advice(&condition.reason, way));
    advice.map(|advice| step(advice, &words_of(connection), provider.contact.as_deref())).collect()
}

/// What to do about a share that is not published; `None` where it is.
pub(in super::super) fn share_steps(share: &ConnectionShare) -> Option<Step> {
    let status = share.status.as_ref()?;
    let ready = status.conditions.iter().find(|condition| condition.type_ == "Ready")?;
    let advice = share_advice(&ready.reason).filter(|_| ready.status != "True")?;
    let of = &share.spec.connection;
    let words = [
        ("{name}", of.name.clone()),
        ("{namespace}", of.namespace.clone()),
        ("{owner}", share.spec.owner.clone()),
        ("{here}", share.namespace().unwrap_or_default()),
        ("{secret}", connection_id(&of.namespace, &of.name)),
    ];
    Some(step(advice, &words, None))
}

fn words_of(connection: &IntegrationConnection) -> [(&'static str, String); 8] {
    let spec = &connection.spec;
    let status = connection.status.as_ref();
    let name = connection.name_any();
    let secret = spec.secret.as_ref().and_then(|secret| secret.name.clone()).unwrap_or_else(|| name.clone());
    let approval = status.and_then(|status| status.authorization.as_ref()?.admin_consent_url.as_ref());
    let account = status.and_then(|status| status.account.as_ref()).map(account_id);
    [
        ("{name}", name),
        ("{namespace}", connection.namespace().unwrap_or_default()),
        ("{provider}", spec.provider.clone()),
        ("{workspace}", spec.workspace.clone().unwrap_or_else(|| "WORKSPACE".to_owned())),
        ("{secret}", secret),
        ("{account}", account.unwrap_or_else(|| "ID".to_owned())),
        ("{approval}", approval.map(|url| format!(" at {url}")).unwrap_or_default()),
        // Last: a user name may hold anything, braces too.
        ("{owner}", spec.owner.clone()),
    ]
}

/// The id as one word of a command line: a provider could put anything into it.
fn account_id(account: &AccountStatus) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.:@".contains(c);
    if account.id.chars().all(is_plain) {
        account.id.clone()
    } else {
        format!("'{}'", account.id.replace('\'', "'\\''"))
    }
}

fn step(advice: Advice, words: &[(&str, String)], contact: Option<&str>) -> Step {
    let Advice { who, step, command } = advice;
    let fill = |template: &str| {
        let filled = words.iter().fold(template.to_owned(), |text, (word, value)| text.replace(word, value));
        Cell::new(filled).text
    };
    let whom = match (who, contact) {
        (Who::Owner, _) => fill(&format!("{} ({{owner}})", who.word())),
        (Who::Administrator | Who::ProviderAdministrator, Some(contact)) => {
            Cell::new(format!("{} ({contact})", who.word())).text
        }
        _ => who.word().to_owned(),
    };
    Step { who: whom, what: fill(step), command: fill(command) }
}

/// The account as a person would check it: name, mail address, id.
pub(in super::super) fn account_in_full(account: &AccountStatus) -> String {
    let mut text = account_word(account);
    if let Some(email) = account.email.as_ref().filter(|email| **email != text) {
        text = format!("{text} <{email}>");
    }
    if account.name.is_some() {
        text = format!("{text} (id {})", account.id);
    }
    Cell::new(text).text
}
