//! One run of `connect`, from the request to the outcome.

use anyhow::bail;
use k8s_openapi::jiff::Timestamp;
use tokio::time::Instant;

use super::{ConnectArgs, code};
use crate::attempt::{AttemptEnd, AttemptProgress, Followed, awaits_confirmation};
use crate::exit::Usage;
use crate::next::{describe_command, lines, step};
use crate::portal;
use crate::related::ProviderFacts;
use crate::table::{account_in_full, printable};
use crate::wait::follow;
use crate::{Screen, UserSession};
use bowline_api::IntegrationConnection;
use bowline_api::condition::{ConditionType, Conditioned};
use bowline_api::connection::AttemptMethod;
use bowline_api::names::{ANNOTATION_ACCEPT_ACCOUNT, ANNOTATION_AUTHORIZE_REQUESTED, UNNAMED_ACCOUNT};
use bowline_api::reason::{Entrance, MessageFacts, Reason};

/// How long the operator may take to see what was just applied.
const LAG: std::time::Duration = std::time::Duration::from_secs(10);

pub(super) struct Course<'a> {
    pub(super) args: &'a ConnectArgs,
    pub(super) session: &'a UserSession,
    pub(super) screen: &'a mut Screen,
    pub(super) deadline: Instant,
    pub(super) before: IntegrationConnection,
    pub(super) provider: ProviderFacts,
    /// What was shown last: a code, or that somebody is at the provider.
    pub(super) shown: Option<String>,
}

