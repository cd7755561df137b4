//! Choose a provider: search, and one line each.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use askama::Template;
use axum::extract::Query;
use bowline_oauth::catalog::look::Group;
use serde::Deserialize;

use crate::cluster::Cluster;
use crate::error::Reply;
use crate::page::{Frame, html};
use crate::view::provider::{Card, heading};
use crate::visit::Visit;

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

/// `GET /new`
pub(crate) async fn page(visit: Visit, Query(search): Query<Search>) -> Reply {
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
