//! `connect`: the owner consents, in a browser or with a code typed on another device, and sees the result.

mod code;
mod course;

use anyhow::bail;

use crate::related::{ProviderFacts, provider_of};
use crate::table::printable;
use crate::wait::{WaitArgs, follow};
use crate::{Screen, UserSession};
use bowline_api::IntegrationConnection;
use bowline_api::condition::Conditioned;
use bowline_api::connection::Method;
use bowline_api::reason::{Entrance, Reason};
use course::Course;

const EXAMPLES: &str = "Examples:
  kubectl bowline connect github-work             open the connection's page
  kubectl bowline connect github-work --device    a code to type elsewhere
  kubectl bowline connect github-work --no-browser --timeout 30m
  kubectl bowline connect github-work --accept-account 583231

Opens the connection's page in the portal, which shows what will be requested
before you go to the provider, and waits until the connection is ready. With
--device nothing is opened here: open the address on any device and type the
code. The provider object must allow that (allow.deviceFlow). A code does not
prove who typed it, so you are asked whether the account is the right one.

Only the owner can give the first consent. The request by --device and the
answer about the account are annotations, so they need the right to patch the
connection.";

/// Allow access at the provider, in a browser or with a code on another device
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES, mut_arg("timeout", |timeout| timeout.default_value("10m")))]
pub(crate) struct ConnectArgs {
    /// The connection
    name: String,
    /// Get a code to type on another device
    #[arg(long)]
    device: bool,
    /// Only print the address
    #[arg(long, conflicts_with = "device")]
    no_browser: bool,
    /// The id of the right account; then nobody is asked
    #[arg(long, value_name = "ID")]
    accept_account: Option<String>,
    #[command(flatten)]
    wait: WaitArgs,
}

impl ConnectArgs {
    pub(crate) async fn run(self, session: &UserSession, screen: &mut Screen) -> anyhow::Result<()> {
        let deadline = self.wait.deadline();
        let mut before = session.connection(&self.name).await?;
        // Before the operator has reported anything there is no page.
        if before.conditions().is_empty() && self.wait.wait {
            let look = |now: &IntegrationConnection| Ok((!now.conditions().is_empty()).then(|| now.clone()));
            let Some(now) = follow(session, &self.name, deadline, look).await? else {
                return Err(self.late("the operator has not looked at it yet"));
            };
            before = now;
        }
        let provider = provider_of(session, &before).await?;
        check(&before, &provider)?;
        if self.device {
            check_device(&before, &provider)?;
        }
        let mut course = Course { args: &self, session, screen, deadline, before, provider, shown: None };
        course.wait_while_blocked().await?;
        course.run().await
    }

    fn late(&self, what: &str) -> anyhow::Error {
        self.wait.late(format!("{}: {what}", self.name))
    }
}

/// Refuses what cannot succeed, before anything is requested.
fn check(connection: &IntegrationConnection, provider: &ProviderFacts) -> anyhow::Result<()> {
    if connection.metadata.deletion_timestamp.is_some() {
        bail!("the connection is being deleted");
    }
    let (entrance, facts) = (provider.entrance(connection), connection.facts());
    let settings = [
        (connection.is_disconnected(), "disconnect", Reason::Disconnected),
        (connection.is_paused(), "suspend", Reason::Suspended),
    ];
    if let Some((_, field, reason)) = settings.into_iter().find(|(is_set, ..)| *is_set) {
        bail!("spec.{field} is true; to continue, first: {}", reason.command(&facts, entrance));
    }
    if entrance == Entrance::Key {
        let command = Reason::AwaitingAuthorization.command(&facts, entrance);
        bail!("keys are issued for this connection: create one with: {command}");
    }
    if entrance == Entrance::Import {
        bail!(
            "nobody consents to a connection of this method: import its grant with: {}",
            Reason::AwaitingAuthorization.command(&facts, entrance)
        );
    }
    Ok(())
}

/// Refuses a code that cannot succeed, if the user may read the provider object.
fn check_device(connection: &IntegrationConnection, provider: &ProviderFacts) -> anyhow::Result<()> {
    let name = printable(&connection.spec.provider);
    if !provider.methods.is_empty() && !provider.methods.iter().any(|method| method.is(Method::DeviceCode)) {
        bail!("{name} has no codes to type on another device: connect without --device");
    }
    if provider.device_flow == Some(false) {
        let contact = printable(provider.contact.as_deref().unwrap_or("your platform team"));
        bail!(
            "IntegrationProvider {name} does not allow codes (spec.allow.deviceFlow). Connect without --device, or ask {contact}"
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
        let methods = methods.iter().map(|method| (*method).into()).collect();
        let provider = ProviderFacts { methods, ..ProviderFacts::default() };
        check(&serde_json::from_value(whole).unwrap(), &provider).err().map(|error| error.to_string())
    }

    #[test]
    fn what_nobody_can_consent_to_is_said_with_what_to_do_instead() {
        let well: &[&[Method]] = &[&[], &[Method::AuthorizationCode, Method::ApiKey], &[Method::DeviceCode]];
        for methods in well {
            assert_eq!(refused(&json!({}), methods), None, "{methods:?}");
        }
        for (spec, methods, words) in [
            (json!({"disconnect": true}), &[][..], "kubectl patch ic github -n team-a --type merge"),
            (json!({"suspend": true}), &[], "spec.suspend is true"),
            (json!({"method": "ApiKey"}), &[], "kubectl bowline import github -n team-a"),
            (json!({}), &[Method::IssuedKey], "kubectl bowline issue github -n team-a"),
            (json!({}), &[Method::BasicAuth], "kubectl bowline import github -n team-a"),
        ] {
            let said = refused(&spec, methods).unwrap();
            assert!(said.contains(words), "{spec}: {said}");
        }
    }
}
