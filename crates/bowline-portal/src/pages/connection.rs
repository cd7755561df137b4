//! The page of a connection: its state, and everything that can be done with it.

use askama::Template;
use bowline_api::condition::{ConditionType, Conditioned};
use bowline_api::connection::{AccountStatus, AuthorizationStatus, IssuedKeyStatus, TokenStatus};
use bowline_api::member::{ConnectionMember, MemberKind};
use bowline_api::reason::{Reason, Remedy};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;

use super::bindings::{self, BindingList};
use super::extra::{Extra, extra, known};
use super::parameters::{self, ParameterField};
use super::workspace::{own, sees};
use crate::connect::keys::newest;
use crate::connect::progress::{AttemptNote, progress};
use crate::error::{PageError, Reply};
use crate::live::version;
use crate::page::{Frame, html};
use crate::subject::Subject;
use crate::view::foreign;
use crate::view::history::{self, Line};
use crate::view::managed::{Doer, Stopped, stopped};
use crate::view::scopes::{ScopeLine, became};
use crate::view::status::{Standing, standing, who_fixes};
use crate::view::words::Moment;
use crate::visit::bindings_readable;

/// Seconds after which a page without a script reloads while something is in progress.
const AGAIN_SECONDS: u32 = 4;

#[derive(Template)]
#[template(path = "connection.html")]
struct ConnectionPage {
    frame: Frame,
    subject: Subject,
    standing: Standing,
    fixer: Option<String>,
    buttons: Buttons,
    progress: Option<AttemptNote>,
    account: Option<AccountStatus>,
    token: TokenStatus,
    stopped: Option<Stopped>,
    /// When the grant of a disconnected connection is revoked, while that can be undone.
    revoked: Option<Moment>,
    scopes: Vec<ScopeLine>,
    extra: Option<Extra>,
    device: Option<DevicePrompt>,
    keys: Option<KeysPanel>,
    admin_consent: Option<String>,
    sharing: Sharing,
    members: Vec<MemberLine>,
    bindings: BindingList,
    /// What to copy to use it in its own namespace.
    three_lines: String,
    /// Fields of the settings that another tool manages, with that tool.
    managed: Vec<(&'static str, String)>,
    parameters: Vec<ParameterField>,
    history: Vec<Line>,
}

impl ConnectionPage {
    fn when(&self, time: Option<&Time>) -> Option<Moment> {
        Moment::of(time, self.subject.visit.now())
    }

    fn may_edit(&self, field: &str) -> bool {
        self.subject.may.edit() && self.subject.keeper(field).is_none()
    }

