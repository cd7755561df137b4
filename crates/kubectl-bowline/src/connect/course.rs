//! One run of `connect`, from the request to the outcome.

use anyhow::bail;
use tokio::time::Instant;

use super::{ConnectArgs, request, words};
use crate::attempt::{AttemptEnd, AttemptProgress, Followed, awaits_confirmation};
use crate::exit::Usage;
use crate::next::{lines, step};
use crate::portal;
use crate::related::ProviderFacts;
use crate::screen::Screen;
use crate::session::UserSession;
use crate::table::{Cell, account_in_full};
use crate::wait::follow;
use bowline_api::IntegrationConnection;
use bowline_api::condition::{ConditionType, Conditioned};
use bowline_api::connection::{AttemptMethod, AuthorizationStatus};
use bowline_api::names::{ANNOTATION_ACCEPT_ACCOUNT, ANNOTATION_AUTHORIZE_REQUESTED, UNNAMED_ACCOUNT};
use bowline_api::reason::{Entrance, quoted};

/// How long what was just applied may take to be seen by the operator.
const LAG: std::time::Duration = std::time::Duration::from_secs(10);

/// One run of the command.
pub(super) struct Course<'a> {
    pub(crate) args: &'a ConnectArgs,
    pub(crate) session: &'a UserSession,
    pub(crate) before: IntegrationConnection,
    pub(crate) provider: ProviderFacts,
    /// What was shown last: a code, or that somebody is at the provider.
    pub(crate) shown: Option<String>,
}

