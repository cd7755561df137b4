//! `import`: provide a grant with an intake Secret.

mod grant;

use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use k8s_openapi::api::core::v1::Secret;
use kube::api::{DeleteParams, ObjectMeta, PostParams, Preconditions};
use kube::{Api, Resource, ResourceExt};

use crate::attempt::{AttemptEnd, AttemptProgress, Followed, as_failure};
use crate::exit::Usage;
use crate::next::{describe_command, failing};
use crate::screen::Screen;
use crate::session::{UserSession, plain};
use crate::table::printable;
use crate::wait::{WaitArgs, follow};
use bowline_api::IntegrationConnection;
use bowline_api::names::{ANNOTATION_INTAKE, LABEL_INTAKE_FOR, TYPE_INTAKE};
use grant::{ImportedGrant, MAX_BYTES};

const EXAMPLES: &str = "Examples:
  # the JSON of a token answer
  kubectl bowline import github-work --from-file answer.json
  # a key, from stdin
  printf 'api_key=%s' \"$KEY\" | kubectl bowline import openai
  # lines: username=... and password=...
  pass show ci/basic | kubectl bowline import registry

Keys: refresh_token, access_token, expires_in (seconds from now) or expires_at
(RFC 3339), scope; or api_key; or username and password. Secrets are never
taken from arguments, and never typed: a terminal keeps what it shows.

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
        let announced = announce(session, &connection, &grant).await?;
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

/// Refuses what cannot succeed, before a secret is written.
fn check(connection: &IntegrationConnection) -> anyhow::Result<()> {
    let name = connection.name_any();
    if connection.metadata.deletion_timestamp.is_some() {
        bail!("{name} is being deleted; nothing was written");
    }
    if connection.is_disconnected() {
        bail!("{name} is disconnected by its spec: set disconnect to false first; nothing was written");
    }
    Ok(())
}

/// The intake that the connection now names. Nothing of what the Secret contains: the API server returns that with it.
struct AnnouncedIntake {
    secret: String,
    /// `<name>/<uid>`: a Secret that somebody else creates with this name is not meant.
    value: String,
}

/// Writes the Secret, then the annotation. Without the annotation nobody would take the Secret, so it is removed again.
async fn announce(
    session: &UserSession,
    connection: &IntegrationConnection,
    grant: &ImportedGrant,
) -> anyhow::Result<AnnouncedIntake> {
    let secrets: Api<Secret> = session.api();
    let created = secrets
        .create(&PostParams::default(), &intake(connection, grant))
        .await
        .map_err(plain)
        .context("the intake Secret cannot be written")?;
    let (name, uid) = (created.name_any(), created.uid());
    drop(created);
    let value = format!("{name}/{}", uid.as_deref().unwrap_or_default());
    if let Err(error) = session.annotate(connection, ANNOTATION_INTAKE, &value).await {
        let only_ours = Preconditions { uid, resource_version: None };
        let removal = secrets.delete(&name, &DeleteParams::default().preconditions(only_ours)).await;
        let left = match removal.map_err(plain) {
            Ok(_) => "nothing is left behind".to_owned(),
            Err(left) => format!("Secret {name} is left behind, delete it by hand ({left})"),
        };
        return Err(error.context(format!("not imported, and {left}")));
    }
    Ok(AnnouncedIntake { secret: name, value })
}

fn intake(connection: &IntegrationConnection, grant: &ImportedGrant) -> Secret {
    let name = connection.name_any();
    Secret {
        metadata: ObjectMeta {
            generate_name: Some(format!("{name}-intake-")),
            labels: Some([(LABEL_INTAKE_FOR.to_owned(), name)].into()),
            // If the connection is deleted before the operator takes the Secret, the Secret is deleted with it.
            owner_references: connection.owner_ref(&()).map(|owner| vec![owner]),
            ..ObjectMeta::default()
        },
        type_: Some(TYPE_INTAKE.to_owned()),
        data: Some(grant.data()),
        ..Secret::default()
    }
}

async fn outcome(
    session: &UserSession,
    before: &IntegrationConnection,
    announced: &AnnouncedIntake,
    wait: WaitArgs,
) -> anyhow::Result<AttemptEnd> {
    let mut attempt = Followed::requested(before, ANNOTATION_INTAKE, &announced.value);
    let mut so_far = format!(
        "the operator has not taken Secret {secret} yet; it stays announced. To take it back: kubectl delete secret {secret} -n {namespace}",
        secret = announced.secret,
        namespace = session.namespace,
    );
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    fn connection(spec: &serde_json::Value) -> IntegrationConnection {
        let mut whole = json!({
            "metadata": {"name": "github", "namespace": "team-a", "uid": "u1"},
            "spec": {"provider": "github", "owner": "alice"},
        });
        whole["spec"].as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        serde_json::from_value(whole).unwrap()
    }

    #[test]
    fn the_intake_secret_goes_with_its_connection_and_has_a_type_of_its_own() {
        let grant = ImportedGrant::read(b"api_key=k", "2026-01-01T00:00:00Z".parse().unwrap()).unwrap();
        let secret = intake(&connection(&json!({})), &grant);
        assert_eq!(secret.type_.as_deref(), Some("bowline.dev/intake"));
        assert_eq!(secret.metadata.generate_name.as_deref(), Some("github-intake-"));
        assert_eq!(secret.labels()["bowline.dev/connection"], "github");
        let owner = &secret.owner_references()[0];
        assert_eq!((owner.kind.as_str(), owner.uid.as_str()), ("IntegrationConnection", "u1"));
        assert_eq!(owner.block_owner_deletion, None, "it needs rights on finalizers");
        assert_eq!(secret.data.unwrap().len(), 1);
    }

    #[test]
    fn a_connection_that_takes_no_grant_is_refused_before_anything_is_written() {
        assert!(check(&connection(&json!({}))).is_ok());
        let disconnected = check(&connection(&json!({"disconnect": true}))).unwrap_err();
        assert!(disconnected.to_string().contains("set disconnect to false"), "{disconnected}");
        let mut going = connection(&json!({}));
        going.metadata.deletion_timestamp = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(
            "2026-01-01T00:00:00Z".parse().unwrap(),
        ));
        assert!(check(&going).unwrap_err().to_string().contains("being deleted"));
    }
}