    /// Whether only another connection can have valid parameters, and the reader can create it.
    fn must_be_remade(&self) -> bool {
        self.subject.may.owns && self.subject.connection.trouble() == Some(Reason::ParametersInvalid)
    }
}

#[allow(clippy::struct_excessive_bools, reason = "each is one button")]
struct Buttons {
    connect: Option<&'static str>,
    /// Whether to ask for a key or a password, in place of that.
    provide: bool,
    /// Whether it is the next step.
    is_next: bool,
    /// Why it is missing although it would be the next step.
    refused: Option<String>,
    /// Whether to show how to import a key or token.
    by_hand: bool,
    device: bool,
    confirm: bool,
    again: bool,
    pause: bool,
    resume: bool,
    /// The tool that keeps it paused or disconnected.
    held: Option<String>,
    refresh: bool,
    disconnect: bool,
    /// The tool that keeps it connected, if the reader could otherwise disconnect it.
    kept: Option<String>,
    delete: bool,
}

/// The keys that were issued for the connection.
struct KeysPanel {
    keys: Vec<KeyLine>,
    /// The newest that this page shows: see [`newest`].
    newest: String,
    /// Whether the reader may create and revoke them.
    may: bool,
}

struct KeyLine {
    id: String,
    by: String,
    created: Moment,
    expires: Option<Moment>,
}

/// One member, and what they may do.
struct MemberLine {
    name: String,
    is_group: bool,
    role: String,
}

struct DevicePrompt {
    code: String,
    address: Option<String>,
    expires: Option<Moment>,
}

/// `GET /connections/{namespace}/{name}`
pub(crate) async fn page(subject: Subject) -> Reply {
    let (progress, sharing, bindings) =
        tokio::try_join!(progress(&subject), sharing(&subject), bindings::of(&subject))?;
    let Subject { visit, connection, card, may, .. } = &subject;
    let (reader, status) = (visit.reader(), connection.status.clone().unwrap_or_default());
    let standing = standing(connection, &card.title, reader);
    let waits = progress.as_ref().is_some_and(|progress| progress.waits);
    let (standing, progress) = said_once(standing, progress);
    let authorization = status.authorization.clone().unwrap_or_default();
    let managed = [("name", "displayName"), ("description", "description")];
    Ok(html(&ConnectionPage {
        frame: frame(&subject, waits || standing.is_passing()).await?,
        fixer: who_fixes(connection, reader, may.connect, card.contact.as_deref()),
        buttons: buttons(&subject, &standing, waits),
        account: status.account.clone().map(readable),
        token: status.token.clone().unwrap_or_default(),
        stopped: stopped(connection, reader.now),
        revoked: connection.revokes_at().filter(|at| *at > reader.now).map(|at| Moment::new(at, reader.now)),
        scopes: became(known(&subject).as_ref(), &status.scopes.clone().unwrap_or_default()),
        extra: extra(&subject),
        device: device(&authorization, reader.now),
        keys: keys_panel(&subject, reader.now),
        admin_consent: web(authorization.admin_consent_url.as_deref()),
        managed: managed.iter().filter_map(|(name, field)| Some((*name, subject.keeper(field)?))).collect(),
        parameters: parameters::settled(subject.provider().as_deref(), connection),
        sharing,
        members: connection.spec.members.iter().map(member).collect(),
        bindings,
        three_lines: bindings::three_lines(&connection.id(), &subject.namespace),
        standing,
        progress,
        history: history::lines(connection, reader),
        subject,
    }))
}

/// Shows once what both the reader's attempt and the connection's state say.
fn said_once(mut standing: Standing, progress: Option<AttemptNote>) -> (Standing, Option<AttemptNote>) {
    let Some(progress) = progress else { return (standing, None) };
    if standing.is_passing() && progress.tone == "wait" {
        standing.line = progress.words;
        return (standing, None);
    }
    let known = progress.said.is_none() && progress.words == standing.line;
    let contradicts = progress.tone == "good" && standing.chip.tone != "good";
    (standing, Some(progress).filter(|_| !known && !contradicts))
}

/// The frame of a page that follows its connection, with or without a script.
async fn frame(subject: &Subject, waits: bool) -> Result<Frame, PageError> {
    let visit = &subject.visit;
    let namespaces = bindings_readable(&visit.app, &visit.session, &subject.connection).await?;
    let seen = version(&visit.app.cluster, &subject.connection, &namespaces);
    Ok(Frame {
        live: Some(format!("{}/live?seen={seen}", subject.page())),
        again_after: waits.then_some(AGAIN_SECONDS),
        ..Frame::of(visit, &subject.title(), "connections").await
    })
}

fn readable(AccountStatus { id, name, email }: AccountStatus) -> AccountStatus {
    let clean = |text: Option<String>| text.as_deref().map(foreign);
    AccountStatus { id: foreign(&id), name: clean(name), email: clean(email) }
}

fn buttons(subject: &Subject, standing: &Standing, waits: bool) -> Buttons {
    let Subject { connection, card, may, .. } = subject;
    let deleting = subject.is_being_deleted();
    let connected = connection.has_accepted_grant();
    let (disconnected, paused) = (connection.is_disconnected(), connection.is_paused());
    let usable = !deleting && !disconnected && !paused;
    let stopped_by = if disconnected { Some("disconnect") } else { paused.then_some("suspend") };
    let edits = |field| may.edit() && subject.keeper(field).is_none();
    let refused = may.refused_to_connect(connection);
    let word = if connected { "Reconnect" } else { "Connect" };
    let browser = card.connects_by_browser(connection) && usable && refused.is_none() && !waits;
    let confirm = standing.remedy == Remedy::ConfirmAccount && may.owns && may.patch;
    let (wanted, issues) = (standing.wants_access(), card.issues_keys(connection));
    let provide = card.key_method(connection).is_some();
    Buttons {
        connect: browser.then_some(word),
        provide: provide && usable && may.owns && refused.is_none() && !waits,
        is_next: wanted,
        refused: refused.clone().filter(|_| wanted),
        by_hand: wanted
            && usable
            && may.owns
            && !card.by_browser
            && !card.connects_by_code(connection)
            && !issues
            && !provide,
        device: card.connects_by_code(connection) && usable && refused.is_none() && !waits && !confirm,
        confirm,
        again: disconnected && edits("disconnect"),
        pause: usable && connected && edits("suspend"),
        resume: paused && !disconnected && !deleting && edits("suspend"),
        held: stopped_by.and_then(|field| subject.keeper(field)),
        refresh: connected && usable && may.refresh() && !confirm && !issues,
        disconnect: (connected || confirm) && !deleting && !disconnected && edits("disconnect"),
        kept: subject.keeper("disconnect").filter(|_| may.edit() && !deleting && !disconnected),
        delete: !deleting && may.end(),
    }
}

/// `None` where no keys are issued.
fn keys_panel(subject: &Subject, now: Timestamp) -> Option<KeysPanel> {
    let Subject { connection, card, .. } = subject;
    let keys = connection.issued_keys();
    let line = |key: &IssuedKeyStatus| KeyLine {
        id: foreign(&key.id),
        by: subject.visit.reader().name(&key.created_by),
        created: Moment::new(key.created_at.0, now),
        expires: Moment::of(key.expires_at.as_ref(), now),
    };
    (card.issues_keys(connection) || !keys.is_empty()).then(|| KeysPanel {
        keys: keys.iter().map(line).collect(),
        newest: newest(connection).to_owned(),
        may: subject.need_to_issue().is_ok(),
    })
}

fn member(member: &ConnectionMember) -> MemberLine {
    MemberLine {
        name: foreign(&member.name),
        is_group: member.kind.is(MemberKind::Group),
        role: foreign(&member.role.to_string()),
    }
}

fn device(authorization: &AuthorizationStatus, now: Timestamp) -> Option<DevicePrompt> {
    let code = authorization.user_code.as_deref()?;
    let complete = web(authorization.verification_uri_complete.as_deref());
    Some(DevicePrompt {
        code: foreign(code),
        address: complete.or_else(|| web(authorization.verification_uri.as_deref())),
        expires: Moment::of(authorization.expires_at.as_ref(), now),
    })
}

/// A link to the web: a provider must not be able to set one to `javascript:`.
fn web(address: Option<&str>) -> Option<String> {
    let address = url::Url::parse(address?).ok()?;
    matches!(address.scheme(), "https" | "http").then(|| address.into())
}

struct Sharing {
    /// The workspace that it names, and whether the reader may open its page.
    workspace: Option<String>,
    linked: bool,
    /// Whether it should be shared; by whom and since when it is.
    shared: bool,
    by: Option<String>,
    since: Option<Moment>,
    namespaces: Vec<String>,
    /// The workspaces that the reader can share with.
    choices: Vec<String>,
    /// Why the reader may neither share it nor stop sharing it.
    why_not: Option<String>,
    /// Why it is not shared as it should be, and who can fix that.
    trouble: Option<(String, String)>,
}

async fn sharing(subject: &Subject) -> Result<Sharing, PageError> {
    let Subject { visit, connection, may, .. } = subject;
    let (spec, status) = (&connection.spec, connection.status.clone().unwrap_or_default());
    let (shared, reader) = (connection.wants_sharing(), visit.reader());
    let workspace = spec.workspace.as_deref().and_then(|name| visit.app.cluster.workspace(name));
    let linked = match &workspace {
        Some(workspace) => sees(visit, workspace).await?,
        None => false,
    };
    // Who can add the owner as a member, or create the workspace.
    let contact = workspace.as_ref().and_then(|workspace| workspace.spec.contact.as_deref());
    let fixer = contact.map_or_else(|| "your platform team".to_owned(), |contact| reader.name(contact));
    let trouble = connection.condition(ConditionType::Shared).filter(|told| shared && told.status != "True");
    Ok(Sharing {
        workspace: spec.workspace.clone(),
        linked,
        shared,
        since: status.sharing.as_ref().map(|sharing| Moment::new(sharing.shared_at.0, reader.now)),
        by: status.sharing.as_ref().map(|sharing| sharing.shared_by.clone()),
        namespaces: subject.shares().iter().filter_map(|share| share.namespace()).collect(),
        choices: if may.edit() { own(visit) } else { Vec::new() },
        why_not: why_not(subject),
        trouble: trouble.map(|told| (reader.sentence(&told.message, &spec.owner), fixer)),
    })
}

fn why_not(subject: &Subject) -> Option<String> {
    let (may, shared) = (subject.may, subject.connection.wants_sharing());
    match subject.keeper("shared").or_else(|| subject.keeper("workspace")) {
        Some(keeper) => Some(format!("Sharing is managed by {keeper}: change it at its source.")),
        None if !may.edit() => Some("Only its owner can share a connection.".to_owned()),
        None if !may.share && !shared => {
            Some("You do not have the permission `share` in this namespace.".to_owned())
        }
        None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_provider_makes_no_link_but_to_the_web() {
        assert_eq!(
            web(Some("https://p.example.com/device")).as_deref(),
            Some("https://p.example.com/device")
        );
        for bad in ["javascript:alert(1)", "data:text/html,x", "//p", "p", "vbscript:x", ""] {
            assert_eq!(web(Some(bad)), None, "{bad}");
        }
    }
}
