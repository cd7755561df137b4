//! `describe`: what a connection is, why it is so, and what to do next.

mod page;

use k8s_openapi::api::core::v1::Event;
use kube::ResourceExt;
use kube::api::ListParams;

use crate::reading::seen;
use crate::related::{provider_of, shares_of};
use crate::{Screen, UserSession};
use page::DescribePage;

const EXAMPLES: &str = "Examples:
  kubectl bowline describe github-work
  kubectl bowline describe github-work -n team-a

Needs the right to get the connection. Where it is shared, its provider's
contact and recent events are shown as far as you may read them.";

/// Show what a connection is, why it is so, and who has to do what next
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct DescribeArgs {
    /// The connection
    name: String,
}

impl DescribeArgs {
    pub(crate) async fn run(self, session: &UserSession, screen: &mut Screen) -> anyhow::Result<()> {
        let connection = session.connection(&self.name).await?;
        let regarding = format!("involvedObject.uid={}", connection.uid().unwrap_or_default());
        let events = session.api::<Event>().list(&ListParams::default().fields(&regarding)).await;
        let page = DescribePage {
            shares: shares_of(session, &connection).await?,
            events: seen(events)?.map(|list| list.items),
            provider: provider_of(session, &connection).await?,
            now: session.clock.now(),
            colours: screen.colours(),
            connection,
        };
        Ok(screen.result(&page.render())?)
    }
}
