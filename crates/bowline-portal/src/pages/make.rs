//! New connection: choose a provider, then a name, a namespace, and optionally a workspace. The user who creates it is its owner.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, Query};
use axum::response::{IntoResponse, Redirect};
use bowline_api::ConsumerConfig;
use bowline_api::{IntegrationConnectionSpec, IntegrationProvider};
use bowline_oauth::catalog::look::Group;
use kube::ResourceExt;
use serde::Deserialize;

use super::parameters::{self, ParameterField};
use super::workspace::own;
use crate::access::Permission;
use crate::cluster::Cluster;
use crate::error::{PageError, Reply};
use crate::page::{Frame, html};
use crate::subject::{is_label, is_name};
use crate::view::page_of;
use crate::view::provider::{Card, heading};
use crate::visit::{Fields, Form, Visit};

const NAME_LETTERS: usize = 128;
const DESCRIPTION_LETTERS: usize = 1024;

/// How many are suggested before the first connection.
const POPULAR: usize = 3;

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Search {
    q: String,
}

#[derive(Template)]
#[template(path = "choose.html")]
struct ChoosePage {
    frame: Frame,
    search: Search,
    groups: Vec<(&'static str, Vec<Card>)>,
    waiting: Vec<Card>,
    total: usize,
}

/// `GET /new`: search, and one line for each provider.
pub(crate) async fn choose(visit: Visit, Query(search): Query<Search>) -> Reply {
    let cards = cards(&visit.app.cluster);
    let total = cards.len();
    let wanted = search.q.to_lowercase();
    let fits = |card: &Card| {
        let parts = [card.title.as_str(), &card.name, heading(card.group), &card.about];
        let text = parts.join(" ").to_lowercase();
        wanted.split_whitespace().all(|word| text.contains(word))
    };
    let (ready, waiting): (Vec<_>, Vec<_>) = cards.into_iter().filter(fits).partition(|card| card.ready);
    let mut groups: BTreeMap<Group, Vec<Card>> = BTreeMap::new();
    for card in ready {
        groups.entry(card.group).or_default().push(card);
    }
    let groups = groups.into_iter().map(|(group, cards)| (heading(group), cards)).collect();
    let frame = Frame::of(&visit, "Choose a provider", "new").await;
    Ok(html(&ChoosePage { frame, search, groups, waiting, total }))
}

/// All providers, by display name.
fn cards(cluster: &Cluster) -> Vec<Card> {
    let mut cards: Vec<Card> = cluster.providers.state().iter().map(|provider| Card::of(provider)).collect();
    cards.sort_by_key(|card| card.title.to_lowercase());
    cards
}

/// The ready providers with the most connections.
pub(crate) fn popular(cluster: &Cluster) -> Vec<Card> {
    let mut uses: BTreeMap<String, usize> = BTreeMap::new();
    for connection in cluster.connections.state() {
        *uses.entry(connection.spec.provider.clone()).or_default() += 1;
    }
    let mut cards = cards(cluster);
    cards.retain(|card| card.ready);
    cards.sort_by_key(|card| Reverse(uses.get(&card.name)));
    cards.truncate(POPULAR);
    cards
}

#[derive(Template)]
#[template(path = "make.html")]
struct MakePage {
    frame: Frame,
    card: Card,
    namespaces: Vec<String>,
    workspaces: Vec<String>,
    suggested: String,
    /// Parameters that the provider leaves to connections.
    parameters: Vec<ParameterField>,
    owner: String,
    /// What is wrong with what was typed.
    wrong: Option<String>,
    typed: Fields,
}

/// The object's name: as typed, or derived from the display name.
fn object_name(typed: &Fields, provider: &str) -> String {
    match typed.filled("name") {
        Some(name) => name.to_owned(),
        None => suggestion(typed.filled("title").unwrap_or(provider)),
    }
}

fn flaw(typed: &Fields, provider: &str) -> Option<&'static str> {
    if typed.text("title").chars().count() > NAME_LETTERS {
        return Some("The name has more than 128 characters.");
    }
    if typed.text("description").chars().count() > DESCRIPTION_LETTERS {
        return Some("The description has more than 1024 characters.");
    }
    if !is_label(&object_name(typed, provider)) {
        return Some("The short name may contain lower-case letters, digits and dashes, at most 63.");
    }
    if !is_label(typed.text("namespace")) {
        return Some("Choose a namespace.");
    }
    let workspace = typed.filled("workspace");
    workspace.is_some_and(|name| !is_name(name)).then_some("Choose a workspace from the list.")
}

fn spec(typed: &Fields, provider: &IntegrationProvider, owner: &str) -> IntegrationConnectionSpec {
    let filled = |name| typed.filled(name).map(ToOwned::to_owned);
    IntegrationConnectionSpec {
        provider: provider.name_any(),
        owner: owner.to_owned(),
        workspace: filled("workspace"),
        display_name: filled("title"),
        description: filled("description"),
        shared: None,
        scopes: Vec::new(),
        suspend: None,
        disconnect: None,
        method: None,
        parameters: parameters::typed(provider, typed),
        credentials: None,
        app: None,
        config: ConsumerConfig::new(),
        account: None,
        secret: None,
        members: Vec::new(),
        deletion_protection: None,
    }
}

