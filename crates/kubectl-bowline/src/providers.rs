//! `providers`: what can be connected here.

use kube::ResourceExt;
use kube::api::ListParams;

use crate::output::{ListView, Output};
use crate::screen::{Paint, Screen};
use crate::session::UserSession;
use crate::table::Cell;
use bowline_api::IntegrationProvider;
use bowline_api::condition::{ConditionType::Ready, Conditioned};

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
        let items: Vec<IntegrationProvider> = session.all(&ListParams::default()).await??;
        let empty = "No providers found: an administrator creates an IntegrationProvider.";
        PROVIDERS.show(&items, self.output, session.clock.now(), empty, screen)
    }
}

const PROVIDERS: ListView<IntegrationProvider> = ListView {
    name: |it| format!("integrationprovider.bowline.dev/{}", it.name_any()),
    usual: &[
        ("NAME", |it, _| Cell::new(it.name_any())),
        ("TYPE", |it, _| Cell::new(&it.spec.type_)),
        ("METHODS", |it, _| {
            let methods = it.status.iter().flat_map(|status| &status.methods);
            Cell::new(methods.map(ToString::to_string).collect::<Vec<_>>().join(","))
        }),
        ("READY", |it, _| {
            let paint = if it.is(Ready) { Paint::Good } else { Paint::Bad };
            Cell::some(it.condition(Ready).map(|ready| &ready.status)).painted(Some(paint))
        }),
        ("REASON", |it, _| Cell::some(it.condition(Ready).map(|ready| &ready.reason))),
    ],
    wide: &[
        ("CALLBACK URL", |it, _| {
            Cell::some(it.status.as_ref().and_then(|status| status.callback_url.as_ref()))
        }),
        ("CONTACT", |it, _| Cell::some(it.spec.contact.as_ref())),
    ],
};

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use k8s_openapi::jiff::Timestamp;
    use serde_json::json;

    use super::*;

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

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
            PROVIDERS.render(&providers(), None, NOW, false).unwrap(),
            "NAME     TYPE     METHODS                          READY    REASON\n\
             github   github   AuthorizationCode,RefreshToken   False    AppSecretNotFound\n\
             new      slack    <none>                           <none>   <none>\n"
        );
        let wide = PROVIDERS.render(&providers(), Some(Output::Wide), NOW, false).unwrap();
        assert!(
            wide.contains("CALLBACK URL") && wide.contains("https://bowline.example.com/callback/github")
        );
    }

    #[test]
    fn scripts_get_names_or_objects() {
        assert_eq!(
            PROVIDERS.render(&providers(), Some(Output::Name), NOW, false).unwrap(),
            "integrationprovider.bowline.dev/github\nintegrationprovider.bowline.dev/new\n"
        );
        let list: serde_json::Value =
            serde_json::from_str(&PROVIDERS.render(&providers(), Some(Output::Json), NOW, false).unwrap())
                .unwrap();
        assert_eq!(list["items"][0]["spec"]["type"], "github");
    }
}
