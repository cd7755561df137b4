//! `import`: provide a grant with an intake Secret.

mod grant;

use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use kube::ResourceExt;

use crate::attempt::{AttemptEnd, AttemptProgress, Followed, as_failure};
use crate::exit::Usage;
use crate::intake::{AnnouncedIntake, announce, check};
use crate::next::{describe_command, failing};
use crate::screen::Screen;
use crate::session::UserSession;
use crate::table::printable;
use crate::wait::{WaitArgs, follow};
use bowline_api::IntegrationConnection;
use bowline_api::names::ANNOTATION_INTAKE;
use grant::{ImportedGrant, MAX_BYTES};

const EXAMPLES: &str = "Examples:
  # the JSON of a token answer
  kubectl bowline import github-work --from-file answer.json
  # a key, from stdin
  printf 'api_key=%s' \"$KEY\" | kubectl bowline import openai
  # a key with a value that belongs to it
  printf 'api_key=%s\\ntoken=%s' \"$KEY\" \"$TOKEN\" | kubectl bowline import trello
  # lines: username=... and password=...
  pass show ci/basic | kubectl bowline import registry

Keys: refresh_token, access_token, expires_in (seconds from now) or expires_at
(RFC 3339), scope; or api_key, with the values that belong to it and
expires_at if you know it; or username and password. Secrets are never taken
from arguments, and never typed: a terminal keeps what it shows.

Only the connection's owner may do this (or whoever has the verb assign-owner):
the grant decides which account everybody uses. It goes into a Secret of type
bowline.dev/intake that belongs to the connection; the operator takes it,
checks it with the provider, and deletes it. You need the right to create
Secrets and to patch the connection.";

/// Import a token, a key, or user name and password
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ImportArgs {
    /// The connection
    name: String,
    /// Read from a file; without it, or as -, from stdin
    #[arg(long, value_name = "FILE")]
    from_file: Option<PathBuf>,
    #[command(flatten)]
    wait: WaitArgs,
}

impl ImportArgs {
    pub(crate) async fn run(self, session: &UserSession, screen: &mut Screen) -> anyhow::Result<()> {
        let Self { name, from_file, wait } = self;
        let grant = read(from_file.as_deref(), session, screen)?;
        let connection = session.connection(&name).await?;
        check(&connection)?;
        let announced = announce(session, &connection, grant.data()).await?;
        let doing = format!("Imported {} for {name}, in Secret {}", grant.keys(), announced.secret);
        if !wait.begin(&doing, screen) {
            return Ok(());
        }
        let describe = describe_command(&connection);
        match outcome(session, &connection, &announced, wait).await? {
            AttemptEnd::Ready => Ok(screen.result(&format!("{name} is ready.\n"))?),
            AttemptEnd::Failed { reason, message } => {
                let said = printable(format!("{name}: {reason}: {message}"));
                screen.result(&format!("{said}\n"))?;
                bail!("the import of {name} failed; see: {describe}")
            }
            AttemptEnd::Replaced { .. } => {
                bail!("another attempt to connect {name} has replaced this import; see: {describe}")
            }
        }
    }
}

fn read(file: Option<&Path>, session: &UserSession, screen: &mut Screen) -> anyhow::Result<ImportedGrant> {
    let mut bytes = Vec::new();
    // One byte more than allowed, to detect that it is too much.
    let limit = MAX_BYTES as u64 + 1;
    match file.filter(|path| *path != Path::new("-")) {
        Some(path) => std::fs::File::open(path)
            .and_then(|file| file.take(limit).read_to_end(&mut bytes))
            .with_context(|| format!("cannot read {}", path.display()))?,
        None => screen
            .piped_input()
            .ok_or(Usage("pass --from-file FILE, or pipe the grant in: what you type here would be shown"))?
            .take(limit)
            .read_to_end(&mut bytes)
            .context("cannot read stdin")?,
    };
    ImportedGrant::read(&bytes, session.clock.now())
}

async fn outcome(
    session: &UserSession,
    before: &IntegrationConnection,
    announced: &AnnouncedIntake,
    wait: WaitArgs,
) -> anyhow::Result<AttemptEnd> {
    let mut attempt = Followed::requested(before, ANNOTATION_INTAKE, &announced.value);
    let mut so_far = announced.untaken(session);
    let look = |now: &IntegrationConnection| {
        Ok(match attempt.see(now) {
            AttemptProgress::Awaited => None,
            AttemptProgress::Running => {
                so_far = being_checked(now);
                None
            }
            AttemptProgress::AwaitsConfirmation => failing(now).map(as_failure),
            AttemptProgress::Ended(end) => Some(end),
        })
    };
    let end = follow(session, &before.name_any(), wait.deadline(), look).await?;
    end.ok_or_else(|| wait.late(so_far))
}

/// What prevents the grant from being used, if anything.
fn being_checked(now: &IntegrationConnection) -> String {
    let last = now.last_attempt().and_then(|last| Some((last.reason.as_ref()?, &last.message)));
    last.map_or_else(
        || "the grant is taken and still being checked".to_owned(),
        |(reason, message)| printable(format!("{reason}: {message}")),
    )
}
