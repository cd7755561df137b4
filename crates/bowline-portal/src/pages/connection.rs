//! The page of a connection: its state, and everything that can be done with it.

use askama::Template;
use bowline_api::IntegrationConnectionStatus;
use bowline_api::connection::{AccountStatus, AuthorizationStatus};
use bowline_api::reason::Reason;
use k8s_openapi::api::core::v1::Event;
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use kube::api::{Api, ListParams};

use super::extra::{Extra, extra, known};
use super::parameters::{self, Field};
use super::sharing::{Sharing, sharing};
use crate::connect::progress::{Progress, progress};
use crate::failure::{Failure, Reply, answered};
use crate::live::version;
use crate::page::{Frame, html};
use crate::subject::Subject;
use crate::view::doer::{Doer, Stopped, stopped};
use crate::view::foreign;
use crate::view::history::{self, Line};
use crate::view::provider::Card;
use crate::view::scopes::{ScopeLine, became};
use crate::view::status::{Next, Standing, standing, who_fixes};
use crate::view::time::Moment;

/// Seconds after which a page without a script reloads while something is in progress.
const AGAIN_SECONDS: u32 = 4;

#[derive(Template)]
#[template(path = "connection.html")]
struct ConnectionPage {
    frame: Frame,
    title: String,
    page: String,
    id: String,
    owner: String,
    description: String,
    standing: Standing,
    fixer: Option<String>,
    buttons: Buttons,
    progress: Option<Progress>,
    account: Option<AccountStatus>,
    connected: Option<Moment>,
    connected_by: Option<String>,
    facts: Facts,
    scopes: Vec<ScopeLine>,
    extra: Option<Extra>,
    device: Option<Device>,
    admin_consent: Option<String>,
    sharing: Sharing,
    editable: Editable,
    settled: Settled,
    history: Vec<Line>,
    namespace: String,
    name: String,
    card: Card,
}

