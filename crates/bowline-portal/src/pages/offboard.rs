//! Offboarding: everything that somebody owns, what depends on it, and what is to become of each. Nothing is chosen beforehand,
//! one page sums it up, and the result names what became of each.

use std::collections::BTreeMap;
use std::sync::Arc;

use askama::Template;
use axum::extract::Query;
use axum::response::{IntoResponse, Response};
use bowline_api::IntegrationConnection;
use bowline_api::change::ConnectionChange;
use bowline_api::connection::DependentsStatus;
use bowline_api::membership::{in_connection, in_workspace};
use bowline_api::reason::quoted;
use futures::{StreamExt, TryStreamExt, stream};
use kube::ResourceExt;
use serde::Deserialize;

use super::list::visible;
use super::workspace::sees;
use crate::access::Permission;
use crate::error::{PageError, Reply};
use crate::log::Deeds;
use crate::offboarding::{GivenUp, LeavingRights, affects_others, carry_out, deed, shown};
use crate::page::{Frame, html};
use crate::view::managed::keeper;
use crate::view::row::ConnectionRow;
use crate::visit::{Fields, Form, Visit};

/// How many connections one page has: as many as one form may have fields for.
const SHOWN: usize = 50;
/// How many memberships are listed.
const NAMED: usize = 100;
const AT_ONCE: usize = 8;

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct OffboardQuery {
    user: String,
    page: usize,
}

#[derive(Template)]
#[template(path = "offboard.html")]
struct OffboardPage {
    frame: Frame,
    user: String,
    rows: Vec<OwnedRow>,
    total: usize,
    /// This page, from 0, and the last one.
    page: usize,
    last: usize,
    memberships: Vec<String>,
    more_memberships: usize,
    command: String,
    /// The new owner, as typed.
    to: String,
    /// Why nothing was changed.
    problem: Option<&'static str>,
}

impl OffboardPage {
    fn may_change(&self) -> bool {
        self.rows.iter().any(|row| !row.choices.is_empty())
    }
}

struct OwnedRow {
    uid: String,
    row: ConnectionRow,
    /// Where its Secrets are, as `NAMESPACE/NAME`.
    secrets: Vec<String>,
    dependents: Option<DependentsStatus>,
    /// What the reader may choose: the value and the words.
    choices: Vec<(&'static str, &'static str)>,
    /// Why there is nothing to choose.
    refusal: Option<String>,
}

#[derive(Template)]
#[template(path = "offboard-review.html")]
struct OffboardReviewPage {
    frame: Frame,
    user: String,
    to: String,
    rows: Vec<ReviewRow>,
    /// Whether the user's name must be typed: others are affected.
    by_name: bool,
    wrong: bool,
}

struct ReviewRow {
    uid: String,
    choice: String,
    seen: String,
    place: String,
    done: String,
    consequences: String,
    keeper: Option<String>,
}

#[derive(Template)]
#[template(path = "offboard-done.html")]
struct OffboardDonePage {
    frame: Frame,
    user: String,
    rows: Vec<DoneRow>,
    failed: usize,
}

struct DoneRow {
    place: String,
    words: String,
    why: String,
    failed: bool,
}

/// What was chosen for a connection.
struct Choice {
    connection: Arc<IntegrationConnection>,
    word: String,
    change: ConnectionChange,
    /// As the page that was confirmed has shown it; empty before that.
    seen: String,
}

const CHOICES: [(&str, &str); 4] = [
    ("transfer", "Transfer to the new owner"),
    ("unshare", "Stop sharing"),
    ("disconnect", "Disconnect"),
    ("delete", "Delete"),
];

fn change(word: &str, to: &str) -> Option<ConnectionChange> {
    match word {
        "transfer" => Some(ConnectionChange::Transfer(to.to_owned())),
        "unshare" => Some(ConnectionChange::Unshare),
        "disconnect" => Some(ConnectionChange::Disconnect),
        "delete" => Some(ConnectionChange::Delete),
        _ => None,
    }
}

fn place(connection: &IntegrationConnection) -> String {
    format!("{}/{}", connection.namespace().unwrap_or_default(), connection.name_any())
}

/// Where the Secrets of a connection are, as `NAMESPACE/NAME`.
pub(super) fn secrets(visit: &Visit, connection: &IntegrationConnection) -> Vec<String> {
    let own = connection.status.as_ref().and_then(|status| status.secret.as_ref());
    let own = own.map(|secret| format!("{}/{}", connection.namespace().unwrap_or_default(), secret.name));
    let mut shared: Vec<String> = visit
        .app
        .cluster
        .shares_of(connection)
        .iter()
        .filter_map(|share| {
            let name = share.status.as_ref()?.secret_name.clone()?;
            Some(format!("{}/{name}", share.namespace().unwrap_or_default()))
        })
        .collect();
    shared.sort();
    own.into_iter().chain(shared).collect()
}

