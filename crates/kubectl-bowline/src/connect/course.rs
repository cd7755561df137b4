//! One run of `connect`, from the request to the outcome.

use anyhow::bail;
use bowline_api::IntegrationConnection;
use bowline_api::names::{ANNOTATION_ACCEPT_ACCOUNT, ANNOTATION_AUTHORIZE_REQUESTED, UNNAMED_ACCOUNT};
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::json;
use tokio::time::Instant;

use super::super::describe::{About, Way, account_in_full, steps, way};
use super::super::exit::Usage;
use super::super::portal;
use super::super::screen::Screen;
use super::super::session::{Session, plain};
use super::super::table::Cell;
use super::super::wait::{self, follow};
use super::attempt::{self, Attempt, End, News};
use super::{Args, request, words};

/// How long a code, or the word on how it ended, takes at most to be in the status; and what was just applied to be judged.
const ON_ITS_WAY: std::time::Duration = std::time::Duration::from_secs(10);

/// An account whose id nobody tells.
const NOT_NAMED: &str = "an account that the provider does not name";

/// One run of the command.
pub(super) struct Course<'a> {
    pub args: &'a Args,
    pub session: &'a Session,
    pub connections: Api<IntegrationConnection>,
    pub before: IntegrationConnection,
    pub provider: About,
}

impl Course<'_> {
    /// Follows it to its end.
    pub async fn run(&mut self, deadline: Instant, screen: &mut Screen) -> anyhow::Result<()> {
        let Some(mut attempt) = self.begin(screen).await? else { return Ok(()) };
        if !self.args.wait {
            return Ok(());
        }
        screen.progress(&format!("Waiting up to {} ...", wait::words(self.args.timeout)));
        loop {
            let soon = Instant::now() + ON_ITS_WAY;
            let until = if attempt.is_silent() { soon.min(deadline) } else { deadline };
            match self.next(&mut attempt, until, screen).await? {
                None if attempt.is_silent() && until < deadline => {
                    return self.tell_silence(&attempt, screen).await;
                }
                None if Instant::now() >= deadline => {
                    return Err(self.args.late(words::so_far(&attempt)));
                }
                // Nothing is said, which is not waited for as long; or something is said again.
                None | Some((None, _)) => {}
                Some((Some(End::Confirm), now)) => attempt = self.confirmed(attempt, now, screen).await?,
                Some((Some(end), now)) => return self.tell(&end, &now, screen),
            }
        }
    }

    /// Sends nobody anywhere while no grant would be taken in. What was just applied may take a moment; then it is told.
    pub async fn wait_while_blocked(&mut self, deadline: Instant, screen: &mut Screen) -> anyhow::Result<()> {
        let Some(End::Failed { reason, .. }) = attempt::blocked(&self.before) else { return Ok(()) };
        let name = &self.args.name;
        if self.args.wait {
            screen.progress(&format!("{name}: {reason}; waiting a moment ..."));
            let soon = (Instant::now() + ON_ITS_WAY).min(deadline);
            let free = |now: &IntegrationConnection| Ok(attempt::blocked(now).is_none().then(|| now.clone()));
            if let Some(now) = follow(&self.connections, name, soon, free).await? {
                self.before = now;
                return Ok(());
            }
        }
        let now = self.session.connection(name).await?;
        if let Some(End::Failed { reason, message }) = attempt::blocked(&now) {
            self.explain(&reason, &message, &now, screen)?;
        }
        bail!("{name} cannot be connected now")
    }

    fn explain(
        &self,
        reason: &str,
        message: &str,
        now: &IntegrationConnection,
        screen: &mut Screen,
    ) -> anyhow::Result<()> {
        let todo: String = steps(now, &self.provider).iter().map(|step| step.lines("  ")).collect();
        let said = Cell::new(format!("{}: {reason}: {message}", self.args.name)).text;
        Ok(screen.result(&format!("{said}\n{todo}"))?)
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
            return Ok(Attempt::going_on(&self.before, request));
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
        let now = self.session.connection(&self.args.name).await?;
        let what = if attempt.has_code() { "The code is over." } else { "No code was given." };
        screen.progress(&format!("{what} The events in {} say why.", words::describe(&now)));
        self.tell(&attempt::without_a_word(&now), &now, screen)
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
                self.explain(reason, message, now, screen)?;
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
