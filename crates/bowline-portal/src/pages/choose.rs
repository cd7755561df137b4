//! Choose a provider: search, and one line each.

use std::collections::BTreeMap;

use askama::Template;
use axum::extract::{Query, State};
use axum::response::Response;
use bowline_oauth::catalog::look::Group;
use serde::Deserialize;

use super::super::App;
use super::super::failure::Failure;
use super::super::form::SignedIn;
use super::super::view::provider::{Card, heading};
use super::{Frame, html};

/// How many are offered to who has nothing connected yet.
const POPULAR: usize = 3;

/// What a reader looks for.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Search {
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

/// `GET /new`
pub async fn page(
    State(app): State<App>,
    SignedIn(session): SignedIn,
    Query(search): Query<Search>,
) -> Result<Response, Failure> {
    let cards = cards(&app);
    let total = cards.len();
    let wanted = search.q.to_lowercase();
    let fits = |card: &Card| {
        let text =
            format!("{} {} {} {}", card.title, card.name, heading(card.group), card.about).to_lowercase();
        wanted.split_whitespace().all(|word| text.contains(word))
    };
    let (ready, waiting): (Vec<_>, Vec<_>) = cards.into_iter().filter(fits).partition(|card| card.ready);
    let mut groups: BTreeMap<Group, Vec<Card>> = BTreeMap::new();
    for card in ready {
        groups.entry(card.group).or_default().push(card);
    }
    let groups = groups.into_iter().map(|(group, cards)| (heading(group), cards)).collect();
    let frame = Frame::of(&app, &session, "Choose a provider", "new").await;
    Ok(html(&ChoosePage { frame, search, groups, waiting, total }))
}

/// All providers, by their names for people.
pub fn cards(app: &App) -> Vec<Card> {
    let mut cards: Vec<Card> =
        app.cluster.providers.state().iter().map(|provider| Card::of(provider)).collect();
    cards.sort_by_key(|card| card.title.to_lowercase());
    cards
}

/// The providers with the most connections, of those that can be used.
pub fn popular(app: &App) -> Vec<Card> {
    let mut uses: BTreeMap<String, usize> = BTreeMap::new();
    for connection in app.cluster.connections.state() {
        *uses.entry(connection.spec.provider.clone()).or_default() += 1;
    }
    let mut cards: Vec<Card> = cards(app).into_iter().filter(|card| card.ready).collect();
    cards.sort_by_key(|card| std::cmp::Reverse(uses.get(&card.name).copied().unwrap_or_default()));
    cards.truncate(POPULAR);
    cards
}