/// The address of the page about a user.
pub(super) fn address(user: &str) -> String {
    let query = url::form_urlencoded::Serializer::new(String::new()).append_pair("user", user).finish();
    format!("/offboard?{query}")
}

/// `GET /offboard`
pub(crate) async fn page(visit: Visit, Query(asked): Query<OffboardQuery>) -> Reply {
    list(visit, asked, "", None).await
}

/// The connections of a user that the reader may see, in a stable order.
async fn owned(visit: &Visit, user: &str) -> Result<Vec<Arc<IntegrationConnection>>, PageError> {
    let mut all = visit.app.cluster.connections.state();
    all.retain(|connection| connection.spec.owner == user);
    let mut owned = visible(visit, all, |connection| &connection.metadata).await?;
    owned.sort_by_key(|connection| (connection.namespace(), connection.name_any()));
    Ok(owned)
}

async fn list(visit: Visit, asked: OffboardQuery, to: &str, problem: Option<&'static str>) -> Reply {
    let OffboardQuery { user, page } = asked;
    let user = user.trim().to_owned();
    let owned = owned(&visit, &user).await?;
    let (total, last) = (owned.len(), owned.len().saturating_sub(1) / SHOWN);
    let page = page.min(last);
    let part: Vec<_> = owned.into_iter().skip(page * SHOWN).take(SHOWN).collect();
    let rows = stream::iter(part).map(|connection| row(&visit, connection)).buffered(AT_ONCE);
    let rows = rows.try_collect().await?;
    let mut memberships = if user.is_empty() { Vec::new() } else { memberships(&visit, &user).await? };
    let more_memberships = memberships.len().saturating_sub(NAMED);
    memberships.truncate(NAMED);
    let command = format!("kubectl bowline offboard {} --remove-memberships", quoted(&user));
    let frame = Frame::of(&visit, "Offboarding", "connections").await;
    let to = to.to_owned();
    Ok(html(&OffboardPage {
        frame,
        user,
        rows,
        total,
        page,
        last,
        memberships,
        more_memberships,
        command,
        to,
        problem,
    }))
}

async fn row(visit: &Visit, connection: Arc<IntegrationConnection>) -> Result<OwnedRow, PageError> {
    let rights = LeavingRights::of(visit, &connection, false).await?;
    let possible = |word: &str| {
        // Of a transfer to nobody in particular.
        let change = change(word, "").filter(|change| change.applies_to(&connection));
        change.map(|change| rights.refusal(&change, &connection))
    };
    let choices: Vec<_> = CHOICES.into_iter().filter(|(word, _)| possible(word) == Some(None)).collect();
    Ok(OwnedRow {
        uid: connection.uid().unwrap_or_default(),
        row: ConnectionRow::of(&connection, visit.card(&connection.spec.provider), visit.reader()),
        secrets: secrets(visit, &connection),
        dependents: connection.dependents().cloned(),
        refusal: possible("transfer").flatten(),
        choices,
    })
}

/// Where the user is still named, a line each, as far as the reader may see it.
async fn memberships(visit: &Visit, user: &str) -> Result<Vec<String>, PageError> {
    let mut lines = Vec::new();
    for workspace in visit.app.cluster.workspaces.state() {
        if let Some(membership) = in_workspace(&workspace, user)
            && sees(visit, &workspace).await?
        {
            lines.push(membership.to_string());
        }
    }
    let mut naming = visit.app.cluster.connections.state();
    naming.retain(|connection| !in_connection(connection, user).is_empty());
    for connection in visible(visit, naming, |connection| &connection.metadata).await? {
        lines.extend(in_connection(&connection, user).iter().map(ToString::to_string));
    }
    lines.sort();
    Ok(lines)
}