/// `GET /new/{provider}`
pub(crate) async fn page(visit: Visit, Path(provider): Path<String>) -> Reply {
    form(&visit, &*found(&visit, &provider)?, None, Fields::default()).await
}

/// `POST /new/{provider}`
pub(crate) async fn make(Path(provider): Path<String>, sent: Form) -> Reply {
    let Form { visit, fields: typed } = sent;
    let object = found(&visit, &provider)?;
    let flaw = flaw(&typed, &provider).map(ToOwned::to_owned).or_else(|| flawed_fields(&object, &typed));
    if flaw.is_some() {
        return form(&visit, &object, flaw, typed).await;
    }
    let (namespace, name) = (typed.text("namespace"), object_name(&typed, &provider));
    let permission = Permission::connection("create", namespace, "");
    if !visit.app.access.allows_now(&visit.session, permission).await? {
        let flaw = format!("You are not allowed to create connections in {namespace}.");
        return form(&visit, &object, Some(flaw), typed).await;
    }
    match visit.create(namespace, &name, spec(&typed, &object, visit.session.user())).await {
        Ok(()) => Ok(Redirect::to(&page_of(namespace, &name)).into_response()),
        Err(error) if error.status.is_client_error() => form(&visit, &object, Some(error.what), typed).await,
        Err(error) => Err(error),
    }
}

fn found(visit: &Visit, provider: &str) -> Result<Arc<IntegrationProvider>, PageError> {
    visit.app.cluster.provider(provider).ok_or_else(PageError::not_found)
}

/// Names the fields that show what is wrong with them.
fn flawed_fields(provider: &IntegrationProvider, typed: &Fields) -> Option<String> {
    let fields = parameters::fields(provider, &parameters::typed(provider, typed), true);
    let wrong = fields.iter().filter(|field| field.wrong.is_some()).map(|field| field.label.as_str());
    let wrong = wrong.collect::<Vec<_>>().join(", ");
    (!wrong.is_empty()).then(|| format!("Check {wrong} again."))
}

async fn form(visit: &Visit, provider: &IntegrationProvider, wrong: Option<String>, typed: Fields) -> Reply {
    let card = Card::of(provider);
    Ok(html(&MakePage {
        frame: Frame::of(visit, &format!("Connect {}", card.title), "new").await,
        namespaces: namespaces(visit).await?,
        workspaces: own(visit),
        parameters: parameters::fields(provider, &parameters::typed(provider, &typed), wrong.is_some()),
        suggested: suggestion(&card.title),
        owner: visit.session.user().to_owned(),
        card,
        wrong,
        typed,
    }))
}

/// Namespaces in which the user may create connections.
async fn namespaces(visit: &Visit) -> Result<Vec<String>, PageError> {
    let all = visit.app.cluster.namespaces.state();
    let lasting = all.iter().filter(|namespace| namespace.metadata.deletion_timestamp.is_none());
    let mut names: Vec<String> = lasting.map(|namespace| namespace.name_any()).collect();
    names.sort();
    visit.filter(names, |namespace| Permission::connection("create", namespace, "")).await
}

/// An object name derived from a display name.
fn suggestion(title: &str) -> String {
    let title = title.to_lowercase();
    let words: Vec<&str> =
        title.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty()).collect();
    let name: String = words.join("-").chars().take(63).collect();
    name.trim_matches('-').to_owned()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_name_for_people_becomes_one_for_kubernetes() {
        for (title, name) in [("GitHub (work)", "github-work"), ("  Ärger & Co ", "rger-co"), ("a__b", "a-b")]
        {
            assert_eq!(suggestion(title), name);
        }
        assert!(is_label(&suggestion(&"x y ".repeat(100))));
    }

    #[test]
    fn what_cannot_be_a_connection_is_said_before_it_is_tried() {
        let form = |[title, name, namespace, workspace, description]: [&str; 5]| {
            let names = ["title", "name", "namespace", "workspace", "description"];
            let pairs = names.into_iter().zip([title, name, namespace, workspace, description]);
            let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
            Fields::read(body.as_bytes()).unwrap()
        };
        assert_eq!(flaw(&form(["Work", "", "team-a", "", ""]), "github"), None);
        let (title, description) = ("x".repeat(129), "x".repeat(1025));
        for (typed, about) in [
            ([title.as_str(), "", "team-a", "", ""], "128"),
            (["Work", "Not a name", "team-a", "", ""], "short name"),
            (["!!!", "", "team-a", "", ""], "short name"),
            (["Work", "", "", "", ""], "namespace"),
            (["Work", "", "team-a", "a/b", ""], "workspace"),
            (["Work", "", "team-a", "", &description], "1024"),
        ] {
            assert!(flaw(&form(typed), "github").is_some_and(|flaw| flaw.contains(about)), "{typed:?}");
        }
    }
}
