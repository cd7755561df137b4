//! `connect`: the owner consents, in a browser or by a code typed on another device, and sees what came of it.

mod attempt;
mod course;
mod request;
mod words;

use anyhow::bail;
use bowline_api::IntegrationConnection;
use bowline_api::connection::Method;
use bowline_api::duration::Duration;
use kube::Api;
use tokio::time::Instant;

use super::describe::{About, Way, about, way};
use super::exit::NotInTime;
use super::screen::Screen;
use super::session::Session;
use super::table::Cell;
use super::wait::follow;
use course::Course;

const EXAMPLES: &str = "Examples:
  kubectl bowline connect github-work             open the connection's page
  kubectl bowline connect github-work --device    a code to type elsewhere
  kubectl bowline connect github-work --no-browser --timeout 30m
  kubectl bowline connect github-work --accept-account 583231

Opens the connection's page in the portal, where you see what is asked for
before you go to the provider, and waits until the connection is ready. With
--device nothing is opened here: open the address on any device and type the
code. The provider object must allow that (allow.deviceFlow). A code does not
prove who typed it, so you are asked whether the account is the one you meant.

The first consent is the owner's. The request by --device and the answer about
the account are annotations, so they need the right to patch the connection.";

/// Consent at the provider, in a browser or by a code for another device
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// The connection
    name: String,
    /// Get a code to type on another device
    #[arg(long)]
    device: bool,
    /// Only print the address
    #[arg(long, conflicts_with = "device")]
    no_browser: bool,
    /// The id of the account that you mean; then nobody is asked
    #[arg(long, value_name = "ID")]
    accept_account: Option<String>,
    /// Wait for the outcome; --wait=false only begins
    #[arg(
        long, value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1,
        default_missing_value = "true", require_equals = true, hide_possible_values = true
    )]
    wait: bool,
    /// How long to wait, such as 30s or 10m
    #[arg(long, value_name = "DURATION", default_value = "10m")]
    timeout: Duration,
}

impl Args {
    pub async fn run(self, session: &Session, screen: &mut Screen) -> anyhow::Result<()> {
        let connections = Api::namespaced(session.client.clone(), &session.namespace);
        let deadline = Instant::now() + self.timeout.get();
        let Some(before) = self.looked_at(session, &connections, deadline).await? else {
            return Err(self.late("the operator has not looked at it yet"));
        };
        let provider = about(session, &before).await?;
        check(&before, &provider)?;
        if self.device {
            check_device(&before, &provider)?;
        }
        let mut course = Course { args: &self, session, connections, before, provider };
        course.wait_while_blocked(deadline, screen).await?;
        course.run(deadline, screen).await
    }

    /// The connection, once the operator has said anything about it: before that there is no page and no verdict.
    async fn looked_at(
        &self,
        session: &Session,
        connections: &Api<IntegrationConnection>,
        deadline: Instant,
    ) -> anyhow::Result<Option<IntegrationConnection>> {
        let known = |connection: &IntegrationConnection| {
            connection.status.as_ref().is_some_and(|status| !status.conditions.is_empty())
        };
        let now = session.connection(&self.name).await?;
        if known(&now) || !self.wait {
            return Ok(Some(now));
        }
        let look = |connection: &IntegrationConnection| Ok(known(connection).then(|| connection.clone()));
        follow(connections, &self.name, deadline, look).await
    }

    fn late(&self, what: &str) -> anyhow::Error {
        NotInTime { limit: self.timeout, what: format!("{}: {what}", self.name) }.into()
    }
}

/// What can be known before anything is asked of anybody.
fn check(connection: &IntegrationConnection, provider: &About) -> anyhow::Result<()> {
    let spec = &connection.spec;
    let fill = |text: &str| {
        let namespace = connection.metadata.namespace.as_deref().unwrap_or_default();
        let name = connection.metadata.name.as_deref().unwrap_or_default();
        format!("{text} {name} -n {namespace}")
    };
    if connection.metadata.deletion_timestamp.is_some() {
        bail!("the connection is being deleted");
    }
    for (set, field) in [(spec.disconnect, "disconnect"), (spec.suspend, "suspend")] {
        if set == Some(true) {
            let patch =
                format!("{} --type merge -p '{{\"spec\":{{\"{field}\":false}}}}'", fill("kubectl patch ic"));
            bail!("spec.{field} is true; to go on, first: {patch}");
        }
    }
    if way(connection, provider) == Way::Intake {
        let import = fill("kubectl bowline import");
        bail!(
            "nobody consents to a connection of this method: bring its grant with: {import} --from-file FILE"
        );
    }
    Ok(())
}

/// What can be known of a code before one is asked for, where the provider object may be read.
fn check_device(connection: &IntegrationConnection, provider: &About) -> anyhow::Result<()> {
    let name = Cell::new(&connection.spec.provider).text;
    let whom = provider.contact.as_deref().unwrap_or("an administrator of the cluster");
    if !provider.methods.is_empty() && !provider.methods.contains(&Method::DeviceCode) {
        bail!("{name} has no codes to type on another device: connect without --device");
    }
    if provider.device_flow == Some(false) {
        bail!(
            "IntegrationProvider {name} does not allow codes (spec.allow.deviceFlow). Connect without --device, or ask {}",
            Cell::new(whom).text
        );
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn refused(spec: &Value, methods: &[Method]) -> Option<String> {
        let mut whole = json!({"metadata": {"name": "github", "namespace": "team-a"},
            "spec": {"provider": "github", "owner": "alice"}});
        whole["spec"].as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        let provider = About { methods: methods.to_vec(), ..About::default() };
        check(&serde_json::from_value(whole).unwrap(), &provider).err().map(|error| error.to_string())
    }

    #[test]
    fn what_cannot_be_consented_to_is_told_with_what_to_do_instead() {
        let well: &[&[Method]] = &[&[], &[Method::AuthorizationCode, Method::ApiKey], &[Method::DeviceCode]];
        for methods in well {
            assert_eq!(refused(&json!({}), methods), None, "{methods:?}");
        }
        for (spec, methods, words) in [
            (json!({"disconnect": true}), &[][..], "kubectl patch ic github -n team-a --type merge"),
            (json!({"suspend": true}), &[], "spec.suspend is true"),
            (json!({"method": "ApiKey"}), &[], "kubectl bowline import github -n team-a"),
            (json!({}), &[Method::BasicAuth], "kubectl bowline import github -n team-a"),
        ] {
            let said = refused(&spec, methods).unwrap();
            assert!(said.contains(words), "{spec}: {said}");
        }
    }
}
