//! `describe`: what a connection is, why it is so, and what to do next.

mod advice;
mod next;
mod page;

pub(super) use next::{About, Way, account_in_full, share_steps, steps, way};

use bowline_api::names::{LABEL_CONNECTION_NAME, LABEL_CONNECTION_NAMESPACE};
use bowline_api::{ConnectionShare, IntegrationConnection, IntegrationProvider};
use k8s_openapi::api::core::v1::Event;
use kube::api::ListParams;
use kube::{Api, ResourceExt};

use super::rights::{Seen, seen};
use super::screen::Screen;
use super::session::Session;
use page::Page;

const EXAMPLES: &str = "Examples:
  kubectl bowline describe github-work
  kubectl bowline describe github-work -n team-a

Needs the right to get the connection. Where it is shared, its provider's
contact and recent events are shown as far as you may read them.";

/// Say what a connection is, why it is so, and who has to do what next
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// The connection
    name: String,
}

impl Args {
    pub async fn run(self, session: &Session, screen: &mut Screen) -> anyhow::Result<()> {
        let connection = session.connection(&self.name).await?;
        let page = Page {
            shares: shares(session, &connection).await?,
            events: events(session, &connection).await?,
            provider: about(session, &connection).await?,
            now: session.clock.now(),
            colours: screen.colours(),
            connection,
        };
        Ok(screen.result(&page.render())?)
    }
}

/// Where a connection is shared now.
pub(super) async fn shares(
    session: &Session,
    connection: &IntegrationConnection,
) -> anyhow::Result<Seen<Vec<ConnectionShare>>> {
    if connection.spec.shared != Some(true) {
        return Ok(Seen::Yes(Vec::new()));
    }
    let labels = format!(
        "{LABEL_CONNECTION_NAME}={},{LABEL_CONNECTION_NAMESPACE}={}",
        connection.name_any(),
        connection.namespace().unwrap_or_default()
    );
    let all: Api<ConnectionShare> = Api::all(session.client.clone());
    seen(all.list(&ListParams::default().labels(&labels)).await.map(|list| list.items))
}

async fn events(session: &Session, connection: &IntegrationConnection) -> anyhow::Result<Seen<Vec<Event>>> {
    let events: Api<Event> = Api::namespaced(session.client.clone(), &session.namespace);
    let regarding = format!("involvedObject.uid={}", connection.uid().unwrap_or_default());
    seen(events.list(&ListParams::default().fields(&regarding)).await.map(|list| list.items))
}

/// What the provider object says, as far as the user may read it.
pub(super) async fn about(session: &Session, connection: &IntegrationConnection) -> anyhow::Result<About> {
    let providers: Api<IntegrationProvider> = Api::all(session.client.clone());
    let provider = seen(providers.get_opt(&connection.spec.provider).await)?.yes().flatten();
    Ok(provider.map(About::from).unwrap_or_default())
}