/// `POST /offboard`: sums up what was chosen, and carries it out once that is confirmed.
pub(crate) async fn act(Form { visit, fields }: Form) -> Reply {
    let user = fields.filled("user").ok_or_else(|| PageError::bad_request("Nobody is named."))?.to_owned();
    let to = fields.text("to").to_owned();
    let (choices, unknown) = chosen(&visit, &fields, &user, &to).await?;
    let transfers = choices.iter().any(|it| matches!(it.change, ConnectionChange::Transfer(_)));
    let problem = match to.as_str() {
        _ if choices.is_empty() && unknown == 0 => Some("You have chosen nothing."),
        "" if transfers => Some("Say who the new owner is."),
        to if transfers && to == user => Some("That user owns them already."),
        _ => None,
    };
    if problem.is_some() {
        return list(visit, OffboardQuery { user, page: 0 }, &to, problem).await;
    }
    let by_name = choices.iter().any(|it| affects_others(&visit, &it.connection));
    let confirmed = fields.ticked("confirmed");
    if !confirmed || by_name && fields.text("name") != user {
        return review(visit, user, to, &choices, by_name, confirmed).await;
    }
    done(visit, user, choices, unknown).await
}

/// What the form has chosen of what the visitor may see; and how many choices are of nothing that they may see.
async fn chosen(
    visit: &Visit,
    fields: &Fields,
    user: &str,
    to: &str,
) -> Result<(Vec<Choice>, usize), PageError> {
    let asked: BTreeMap<&str, (&str, ConnectionChange)> =
        fields.beginning("do.").filter_map(|(uid, word)| Some((uid, (word, change(word, to)?)))).collect();
    if asked.len() > SHOWN {
        return Err(PageError::bad_request("These are more connections than a page has."));
    }
    let mut all = visit.app.cluster.connections.state();
    all.retain(|it| it.metadata.uid.as_deref().is_some_and(|uid| asked.contains_key(uid)));
    // One that has another owner by now is told by its result.
    let mut seen = visit.filter(all, |it| Permission::about("get", &it.metadata)).await?;
    seen.retain(|it| it.spec.owner == user);
    seen.sort_by_key(|it| (it.namespace(), it.name_any()));
    let unknown = asked.len() - seen.len();
    let choice = |connection: Arc<IntegrationConnection>| {
        let uid = connection.uid().unwrap_or_default();
        let (word, change) = asked.get(uid.as_str())?.clone();
        let seen = fields.text(&format!("seen.{uid}")).to_owned();
        Some(Choice { connection, word: word.to_owned(), change, seen })
    };
    Ok((seen.into_iter().filter_map(choice).collect(), unknown))
}

async fn review(
    visit: Visit,
    user: String,
    to: String,
    choices: &[Choice],
    by_name: bool,
    wrong: bool,
) -> Reply {
    let mut rows = Vec::new();
    for Choice { connection, word, change, .. } in choices {
        // As it is now, with the managers of its fields.
        let now = visit.read(&connection.namespace().unwrap_or_default(), &connection.name_any()).await?;
        rows.push(ReviewRow {
            uid: now.uid().unwrap_or_default(),
            choice: word.clone(),
            seen: shown(&visit, &now),
            place: place(&now),
            done: change.done(),
            consequences: change.consequences(&now),
            keeper: change.field().and_then(|field| keeper(&now, field)),
        });
    }
    let frame = Frame::of(&visit, &format!("Offboarding of {user}"), "connections").await;
    Ok(html(&OffboardReviewPage { frame, user, to, rows, by_name, wrong }))
}

async fn done(visit: Visit, user: String, choices: Vec<Choice>, unknown: usize) -> Reply {
    let (mut rows, mut deeds) = (Vec::new(), Deeds::default());
    for Choice { connection, change, seen, .. } in choices {
        let result = carry_out(&visit, &connection, &seen, &change).await;
        deeds.0.push(deed(&connection, &change, &result));
        rows.push(became(place(&connection), &change, result));
    }
    rows.extend((unknown > 0).then(|| DoneRow {
        place: format!("{unknown} of those chosen"),
        words: "not changed".to_owned(),
        why: format!("They do not belong to {user} any more, or you may not see them."),
        failed: true,
    }));
    let failed = rows.iter().filter(|row| row.failed).count();
    let frame = Frame::of(&visit, &format!("Offboarding of {user}"), "connections").await;
    let mut response: Response = html(&OffboardDonePage { frame, user, rows, failed }).into_response();
    response.extensions_mut().insert(deeds);
    Ok(response)
}

fn became(place: String, change: &ConnectionChange, result: Result<GivenUp, PageError>) -> DoneRow {
    match result {
        Ok(GivenUp::Done) => DoneRow { place, words: change.done(), why: String::new(), failed: false },
        Ok(GivenUp::Unchanged) => {
            DoneRow { place, words: "nothing to change".to_owned(), why: String::new(), failed: false }
        }
        Err(error) => {
            let reference = error.reference.map(|reference| format!(" Reference {reference}."));
            let why = error.what + &reference.unwrap_or_default();
            DoneRow { place, words: "not changed".to_owned(), why, failed: true }
        }
    }
}
