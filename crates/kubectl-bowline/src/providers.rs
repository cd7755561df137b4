//! `providers`: what can be connected here.

use kube::ResourceExt;
use kube::api::ListParams;

use crate::output::{ListView, Output};
use crate::screen::{Paint, Screen};
use crate::session::{UserSession, plain};
use crate::table::Cell;
use bowline_api::IntegrationProvider;
use bowline_api::condition::ConditionType::Ready;
use bowline_api::condition::Conditioned;

const EXAMPLES: &str = "Examples:
  kubectl bowline providers          what can be connected, and how
  kubectl bowline providers -o wide  with the address to register there
  kubectl bowline providers -o name  for scripts

Providers are objects of the whole cluster: you need the right to list them
there (ClusterRole bowline-viewer or view, bound by a ClusterRoleBinding).";

/// List providers: how they connect, whether they work and why not
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ProvidersArgs {
    /// Another format than the table
    #[arg(short, long, value_name = "FORMAT")]
    output: Option<Output>,
}

impl ProvidersArgs {
    pub(crate) async fn run(self, session: &UserSession, screen: &mut Screen) -> anyhow::Result<()> {
        let mut items: Vec<IntegrationProvider> = session.all(&ListParams::default()).await.map_err(plain)?;
        for provider in &mut items {
            provider.metadata.managed_fields = None;
        }
        if items.is_empty() && !self.output.is_some_and(Output::is_objects) {
            screen.progress("No providers found: an administrator creates an IntegrationProvider.");
            return Ok(());
        }
        Ok(screen.result(&PROVIDERS.render(&items, self.output, screen.colours())?)?)
    }
}

const PROVIDERS: ListView<IntegrationProvider> = ListView {
    name: |provider| format!("integrationprovider.bowline.dev/{}", provider.name_any()),
    usual: &[
        ("NAME", |provider| Cell::new(provider.name_any())),
        ("TYPE", |provider| Cell::new(&provider.spec.type_)),
        ("METHODS", |provider| Cell::new(methods(provider).join(","))),
        ("READY", |provider| {
            let paint = if provider.is(Ready) { Paint::Good } else { Paint::Bad };
            Cell::some(provider.condition(Ready).map(|ready| &ready.status)).painted(Some(paint))
        }),
        ("REASON", |provider| Cell::some(provider.condition(Ready).map(|ready| &ready.reason))),
    ],
    wide: &[
        ("CALLBACK URL", |provider| {
            Cell::some(provider.status.as_ref().and_then(|status| status.callback_url.as_ref()))
        }),
        ("CONTACT", |provider| Cell::some(provider.spec.contact.as_ref())),
    ],
};

fn methods(provider: &IntegrationProvider) -> Vec<String> {
    let methods = provider.status.iter().flat_map(|status| &status.methods);
    methods.map(ToString::to_string).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    fn providers() -> Vec<IntegrationProvider> {
        let ready = json!({"type": "Ready", "status": "False", "reason": "AppSecretNotFound", "message": "",
            "lastTransitionTime": "2026-01-01T00:00:00Z"});
        let one = json!({"metadata": {"name": "github"}, "spec": {"type": "github", "contact": "platform"},
            "status": {"methods": ["AuthorizationCode", "RefreshToken"], "conditions": [ready]}});
        let other = json!({"metadata": {"name": "new"}, "spec": {"type": "slack"}});
        let mut one: IntegrationProvider = serde_json::from_value(one).unwrap();
        one.status.as_mut().unwrap().callback_url =
            Some("https://bowline.example.com/callback/github".into());
        vec![one, serde_json::from_value(other).unwrap()]
    }

    #[test]
    fn a_row_says_how_it_connects_and_why_it_does_not_work() {
        assert_eq!(
            PROVIDERS.render(&providers(), None, false).unwrap(),
            "NAME     TYPE     METHODS                          READY    REASON\n\
             github   github   AuthorizationCode,RefreshToken   False    AppSecretNotFound\n\
             new      slack    <none>                           <none>   <none>\n"
        );
        let wide = PROVIDERS.render(&providers(), Some(Output::Wide), false).unwrap();
        assert!(
            wide.contains("CALLBACK URL") && wide.contains("https://bowline.example.com/callback/github")
        );
    }

    #[test]
    fn scripts_get_names_or_objects() {
        assert_eq!(
            PROVIDERS.render(&providers(), Some(Output::Name), false).unwrap(),
            "integrationprovider.bowline.dev/github\nintegrationprovider.bowline.dev/new\n"
        );
        let list: serde_json::Value =
            serde_json::from_str(&PROVIDERS.render(&providers(), Some(Output::Json), false).unwrap())
                .unwrap();
        assert_eq!(list["items"][0]["spec"]["type"], "github");
    }
}
