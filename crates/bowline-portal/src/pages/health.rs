//! The state of the providers, for those who may see them.

use askama::Template;
use bowline_api::connection::Phase;
use bowline_api::provider::Rotation;
use kube::ResourceExt;

use crate::access::Permission;
use crate::error::{PageError, Reply};
use crate::page::{Frame, html};
use crate::view::provider::Card;
use crate::visit::Visit;

struct ProviderRow {
    card: Card,
    type_: String,
    callback: Option<String>,
    rotation: Option<&'static str>,
    connections: usize,
    broken: usize,
}

#[derive(Template)]
#[template(path = "health.html")]
struct HealthPage {
    frame: Frame,
    lines: Vec<ProviderRow>,
}

/// `GET /providers`
pub(crate) async fn page(visit: Visit) -> Reply {
    if !visit.allows(Permission::PROVIDERS).await? {
        let what = "Only users who may list IntegrationProviders can see the state of providers.";
        return Err(PageError::forbidden(what, "Ask your platform team if you need it."));
    }
    let connections = visit.app.cluster.connections.state();
    let mut lines: Vec<ProviderRow> = visit
        .app
        .cluster
        .providers
        .state()
        .iter()
        .map(|provider| {
            let name = provider.name_any();
            let status = provider.status.clone().unwrap_or_default();
            let ours = connections.iter().filter(|connection| connection.spec.provider == name);
            let phases: Vec<Option<Phase>> = ours.map(|it| it.phase()).collect();
            let broken = |phase: &&Option<Phase>| {
                matches!(phase, Some(Phase::Expired | Phase::Error | Phase::Revoked))
            };
            ProviderRow {
                card: Card::of(provider),
                type_: provider.spec.type_.clone(),
                callback: status.callback_url,
                rotation: status.rotation.and_then(|it| it.known()).map(rotation),
                connections: phases.len(),
                broken: phases.iter().filter(broken).count(),
            }
        })
        .collect();
    lines.sort_by_key(|line| (line.card.ready, line.card.title.to_lowercase()));
    let frame = Frame::of(&visit, "Providers", "providers").await;
    Ok(html(&HealthPage { frame, lines }))
}

fn rotation(rotation: Rotation) -> &'static str {
    match rotation {
        Rotation::None => "Refresh tokens stay the same.",
        Rotation::Optional => "Refresh tokens may be replaced on use.",
        Rotation::Sliding => "Refresh tokens are replaced on use; old ones keep working.",
        Rotation::SingleUse => "Refresh tokens are replaced on use; old ones die.",
        Rotation::PerMint => "No refresh tokens: access is minted again each time.",
    }
}