impl Course<'_> {
    /// Follows it to its end.
    pub(super) async fn run(&mut self, deadline: Instant, screen: &mut Screen) -> anyhow::Result<()> {
        let mut attempt = if awaits_confirmation(&self.before) && !self.wants_another_account() {
            self.confirmed(self.before.clone(), screen).await?
        } else {
            let Some(attempt) = self.begin(screen).await? else { return Ok(()) };
            attempt
        };
        if !self.args.wait.begin(&format!("Connecting {}", self.args.name), screen) {
            return Ok(());
        }
        loop {
            match self.next(&mut attempt, deadline, screen).await? {
                None => return Err(self.args.late(self.so_far())),
                Some((None, now)) => attempt = self.confirmed(now, screen).await?,
                Some((Some(end), now)) => return self.tell(end, &now, screen),
            }
        }
    }

    /// Sends nobody anywhere while no grant would be taken in. What was just applied may take a moment; then it is told.
    pub(super) async fn wait_while_blocked(
        &mut self,
        deadline: Instant,
        screen: &mut Screen,
    ) -> anyhow::Result<()> {
        let Some(reason) = self.before.blocked() else { return Ok(()) };
        let name = &self.args.name;
        if self.args.wait.wait {
            screen.progress(&format!("{name}: {reason}; waiting a moment ..."));
            let soon = (Instant::now() + LAG).min(deadline);
            let free = |now: &IntegrationConnection| Ok(now.blocked().is_none().then(|| now.clone()));
            if let Some(now) = follow(self.session, name, soon, free).await? {
                self.before = now;
                return Ok(());
            }
        }
        let now = self.session.connection(name).await?;
        if let Some(authorized) = now.condition(ConditionType::Authorized) {
            self.explain(&authorized.reason, &authorized.message, &now, screen)?;
        }
        bail!("{name} cannot be connected now")
    }

    /// The end of the attempt, or `None` for an account that has to be confirmed first.
    async fn next(
        &mut self,
        attempt: &mut Followed,
        deadline: Instant,
        screen: &mut Screen,
    ) -> anyhow::Result<Option<(Option<AttemptEnd>, IntegrationConnection)>> {
        let (session, shown) = (self.session, &mut self.shown);
        let look = |now: &IntegrationConnection| {
            let end = match attempt.see(now) {
                AttemptProgress::Awaited => return Ok(None),
                AttemptProgress::Running => return show(now, shown, session, screen).map(|()| None),
                AttemptProgress::AwaitsConfirmation => None,
                AttemptProgress::Ended(end) => Some(end),
            };
            Ok(Some((end, now.clone())))
        };
        follow(session, &self.args.name, deadline, look).await
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
    async fn begin(&mut self, screen: &mut Screen) -> anyhow::Result<Option<Followed>> {
        let name = &self.args.name;
        if self.is_by_code() {
            return self.request_code(screen).await.map(Some);
        }
        let Some(page) = portal::page(self.session, &self.before).await? else {
            bail!(
                "no portal is known here, so there is no page to open. Where the provider allows it, use --device; otherwise ask an administrator whether the operator runs with --portal-url (kubectl bowline doctor checks)"
            );
        };
        let is_ready = self.before.is_ready();
        screen.progress(&if is_ready {
            format!("{name} is connected already. To connect it again in place:")
        } else {
            format!("To connect {}, sign in there as {}:", words::what(&self.before), self.before.spec.owner)
        });
        screen.result(&format!("{page}\n"))?;
        if !self.args.no_browser && screen.browse(&page) {
            screen.progress("Opened in your browser.");
        }
        Ok((!is_ready).then(|| Followed::in_portal(&self.before)))
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
    async fn request_code(&mut self, screen: &mut Screen) -> anyhow::Result<Followed> {
        let (name, now) = (&self.args.name, self.session.clock.now());
        let request = if let Some(request) = request::waiting(&self.before, now) {
            screen.progress(&format!("{name} waits for a code to be typed already. It is still good:"));
            request
        } else {
            let request = request::new(&self.before, now);
            self.session.annotate(&self.before, ANNOTATION_AUTHORIZE_REQUESTED, &request).await?;
            screen.progress(&format!("Requested a code to connect {name}."));
            // A code that waits now may be seen for another moment.
            self.shown = open_code(&self.before).map(|(_, code)| code.to_owned());
            request
        };
        Ok(Followed::requested(&self.before, ANNOTATION_AUTHORIZE_REQUESTED, &request))
    }

    /// Has the owner say whether the account is the right one. If not, there is another code, where codes are used.
    async fn confirmed(
        &mut self,
        now: IntegrationConnection,
        screen: &mut Screen,
    ) -> anyhow::Result<Followed> {
        let accepted = self.confirm(&now, screen).await?;
        self.before = now;
        if accepted { Ok(Followed::confirmed(&self.before)) } else { self.request_code(screen).await }
    }

    /// Whether the owner says that the account is the right one.
    async fn confirm(&self, now: &IntegrationConnection, screen: &mut Screen) -> anyhow::Result<bool> {
        let name = &self.args.name;
        let (id, of) = (account_id(now), words::of(now));
        let account = now
            .account()
            .map_or_else(|| "an account that the provider does not name".to_owned(), account_in_full);
        match &self.args.accept_account {
            Some(given) if given == id => {}
            Some(given) => {
                bail!("the account that was connected is {account}, not {given}: nothing is accepted")
            }
            None if screen.is_attended() => match ask(name, &account, screen)? {
                true => {}
                false if self.is_by_code() => {
                    screen.progress("Not accepted: nothing is published.");
                    return Ok(false);
                }
                false => bail!(
                    "not accepted: nothing is published. To try again with another account: kubectl bowline connect {of} --device"
                ),
            },
            None => bail!(
                "{name} was connected as {account}. If that is the right account: kubectl bowline connect {of} --accept-account {}\nIf not, for another code: kubectl bowline connect {of} --device --accept-account ID-OF-THE-RIGHT-ACCOUNT",
                quoted(&Cell::new(id).text)
            ),
        }
        self.session.annotate(&self.before, ANNOTATION_ACCEPT_ACCOUNT, id).await?;
        screen.progress(&format!("Accepted {account}."));
        Ok(true)
    }

    fn tell(&self, end: AttemptEnd, now: &IntegrationConnection, screen: &mut Screen) -> anyhow::Result<()> {
        let name = &self.args.name;
        match end {
            AttemptEnd::Ready => {
                let account = now.account().map(|account| format!(", as {}", account_in_full(account)));
                Ok(screen.result(&format!("{name} is ready{}.\n", account.unwrap_or_default()))?)
            }
            AttemptEnd::Failed { message, .. } if now.is_ready() => bail!(
                "{name} was not connected again: {} The grant in use keeps working",
                Cell::new(message).text
            ),
            AttemptEnd::Failed { reason, message } => {
                self.explain(&reason, &message, now, screen)?;
                bail!("{name} is not ready")
            }
            AttemptEnd::Replaced { by } => bail!(
                "another attempt to connect {name}{} has replaced this one; see: kubectl bowline describe {}",
                by.map(|by| Cell::new(format!(", by {by},")).text).unwrap_or_default(),
                words::of(now)
            ),
        }
    }

    /// What happened, who acts, and the command.
    fn explain(
        &self,
        reason: &str,
        message: &str,
        now: &IntegrationConnection,
        screen: &mut Screen,
    ) -> anyhow::Result<()> {
        let next: Vec<_> = step(now, &self.provider, reason).into_iter().collect();
        let said = Cell::new(format!("{}: {reason}: {message}", self.args.name)).text;
        Ok(screen.result(&format!("{said}\n{}", lines(&next)))?)
    }
}

/// Shows a code as soon as there is one; of an attempt in a browser, once that it is under way.
fn show(
    now: &IntegrationConnection,
    shown: &mut Option<String>,
    session: &UserSession,
    screen: &mut Screen,
) -> anyhow::Result<()> {
    if now.last_attempt().is_none_or(|last| !last.method.is(AttemptMethod::DeviceCode)) {
        if shown.replace(String::new()).is_none() {
            screen.progress("Somebody is at the provider, or the answer is being checked ...");
        }
    } else if let Some((open, code)) = open_code(now).filter(|(_, code)| shown.as_deref() != Some(*code)) {
        screen.result(&words::code(now, open, session.clock.now()))?;
        *shown = Some(code.to_owned());
    }
    Ok(())
}

fn open_code(connection: &IntegrationConnection) -> Option<(&AuthorizationStatus, &str)> {
    let open = connection.status.as_ref()?.authorization.as_ref()?;
    Some((open, open.user_code.as_deref()?))
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
