//! `connect`: the owner consents, in a browser or by a code typed on another device, and sees what came of it.

mod attempt;
mod words;

use anyhow::bail;
use k8s_openapi::jiff::Timestamp;
use kube::Api;
use kube::api::{Patch, PatchParams};
use kube::core::Duration;
use serde_json::json;
use tokio::time::Instant;

use super::describe::{About, Way, about, account_in_full, steps, way};
use super::exit::{NotInTime, Usage};
use super::portal;
use super::screen::Screen;
use super::session::{Session, plain};
use super::table::Cell;
use super::wait::{duration, follow};
use crate::api::IntegrationConnection;
use crate::api::names::{ANNOTATION_ACCEPT_ACCOUNT, ANNOTATION_AUTHORIZE_REQUESTED, UNNAMED_ACCOUNT};
use attempt::{Attempt, End, News};

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

/// An account whose id nobody tells.
const NOT_NAMED: &str = "an account that the provider does not name";

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
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = duration)]
    timeout: Duration,
}

impl Args {
    pub async fn run(self, session: &Session, screen: &mut Screen) -> anyhow::Result<()> {
        let connections = Api::namespaced(session.client.clone(), &session.namespace);
        let deadline = Instant::now() + self.timeout.into();
        let Some(before) = self.looked_at(&connections, deadline).await? else {
            return Err(self.late("the operator has not looked at it yet"));
        };
        let provider = about(session, &before).await?;
        check(&before, &provider)?;
        let mut course = Course { args: &self, session, connections, before, provider };
        course.run(deadline, screen).await
    }

    /// The connection, once the operator has said anything about it: before that there is no page and no verdict.
    async fn looked_at(
        &self,
        connections: &Api<IntegrationConnection>,
        deadline: Instant,
    ) -> anyhow::Result<Option<IntegrationConnection>> {
        let known = |connection: &IntegrationConnection| {
            connection.status.as_ref().is_some_and(|status| !status.conditions.is_empty())
        };
        let now = connections.get(&self.name).await.map_err(plain)?;
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

/// One run of the command.
struct Course<'a> {
    args: &'a Args,
    session: &'a Session,
    connections: Api<IntegrationConnection>,
    before: IntegrationConnection,
    provider: About,
}

impl Course<'_> {
    async fn run(&mut self, deadline: Instant, screen: &mut Screen) -> anyhow::Result<()> {
        let Some(mut attempt) = self.begin(screen).await? else { return Ok(()) };
        if !self.args.wait {
            return Ok(());
        }
        screen.progress(&format!("Waiting up to {} ...", self.args.timeout));
        loop {
            let name = &self.args.name;
            let look = |connection: &IntegrationConnection| {
                Ok(match attempt.see(connection) {
                    News::None => None,
                    News::Underway => {
                        screen.progress("Somebody is at the provider, or the answer is being checked ...");
                        None
                    }
                    News::Code(code) => {
                        screen.result(&words::code(connection, &code, self.session.clock.now()))?;
                        None
                    }
                    News::End(end) => Some((end, connection.clone())),
                })
            };
            match follow(&self.connections, name, deadline, look).await? {
                None => {
                    return Err(self.args.late("it goes on without you; the page and the code stay good"));
                }
                Some((End::Confirm, now)) => {
                    self.confirm(&now, screen).await?;
                    attempt.confirmed();
                }
                Some((end, now)) => return self.tell(&end, &now, screen),
            }
        }
    }

    /// Asks for a code, or shows the page; `None` where there is nothing to wait for.
    async fn begin(&self, screen: &mut Screen) -> anyhow::Result<Option<Attempt>> {
        let name = &self.args.name;
        if attempt::awaits_confirmation(&self.before) {
            return Ok(Some(Attempt::by_page(&self.before)));
        }
        if self.args.device || way(&self.before, &self.provider) == Way::Device {
            let request = request(&self.before, self.session.clock.now());
            self.annotate(ANNOTATION_AUTHORIZE_REQUESTED, &request).await?;
            screen.progress(&format!("Asked for a code to connect {name}."));
            return Ok(Some(Attempt::by_device(&self.before, request)));
        }
        let Some(page) = portal::page(self.session, &self.before).await? else {
            bail!(
                "no portal is known here, so there is no page to open. Where the provider allows it, use --device; else ask an administrator whether the operator runs with --portal-url (kubectl bowline doctor looks)"
            );
        };
        let is_ready = attempt::is_ready(&self.before);
        screen.progress(&if is_ready {
            format!("{name} is connected already. To authorize it again in place:")
        } else {
            format!("To connect {}, sign in there as {}:", words::what(&self.before), self.before.spec.owner)
        });
        screen.result(&format!("{page}\n"))?;
        if !self.args.no_browser && screen.browse(&page) {
            screen.progress("Opened in your browser.");
        }
        Ok((!is_ready).then(|| Attempt::by_page(&self.before)))
    }