impl Course<'_> {
    pub(super) async fn run(&mut self) -> anyhow::Result<()> {
        let mut attempt = if awaits_confirmation(&self.before) && !self.wants_another_account() {
            self.confirmed(self.before.clone()).await?
        } else {
            let Some(attempt) = self.begin().await? else { return Ok(()) };
            attempt
        };
        if !self.args.wait.begin(&format!("Connecting {}", self.args.name), self.screen) {
            return Ok(());
        }
        loop {
            match self.next(&mut attempt).await? {
                None => return Err(self.args.late(self.so_far())),
                Some((None, now)) => attempt = self.confirmed(now).await?,
                Some((Some(end), now)) => return self.tell(end, &now),
            }
        }
    }

    /// Sends nobody to the provider while no grant would be accepted. The operator may take a moment to see a new connection.
    pub(super) async fn wait_while_blocked(&mut self) -> anyhow::Result<()> {
        let Some(reason) = self.before.blocked() else { return Ok(()) };
        let name = &self.args.name;
        if self.args.wait.wait {
            self.screen.progress(&format!("{name}: {reason}; waiting a moment ..."));
            let soon = (Instant::now() + LAG).min(self.deadline);
            let free = |now: &IntegrationConnection| Ok(now.blocked().is_none().then(|| now.clone()));
            if let Some(now) = follow(self.session, name, soon, free).await? {
                self.before = now;
                return Ok(());
            }
        }
        let now = self.session.connection(name).await?;
        if let Some(authorized) = now.condition(ConditionType::Authorized) {
            self.explain(&authorized.reason, &authorized.message, &now)?;
        }
        bail!("{name} cannot be connected now")
    }

    /// The end of the attempt, or `None` for an account that has to be confirmed first.
    async fn next(
        &mut self,
        attempt: &mut Followed,
    ) -> anyhow::Result<Option<(Option<AttemptEnd>, IntegrationConnection)>> {
        let Self { args, session, screen, shown, .. } = self;
        let look = |now: &IntegrationConnection| {
            let end = match attempt.see(now) {
                AttemptProgress::Awaited => return Ok(None),
                AttemptProgress::Running => {
                    return show(now, shown, session.clock.now(), screen).map(|()| None);
                }
                AttemptProgress::AwaitsConfirmation => None,
                AttemptProgress::Ended(end) => Some(end),
            };
            Ok(Some((end, now.clone())))
        };
        follow(session, &args.name, self.deadline, look).await
    }

    fn so_far(&self) -> &'static str {
        match self.shown {
            Some(_) => "it has not ended yet. It stays good, and the same command continues with it",
            None => {
                "nobody has allowed access yet. What was requested stays good, and the same command continues with it"
            }
        }
    }

    /// Requests a code, or shows the page; `None` where there is nothing to wait for.
    async fn begin(&mut self) -> anyhow::Result<Option<Followed>> {
        if self.is_by_code() {
            return self.request_code().await.map(Some);
        }
        let (name, before) = (&self.args.name, &self.before);
        let Some(page) = portal::page(self.session, before).await? else {
            bail!(
                "no portal is known here, so there is no page to open. Where the provider allows it, use --device; otherwise ask an administrator whether the operator runs with --portal-url (kubectl bowline doctor checks)"
            );
        };
        self.screen.progress(&if before.is_ready() {
            format!("{name} is connected already. To connect it again in place:")
        } else {
            format!("To connect {}, sign in there as {}:", code::what(before), before.spec.owner)
        });
        self.screen.visit(&page, self.args.no_browser)?;
        Ok((!before.is_ready()).then(|| Followed::in_portal(before)))
    }

    fn is_by_code(&self) -> bool {
        self.args.device || self.provider.entrance(&self.before) == Entrance::Device
    }

    /// Whether the account that waits to be confirmed is known not to be the right one.
    fn wants_another_account(&self) -> bool {
        let other = self.args.accept_account.as_ref().is_some_and(|given| *given != account_id(&self.before));
        other && self.is_by_code()
    }

    /// Continues with the code that waits already, or requests one.
    async fn request_code(&mut self) -> anyhow::Result<Followed> {
        let (name, now) = (&self.args.name, self.session.clock.now());
        let request = if let Some(request) = code::waiting_request(&self.before, now) {
            self.screen.progress(&format!("{name} waits for a code to be typed already. It is still good:"));
            request
        } else {
            let request = code::request(&self.before, now);
            self.session.annotate(&self.before, ANNOTATION_AUTHORIZE_REQUESTED, &request).await?;
            self.screen.progress(&format!("Requested a code to connect {name}."));
            // Status may show the earlier code for another moment.
            self.shown = code::open_code(&self.before).map(|(_, code)| code.to_owned());
            request
        };
        Ok(Followed::requested(&self.before, ANNOTATION_AUTHORIZE_REQUESTED, &request))
    }

    /// Asks the owner whether the account is the right one. If it is not, another code is requested, where codes are used.
    async fn confirmed(&mut self, now: IntegrationConnection) -> anyhow::Result<Followed> {
        let is_accepted = self.confirm(&now).await?;
        self.before = now;
        if is_accepted { Ok(Followed::confirmed(&self.before)) } else { self.request_code().await }
    }

    async fn confirm(&mut self, now: &IntegrationConnection) -> anyhow::Result<bool> {
        let (name, id) = (&self.args.name, account_id(now));
        let account = now
            .account()
            .map_or_else(|| "an account that the provider does not name".to_owned(), account_in_full);
        let shown_id = printable(id);
        let facts = MessageFacts { account_id: Some(&shown_id), ..now.facts() };
        let other = Reason::AwaitingAuthorization.command(&facts, Entrance::Device);
        match &self.args.accept_account {
            Some(given) if given == id => {}
            Some(given) => {
                bail!("the account that was connected is {account}, not {given}: nothing is accepted")
            }
            None if !self.screen.is_attended() => bail!(
                "{name} was connected as {account}. If that is the right account: {}\nIf not, for another code: {other} --accept-account ID-OF-THE-RIGHT-ACCOUNT",
                Reason::AwaitingConfirmation.command(&facts, Entrance::Device)
            ),
            None if ask(name, &account, self.screen)? => {}
            None if self.is_by_code() => {
                self.screen.progress("Not accepted: nothing is published.");
                return Ok(false);
            }
            None => bail!("not accepted: nothing is published. To try again with another account: {other}"),
        }
        self.session.annotate(&self.before, ANNOTATION_ACCEPT_ACCOUNT, id).await?;
        self.screen.progress(&format!("Accepted {account}."));
        Ok(true)
    }

    fn tell(&mut self, end: AttemptEnd, now: &IntegrationConnection) -> anyhow::Result<()> {
        let name = &self.args.name;
        match end {
            AttemptEnd::Ready => {
                let account = now.account().map(|account| format!(", as {}", account_in_full(account)));
                Ok(self.screen.result(&format!("{name} is ready{}.\n", account.unwrap_or_default()))?)
            }
            AttemptEnd::Failed { message, .. } if now.is_ready() => {
                bail!("{name} was not connected again: {} The grant in use keeps working", printable(message))
            }
            AttemptEnd::Failed { reason, message } => {
                self.explain(&reason, &message, now)?;
                bail!("{name} is not ready")
            }
            AttemptEnd::Replaced { by } => bail!(
                "another attempt to connect {name}{} has replaced this one; see: {}",
                by.map(|by| printable(format!(", by {by},"))).unwrap_or_default(),
                describe_command(now)
            ),
        }
    }

    /// What happened, who acts, and the command.
    fn explain(&mut self, reason: &str, message: &str, now: &IntegrationConnection) -> anyhow::Result<()> {
        let next = lines(step(now, &self.provider, reason).as_slice());
        let said = printable(format!("{}: {reason}: {message}", self.args.name));
        Ok(self.screen.result(&format!("{said}\n{next}"))?)
    }
}

/// Shows a code as soon as there is one; for an attempt in a browser, says once that it is under way.
fn show(
    connection: &IntegrationConnection,
    shown: &mut Option<String>,
    now: Timestamp,
    screen: &mut Screen,
) -> anyhow::Result<()> {
    if connection.last_attempt().is_none_or(|last| !last.method.is(AttemptMethod::DeviceCode)) {
        if shown.replace(String::new()).is_none() {
            screen.progress("Somebody is at the provider, or the answer is being checked ...");
        }
    } else if let Some((open, code)) = code::open_code(connection)
        && shown.as_deref() != Some(code)
    {
        screen.result(&code::shown(connection, open, code, now))?;
        *shown = Some(code.to_owned());
    }
    Ok(())
}

fn ask(name: &str, account: &str, screen: &mut Screen) -> anyhow::Result<bool> {
    let question = format!("{name} was connected as {account}. Is that the right account? [y/N] ");
    match screen.ask(&question)? {
        Some(answer) => Ok(["y", "Y", "yes"].contains(&answer.as_str())),
        None => Err(Usage("no answer: pass --accept-account ID").into()),
    }
}

/// The id by which the owner accepts the account.
fn account_id(connection: &IntegrationConnection) -> &str {
    connection.account().map_or(UNNAMED_ACCOUNT, |account| account.id.as_str())
}
