//! `providers`: what can be connected here.

use bowline_api::IntegrationProvider;
use kube::api::ListParams;
use kube::{Api, ResourceExt};

use super::output::{Output, json, list_of, yaml};
use super::screen::{Paint, Screen};
use super::session::{Session, plain};
use super::table::{Cell, Table};

const EXAMPLES: &str = "Examples:
  kubectl bowline providers          what can be connected, and how
  kubectl bowline providers -o wide  with the address to register there
  kubectl bowline providers -o name  for scripts

Providers are objects of the whole cluster: you need the right to list them
there (ClusterRole bowline-viewer or view, bound by a ClusterRoleBinding).";

/// List providers: how they connect, whether they work and why not
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Another form than the table
    #[arg(short, long, value_name = "FORM")]
    output: Option<Output>,
}

impl Args {
    pub async fn run(self, session: &Session, screen: &mut Screen) -> anyhow::Result<()> {
        let providers: Api<IntegrationProvider> = Api::all(session.client.clone());
        let mut items = providers.list(&ListParams::default()).await.map_err(plain)?.items;
        for provider in &mut items {
            provider.metadata.managed_fields = None;
        }
        if items.is_empty() && !self.output.is_some_and(Output::is_objects) {
            screen.progress("No providers found: an administrator makes an IntegrationProvider.");
            return Ok(());
        }
        Ok(screen.result(&render(&items, self.output, screen.colours())?)?)
    }
}

fn render(items: &[IntegrationProvider], output: Option<Output>, colours: bool) -> anyhow::Result<String> {
    match output {
        Some(Output::Json) => json(&list_of(items)),
        Some(Output::Yaml) => yaml(&list_of(items)),
        Some(Output::Name) => {
            let line =
                |it: &IntegrationProvider| format!("integrationprovider.bowline.dev/{}\n", it.name_any());
            Ok(items.iter().map(line).collect())
        }
        None | Some(Output::Wide) => {
            let wide = output.is_some();
            let mut heading = vec!["NAME", "TYPE", "METHODS", "READY", "REASON"];
            if wide {
                heading.extend(["CALLBACK URL", "CONTACT"]);
            }
            let rows: Vec<_> = items.iter().map(|provider| row(provider, wide)).collect();
            Ok(Table::fit(&heading, &rows, colours).1)
        }
    }
}

fn row(provider: &IntegrationProvider, wide: bool) -> Vec<Cell> {
    let status = provider.status.clone().unwrap_or_default();
    let ready = status.conditions.iter().find(|condition| condition.type_ == "Ready");
    let word = ready.map(|ready| ready.status.clone()).unwrap_or_default();
    let paint = ready.map(|ready| if ready.status == "True" { Paint::Good } else { Paint::Bad });
    let methods: Vec<_> = status.methods.iter().map(|method| format!("{method:?}")).collect();
    let mut row = vec![
        Cell::new(provider.name_any()),
        Cell::new(&provider.spec.type_),
        Cell::new(methods.join(",")),
        Cell::new(word).painted(paint),
        Cell::new(ready.map(|ready| ready.reason.clone()).unwrap_or_default()),
    ];
    if wide {
        row.push(Cell::new(status.callback_url.clone().unwrap_or_default()));
        row.push(Cell::new(provider.spec.contact.clone().unwrap_or_default()));
    }
    row
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
            "status": {"methods": ["AuthorizationCode", "RefreshToken"], "conditions": [ready],
                "callbackUrl": "https://bowline.example.com/callback/github"}});
        let other = json!({"metadata": {"name": "new"}, "spec": {"type": "slack"}});
        vec![serde_json::from_value(one).unwrap(), serde_json::from_value(other).unwrap()]
    }

    #[test]
    fn a_row_says_how_it_connects_and_why_it_does_not_work() {
        assert_eq!(
            render(&providers(), None, false).unwrap(),
            "NAME     TYPE     METHODS                          READY    REASON\n\
             github   github   AuthorizationCode,RefreshToken   False    AppSecretNotFound\n\
             new      slack    <none>                           <none>   <none>\n"
        );
        let wide = render(&providers(), Some(Output::Wide), false).unwrap();
        assert!(
            wide.contains("CALLBACK URL") && wide.contains("https://bowline.example.com/callback/github")
        );
    }

    #[test]
    fn scripts_get_names_or_objects() {
        assert_eq!(
            render(&providers(), Some(Output::Name), false).unwrap(),
            "integrationprovider.bowline.dev/github\nintegrationprovider.bowline.dev/new\n"
        );
        let list: serde_json::Value =
            serde_json::from_str(&render(&providers(), Some(Output::Json), false).unwrap()).unwrap();
        assert_eq!(list["items"][0]["spec"]["type"], "github");
    }
}