    /// Has the owner say that the account is the right one.
    async fn confirm(&self, now: &IntegrationConnection, screen: &mut Screen) -> anyhow::Result<()> {
        let name = &self.args.name;
        let account = now.status.as_ref().and_then(|status| status.account.as_ref());
        let id = account.map_or(UNNAMED_ACCOUNT, |account| account.id.as_str());
        let whole = account.map_or_else(|| NOT_NAMED.to_owned(), account_in_full);
        match &self.args.accept_account {
            Some(given) if given == id => {}
            Some(given) => {
                bail!("the account that was connected is {whole}, not {given}: nothing is accepted")
            }
            None if screen.is_attended() => ask(name, &whole, screen)?,
            None => bail!(
                "{name} was connected as {whole}. If that is the account you meant: {}",
                words::accept(now, id)
            ),
        }
        self.annotate(ANNOTATION_ACCEPT_ACCOUNT, id).await?;
        screen.progress(&format!("Accepted {whole}."));
        Ok(())
    }

    async fn annotate(&self, annotation: &str, value: &str) -> anyhow::Result<()> {
        let patch = json!({"metadata": {
            // A connection made again under the same name is another one.
            "uid": self.before.metadata.uid,
            "annotations": {annotation: value},
        }});
        let patched =
            self.connections.patch(&self.args.name, &PatchParams::default(), &Patch::Merge(&patch)).await;
        patched.map(drop).map_err(plain)
    }

    fn tell(&self, end: &End, now: &IntegrationConnection, screen: &mut Screen) -> anyhow::Result<()> {
        let name = &self.args.name;
        let account = now.status.as_ref().and_then(|status| status.account.as_ref()).map(account_in_full);
        match end {
            End::Ready => {
                let account = account.map(|account| format!(", as {account}")).unwrap_or_default();
                Ok(screen.result(&format!("{name} is ready{account}.\n"))?)
            }
            End::Kept => bail!("{name} was not authorized anew; the grant it had goes on working"),
            End::Confirm => bail!("{name} still waits for its owner's word on the account"),
            End::Failed { reason, message } => {
                let todo: String = steps(now, &self.provider).iter().map(|step| step.lines("  ")).collect();
                let said = Cell::new(format!("{name}: {reason}: {message}")).text;
                screen.result(&format!("{said}\n{todo}"))?;
                bail!("{name} is not ready")
            }
        }
    }
}

fn ask(name: &str, account: &str, screen: &mut Screen) -> anyhow::Result<()> {
    let question = format!("{name} was connected as {account}. Is that you? [y/N] ");
    match screen.ask(&question)?.as_deref() {
        Some("y" | "Y" | "yes") => Ok(()),
        Some(_) => bail!(
            "not accepted: the grant stays unpublished. To try again with another account: kubectl bowline connect {name} --device"
        ),
        None => Err(Usage("say --accept-account ID where nobody can be asked").into()),
    }
}

/// A value that was never asked with before: each accepted request gives the connection a new resourceVersion.
fn request(connection: &IntegrationConnection, now: Timestamp) -> String {
    format!("{now}/{}", connection.metadata.resource_version.as_deref().unwrap_or("0"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::api::connection::Method;

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

    #[test]
    fn each_request_is_a_value_never_asked_with_before() {
        let at = |version: &str| {
            serde_json::from_value(json!({"metadata": {"name": "github", "resourceVersion": version},
                "spec": {"provider": "github", "owner": "alice"}}))
            .unwrap()
        };
        let now = Timestamp::UNIX_EPOCH;
        assert_ne!(request(&at("7"), now), request(&at("8"), now), "two requests within one second");
    }
}