/// The buttons of the page.
#[derive(Clone, Debug, Default)]
#[allow(clippy::struct_excessive_bools, reason = "each is one button")]
struct Buttons {
    connect: Option<&'static str>,
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

/// Times and names of the grant and its Secret.
#[derive(Clone, Debug, Default)]
struct Facts {
    expires: Option<Moment>,
    refreshed: Option<Moment>,
    next: Option<Moment>,
    grant_ends: Option<Moment>,
    refreshable: Option<bool>,
    failure: Option<(String, Moment)>,
    secret: Option<String>,
    stopped: Option<Stopped>,
}

/// The device code.
#[derive(Clone, Debug)]
struct Device {
    code: String,
    address: Option<String>,
    ends: Option<Moment>,
}

/// The connection's parameters, set when it was created.
#[derive(Clone, Debug, Default)]
struct Settled {
    parameters: Vec<Field>,
    keeper: Option<String>,
    /// They are invalid, and the reader can create another connection.
    remake: bool,
}

/// What may be edited here, and which tool manages the rest.
#[derive(Clone, Debug, Default)]
struct Editable {
    title: bool,
    description: bool,
    kept: Vec<(&'static str, String)>,
}

/// `GET /connections/{namespace}/{name}`
pub(crate) async fn page(subject: Subject) -> Reply {
    let told = tokio::try_join!(progress(&subject), history(&subject), sharing(&subject))?;
    Ok(html(&filled(subject, told).await))
}

async fn filled(
    subject: Subject,
    (progress, history, sharing): (Option<Progress>, Vec<Line>, Sharing),
) -> ConnectionPage {
    let Subject { visit, connection, card, may, .. } = &subject;
    let (reader, status) = (visit.reader(), connection.status.clone().unwrap_or_default());
    let standing = standing(connection, &card.title, reader);
    let waits = progress.as_ref().is_some_and(|progress| progress.waits);
    let (standing, progress) = told_once(standing, progress);
    ConnectionPage {
        frame: frame(&subject, waits || standing.is_passing()).await,
        title: subject.title(),
        page: subject.page(),
        id: subject.id(),
        owner: connection.spec.owner.clone(),
        description: connection.spec.description.clone().unwrap_or_default(),
        fixer: who_fixes(connection, reader, may.connect, card.contact.as_deref()),
        buttons: buttons(&subject, &standing, waits),
        account: status.account.clone().map(readable),
        connected: Moment::of(status.connected_at.as_ref(), reader.now),
        connected_by: status.connected_by.clone(),
        facts: facts(&subject, &status),
        scopes: became(known(&subject).as_ref(), &status.scopes.clone().unwrap_or_default()),
        extra: extra(&subject),
        device: status.authorization.as_ref().and_then(|authorization| device(authorization, reader.now)),
        admin_consent: status.authorization.as_ref().and_then(|it| web(it.admin_consent_url.as_deref())),
        sharing,
        editable: editable(&subject),
        settled: settled(&subject),
        standing,
        progress,
        history,
        namespace: subject.namespace,
        name: subject.name,
        card: subject.card,
    }
}

/// Shows once what both the reader's attempt and the connection's state say.
fn told_once(mut standing: Standing, progress: Option<Progress>) -> (Standing, Option<Progress>) {
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
async fn frame(subject: &Subject, waits: bool) -> Frame {
    let seen = version(&subject.visit.app.cluster, &subject.connection);
    Frame {
        live: Some(format!("{}/live?seen={seen}", subject.page())),
        again_after: waits.then_some(AGAIN_SECONDS),
        ..Frame::of(&subject.visit, &subject.title(), "connections").await
    }
}

fn readable(AccountStatus { id, name, email }: AccountStatus) -> AccountStatus {
    let clean = |text: Option<String>| text.as_deref().map(foreign);
    AccountStatus { id: foreign(&id), name: clean(name), email: clean(email) }
}

fn buttons(subject: &Subject, standing: &Standing, waits: bool) -> Buttons {
    let Subject { connection, card, may, .. } = subject;
    let deleting = subject.is_being_deleted();
    let connected = connection.status.as_ref().is_some_and(|status| status.connected_at.is_some());
    let disconnected = connection.is_disconnected();
    let paused = connection.is_paused();
    let usable = !deleting && !disconnected && !paused;
    let stopped_by = if disconnected { Some("disconnect") } else { paused.then_some("suspend") };
    let edits = |field| may.edit() && subject.keeper(field).is_none();
    let refused = may.refused_to_connect(connection);
    let word = if connected { "Reconnect" } else { "Connect" };
    let browser = card.connects_by_browser(connection) && usable && refused.is_none() && !waits;
    let confirm = standing.next == Next::Confirm && may.owns && may.patch;
    let wanted = matches!(standing.next, Next::Connect | Next::Reconnect);
    Buttons {
        connect: browser.then_some(word),
        is_next: wanted,
        refused: refused.clone().filter(|_| wanted),
        by_hand: wanted && usable && may.owns && !card.by_browser && !card.connects_by_code(connection),
        device: card.connects_by_code(connection) && usable && refused.is_none() && !waits && !confirm,
        confirm,
        again: disconnected && edits("disconnect"),
        pause: usable && connected && edits("suspend"),
        resume: paused && !disconnected && !deleting && edits("suspend"),
        held: stopped_by.and_then(|field| subject.keeper(field)),
        refresh: connected && usable && may.patch && !confirm,
        disconnect: (connected || confirm) && !deleting && !disconnected && edits("disconnect"),
        kept: subject.keeper("disconnect").filter(|_| may.edit() && !deleting && !disconnected),
        delete: !deleting && may.delete,
    }
}

fn facts(subject: &Subject, status: &IntegrationConnectionStatus) -> Facts {
    let Subject { visit, connection, .. } = subject;
    let (reader, token) = (visit.reader(), status.token.clone().unwrap_or_default());
    let (now, owner) = (reader.now, &connection.spec.owner);
    let failure = token.last_failure;
    Facts {
        expires: Moment::of(token.expires_at.as_ref(), now),
        refreshed: Moment::of(token.last_refreshed_at.as_ref(), now),
        next: Moment::of(token.next_refresh_at.as_ref(), now),
        grant_ends: Moment::of(status.grant.as_ref().and_then(|grant| grant.expires_at.as_ref()), now),
        refreshable: token.refreshable,
        failure: failure.map(|it| (reader.sentence(&it.message, owner), Moment::new(it.at.0, now))),
        secret: status.secret.as_ref().map(|secret| secret.name.clone()),
        stopped: stopped(connection, now),
    }
}

fn device(authorization: &AuthorizationStatus, now: Timestamp) -> Option<Device> {
    let code = authorization.user_code.as_deref()?;
    let complete = web(authorization.verification_uri_complete.as_deref());
    Some(Device {
        code: foreign(code),
        address: complete.or_else(|| web(authorization.verification_uri.as_deref())),
        ends: Moment::of(authorization.expires_at.as_ref(), now),
    })
}

/// A link to the web: a provider must not be able to set one to `javascript:`.
fn web(address: Option<&str>) -> Option<String> {
    let address = url::Url::parse(address?).ok()?;
    matches!(address.scheme(), "https" | "http").then(|| address.into())
}

fn editable(subject: &Subject) -> Editable {
    let (title, description) = (subject.keeper("displayName"), subject.keeper("description"));
    let may = subject.may.edit();
    Editable {
        title: may && title.is_none(),
        description: may && description.is_none(),
        kept: [("name", title), ("description", description)]
            .into_iter()
            .filter_map(|(what, keeper)| Some((what, keeper?)))
            .collect(),
    }
}

fn settled(subject: &Subject) -> Settled {
    Settled {
        parameters: parameters::settled(subject.provider().as_deref(), &subject.connection),
        keeper: subject.keeper("parameters"),
        remake: subject.connection.trouble() == Some(Reason::ParametersInvalid) && subject.may.owns,
    }
}

/// The connection's Events.
async fn history(subject: &Subject) -> Result<Vec<Line>, Failure> {
    let Subject { visit, connection, .. } = subject;
    let events: Api<Event> = Api::namespaced(visit.app.client.clone(), &subject.namespace);
    let uid = connection.uid().unwrap_or_default();
    let of_it = ListParams::default().fields(&format!("involvedObject.uid={uid}")).limit(100);
    let found = answered(events.list(&of_it)).await?;
    Ok(history::lines(&found.items, &connection.spec.owner, visit.reader()))
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
