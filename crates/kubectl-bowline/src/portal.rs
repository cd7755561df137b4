//! `portal`: where the portal is. The plug-in has no setting for it: it reads what the operator writes into status.

use anyhow::bail;
use kube::ResourceExt;
use kube::api::ListParams;
use url::Url;

use crate::{Screen, UserSession};
use bowline_api::{IntegrationConnection, IntegrationProvider};

const EXAMPLES: &str = "Examples:
  kubectl bowline portal               open it in a browser, and print where
  kubectl bowline portal --no-browser  only print where it is

The address is read from the status of providers and of connections in your
namespace, as far as you may read them.";

/// Show where the portal is, and open it
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct PortalArgs {
    /// Only print the address
    #[arg(long)]
    no_browser: bool,
}

impl PortalArgs {
    pub(crate) async fn run(self, session: &UserSession, screen: &mut Screen) -> anyhow::Result<()> {
        let Some(portal) = find(session).await? else {
            bail!(
                "no portal is known here: ask an administrator whether the operator runs with --portal-url (kubectl bowline doctor checks)"
            );
        };
        Ok(screen.visit(&portal, self.no_browser)?)
    }
}

/// The portal's address, if anything that the user may read contains it.
pub(crate) async fn find(session: &UserSession) -> anyhow::Result<Option<Url>> {
    let providers = session.all(&ListParams::default()).await?;
    if let Some(portal) = providers.iter().flatten().find_map(of_provider) {
        return Ok(Some(portal));
    }
    let connections = session.within(&session.namespace).await?;
    Ok(connections.iter().flatten().find_map(of_connection))
}

/// A connection's page in the portal.
pub(crate) async fn page(
    session: &UserSession,
    connection: &IntegrationConnection,
) -> anyhow::Result<Option<Url>> {
    // Its status contains the page only while there is something to do.
    Ok(match own_page(connection) {
        Some(page) => Some(page),
        None => find(session).await?.and_then(|portal| portal.join(&path_of(connection)).ok()),
    })
}

fn of_provider(provider: &IntegrationProvider) -> Option<Url> {
    let callback = provider.status.as_ref()?.callback_url.as_deref()?;
    base(callback, &format!("callback/{}", provider.name_any()))
}

fn of_connection(connection: &IntegrationConnection) -> Option<Url> {
    base(own_page(connection)?.as_str(), &path_of(connection))
}

fn own_page(connection: &IntegrationConnection) -> Option<Url> {
    web_page(connection.status.as_ref()?.authorization.as_ref()?.url.as_deref()?)
}

fn path_of(connection: &IntegrationConnection) -> String {
    format!("connections/{}/{}", connection.namespace().unwrap_or_default(), connection.name_any())
}

/// The part before the path; ends with a slash, so that paths can be joined to it.
fn base(address: &str, path: &str) -> Option<Url> {
    address.strip_suffix(path).filter(|base| base.ends_with('/')).and_then(web_page)
}

fn web_page(address: &str) -> Option<Url> {
    address.parse().ok().filter(|url: &Url| matches!(url.scheme(), "http" | "https"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use bowline_api::IntegrationProviderStatus;
    use serde_json::json;

    use super::*;

    fn provider(callback: &str) -> IntegrationProvider {
        let mut provider: IntegrationProvider =
            serde_json::from_value(json!({"metadata": {"name": "github"}, "spec": {"type": "github"}}))
                .unwrap();
        let callback_url = Some(callback.to_owned());
        provider.status = Some(IntegrationProviderStatus { callback_url, ..Default::default() });
        provider
    }

    fn connection(url: &str) -> IntegrationConnection {
        serde_json::from_value(json!({"metadata": {"name": "work", "namespace": "team-a"},
            "spec": {"provider": "github", "owner": "alice"}, "status": {"authorization": {"url": url}}}))
        .unwrap()
    }

    #[test]
    fn the_portals_address_is_what_stands_before_a_path_of_ours() {
        let told = |url: Option<Url>| url.map(String::from);
        for (callback, portal) in [
            ("https://bowline.example.com/callback/github", Some("https://bowline.example.com/")),
            ("https://example.com/tools/bowline/callback/github", Some("https://example.com/tools/bowline/")),
            ("https://example.com/callback/slack", None),
            ("javascript:/callback/github", None),
        ] {
            assert_eq!(told(of_provider(&provider(callback))).as_deref(), portal, "{callback}");
        }
        let page = "https://example.com/tools/connections/team-a/work";
        assert_eq!(told(of_connection(&connection(page))).as_deref(), Some("https://example.com/tools/"));
        assert_eq!(told(of_connection(&connection("javascript:connections/team-a/work"))), None);
    }

    #[test]
    fn a_page_is_joined_to_a_portal_below_a_path() {
        let portal: Url = "https://example.com/tools/".parse().unwrap();
        let page = portal.join(&path_of(&connection(""))).unwrap();
        assert_eq!(page.as_str(), "https://example.com/tools/connections/team-a/work");
    }
}
