//! `connect`: the owner consents, in a browser or by a code typed on another device, and sees what came of it.

mod attempt;
mod request;
mod words;

use anyhow::bail;
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
use crate::api::connection::Method;
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

/// How long a code, or the word on how it ended, takes at most to be in the status.
const ON_ITS_WAY: std::time::Duration = std::time::Duration::from_secs(10);

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
        if self.device {
            check_device(&before, &provider)?;
        }
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
            let soon = Instant::now() + ON_ITS_WAY;
            let until = if attempt.is_silent() { soon.min(deadline) } else { deadline };
            match self.next(&mut attempt, until, screen).await? {
                None if attempt.is_silent() && until < deadline => {
                    return self.tell_silence(&attempt, screen).await;
                }
                None if Instant::now() >= deadline => {
                    return Err(self.args.late("it goes on without you; the page and the code stay good"));
                }
                // Nothing is said, which is not waited for as long; or something is said again.
                None | Some((None, _)) => {}
                Some((Some(End::Confirm), now)) => attempt = self.confirmed(attempt, now, screen).await?,
                Some((Some(end), now)) => return self.tell(&end, &now, screen),
            }
        }
    }

    /// What happens next that is not just told: an end, or silence.
    async fn next(
        &self,
        attempt: &mut Attempt,
        until: Instant,
        screen: &mut Screen,
    ) -> anyhow::Result<Option<(Option<End>, IntegrationConnection)>> {
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
                News::Silence => Some((None, connection.clone())),
                News::End(end) => Some((Some(end), connection.clone())),
            })
        };
        follow(&self.connections, &self.args.name, until, look).await
    }

    /// Asks for a code, or shows the page; `None` where there is nothing to wait for.
    async fn begin(&self, screen: &mut Screen) -> anyhow::Result<Option<Attempt>> {
        let name = &self.args.name;
        if attempt::awaits_confirmation(&self.before) && !self.wants_another_account() {
            return Ok(Some(Attempt::by_page(&self.before)));
        }
        if self.is_by_code() {
            return self.ask_for_code(screen).await.map(Some);
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

    fn is_by_code(&self) -> bool {
        self.args.device || way(&self.before, &self.provider) == Way::Device
    }

    /// Whether the account that waits for its owner's word is known not to be the one.
    fn wants_another_account(&self) -> bool {
        let other = self.args.accept_account.as_ref().is_some_and(|given| *given != account_id(&self.before));
        other && self.is_by_code()
    }

    /// Goes on with the code that waits already, or asks for one.
    async fn ask_for_code(&self, screen: &mut Screen) -> anyhow::Result<Attempt> {
        let (name, now) = (&self.args.name, self.session.clock.now());
        if let Some(request) = request::waiting(&self.before, now) {
            screen.progress(&format!("{name} waits for a code to be typed already. It is still good:"));
            return Ok(Attempt::by_device(&self.before, request));
        }
        let request = request::new(&self.before, now);
        self.annotate(ANNOTATION_AUTHORIZE_REQUESTED, &request).await?;
        screen.progress(&format!("Asked for a code to connect {name}."));
        Ok(Attempt::by_device(&self.before, request))
    }

    /// Has the owner say whether the account is the right one. If not, there is another code, where codes are used.
    async fn confirmed(
        &mut self,
        mut attempt: Attempt,
        now: IntegrationConnection,
        screen: &mut Screen,
    ) -> anyhow::Result<Attempt> {
        if self.confirm(&now, screen).await? {
            attempt.confirmed();
            return Ok(attempt);
        }
        self.before = now;
        self.ask_for_code(screen).await
    }

    /// Whether the owner says that the account is the right one.
    async fn confirm(&self, now: &IntegrationConnection, screen: &mut Screen) -> anyhow::Result<bool> {
        let name = &self.args.name;
        let id = account_id(now);
        let account = now.status.as_ref().and_then(|status| status.account.as_ref());
        let whole = account.map_or_else(|| NOT_NAMED.to_owned(), account_in_full);
        match &self.args.accept_account {
            Some(given) if given == id => {}
            Some(given) => {
                bail!("the account that was connected is {whole}, not {given}: nothing is accepted")
            }
            None if screen.is_attended() => match ask(name, &whole, screen)? {
                true => {}
                false if self.is_by_code() => {
                    screen.progress("Not accepted: nothing is published.");
                    return Ok(false);
                }
                false => bail!(
                    "not accepted: nothing is published. To try again with another account: kubectl bowline connect {name} --device"
                ),
            },
            None => bail!(
                "{name} was connected as {whole}. If that is the account you meant: {}\nIf not, for another code: {}",
                words::accept(now, id),
                words::another(now)
            ),
        }
        self.annotate(ANNOTATION_ACCEPT_ACCOUNT, id).await?;
        screen.progress(&format!("Accepted {whole}."));
        Ok(true)
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

    /// Nothing is said of an attempt that is over. Its Event says why; the status has more to say of the grant before.
    async fn tell_silence(&self, attempt: &Attempt, screen: &mut Screen) -> anyhow::Result<()> {
        let now = self.connections.get(&self.args.name).await.map_err(plain)?;
        let what = if attempt.has_code() { "The code is over." } else { "No code was given." };
        screen.progress(&format!("{what} The events in {} say why.", words::describe(&now)));
        self.tell(&attempt.without_a_word(&now), &now, screen)
    }

    fn tell(&self, end: &End, now: &IntegrationConnection, screen: &mut Screen) -> anyhow::Result<()> {
        let name = &self.args.name;
        let account = now.status.as_ref().and_then(|status| status.account.as_ref()).map(account_in_full);
        match end {
            End::Ready => {
                let account = account.map(|account| format!(", as {account}")).unwrap_or_default();
                Ok(screen.result(&format!("{name} is ready{account}.\n"))?)
            }
            End::Kept { why: None } => {
                bail!("{name} was not authorized anew; the grant that it has goes on working")
            }
            End::Kept { why: Some(why) } => bail!(
                "{name} was not authorized anew: {} The grant that it has goes on working",
                Cell::new(why).text
            ),
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

fn ask(name: &str, account: &str, screen: &mut Screen) -> anyhow::Result<bool> {
    let question = format!("{name} was connected as {account}. Is that the account you meant? [y/N] ");
    match screen.ask(&question)? {
        Some(answer) => Ok(["y", "Y", "yes"].contains(&answer.as_str())),
        None => Err(Usage("nobody answers here: say --accept-account ID").into()),
    }
}

/// The id by which the owner agrees to the account.
fn account_id(connection: &IntegrationConnection) -> &str {
    let account = connection.status.as_ref().and_then(|status| status.account.as_ref());
    account.map_or(UNNAMED_ACCOUNT, |account| account.id.as_str())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::Value;

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
