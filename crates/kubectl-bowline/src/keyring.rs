//! `keys`: the keys that seal records, how many records each has sealed, and their rotation.

use std::collections::BTreeMap;

use std::time::Duration;

use anyhow::{Context, bail};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::jiff::Timestamp;
use kube::Api;
use kube::api::{ListParams, Patch, PatchParams};
use serde_json::{Value, json};

use crate::age::relative;
use crate::exit::Usage;
use crate::screen::Paint;
use crate::session::plain;
use crate::table::{Cell, Table, printable};
use crate::{Screen, UserSession};
use bowline_api::envelope::{self, KEY_ID_LENGTH};
use bowline_api::keyring::{KEY_LENGTH, KeyEntry, PRIMARY, ROTATION_REQUESTED, SECRET, WrappedKey};
use bowline_api::names::{TYPE_ENDING, TYPE_RECORD};
use bowline_api::opaque::random_bytes;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

const EXAMPLES: &str = "Examples:
  kubectl bowline keys            list keys, and the records each has sealed
  kubectl bowline keys rotate     add a key that seals from now on
  kubectl bowline keys remove ID  remove one that nothing needs any more

After a rotation the operator seals all records again in the background, until
the former key has none. Back the keyring up before you rely on the new key.
Remove the former one once it has no records. After a leak rotation is not
enough: revoke the grants. Where a KMS wraps the keys, KMS KEY names its key,
and the operator makes the new one, because only it reaches the KMS. You need
get and patch on the Secret bowline-keyring, and list on Secrets, in the
operator's namespace.";

const HEADING: &[&str] = &["KEY", "CREATED", "PRIMARY", "RECORDS", "KMS KEY"];
/// How long the operator may take to make a key. It does so at once, if it runs and the KMS answers.
const MADE_WITHIN: Duration = Duration::from_mins(3);
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// In a Secret of a record: what a key has sealed.
const SEALED: &[&str] = &["grant", "candidate", "previous", "signature"];

/// List and rotate the keys that seal records
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct KeysArgs {
    #[command(subcommand)]
    action: Option<KeysAction>,
    /// Namespace of the operator
    #[arg(long, value_name = "NAME", default_value = "bowline-system", global = true)]
    operator_namespace: String,
}

#[derive(clap::Subcommand, Debug)]
enum KeysAction {
    /// Add a key that seals from now on
    Rotate,
    /// Remove a key, if no record needs it
    Remove {
        /// The key
        id: String,
    },
}

/// A key of the keyring, as far as that can be read without it.
#[derive(Default)]
struct ListedKey {
    created: Option<Timestamp>,
    /// The key of the KMS that wrapped it; `None` if it is in clear.
    kms_key: Option<String>,
}

/// The entries of the keyring, and what each key has sealed.
struct Keys {
    primary: String,
    listed: BTreeMap<String, ListedKey>,
    sealed: BTreeMap<String, usize>,
    resource_version: Option<String>,
}

impl KeysArgs {
    pub(crate) async fn run(self, session: &UserSession, screen: &mut Screen) -> anyhow::Result<()> {
        let secrets: Api<Secret> = Api::namespaced(session.client.clone(), &self.operator_namespace);
        let keys = Keys::read(&secrets).await?;
        match self.action {
            None => {
                let rows = keys.rows(session.clock.now());
                Ok(screen.result(&Table::fit(HEADING, &rows, screen.colours()).1)?)
            }
            Some(KeysAction::Rotate) => {
                let id = keys.rotate(&secrets, session.clock.now()).await?;
                screen.progress("Back the keyring up: what is sealed from now on opens with this key alone.");
                Ok(screen.result(&format!("{id} seals from now on.\n"))?)
            }
            Some(KeysAction::Remove { id }) => {
                keys.remove(&secrets, &id).await?;
                Ok(screen.result(&printable(format!("{id} is removed.\n")))?)
            }
        }
    }
}

impl Keys {
    async fn read(secrets: &Api<Secret>) -> anyhow::Result<Self> {
        let keyring = secrets.get(SECRET).await.map_err(plain).context("the keyring cannot be read")?;
        let data = keyring.data.unwrap_or_default();
        let mut sealed = BTreeMap::new();
        for type_ in [TYPE_RECORD, TYPE_ENDING] {
            let of_type = ListParams::default().fields(&format!("type={type_}"));
            for secret in secrets.list(&of_type).await.map_err(plain)? {
                for id in keys_of(&secret.data.unwrap_or_default()) {
                    *sealed.entry(id).or_default() += 1;
                }
            }
        }
        Ok(Self {
            primary: primary(&data),
            listed: listed(&data),
            sealed,
            resource_version: keyring.metadata.resource_version,
        })
    }

    fn rows(&self, now: Timestamp) -> Vec<Vec<Cell>> {
        let listed = self.listed.iter().map(|(id, key)| {
            let created = key.created.map(|at| relative(&Time(at), now));
            let primary = if *id == self.primary { "yes" } else { "no" };
            let count = self.sealed.get(id).copied().unwrap_or_default();
            vec![
                Cell::new(id),
                Cell::some(created.as_ref()),
                Cell::new(primary),
                Cell::new(count.to_string()),
                Cell::some(key.kms_key.as_ref()),
            ]
        });
        let lost = self.sealed.iter().filter(|(id, _)| !self.listed.contains_key(*id));
        let lost = lost.map(|(id, count)| {
            let missing = Cell::new("missing").painted(Some(Paint::Bad));
            vec![
                Cell::new(id),
                missing,
                Cell::new("no"),
                Cell::new(count.to_string()),
                Cell::some(None::<&String>),
            ]
        });
        listed.chain(lost).collect()
    }

    async fn rotate(&self, secrets: &Api<Secret>, now: Timestamp) -> anyhow::Result<String> {
        if self.listed.get(&self.primary).is_some_and(|key| key.kms_key.is_some()) {
            return self.have_rotated(secrets, now).await;
        }
        let (id, key) = (hex::encode(random_bytes::<KEY_ID_LENGTH>()?), random_bytes::<KEY_LENGTH>()?);
        let entries = json!({
            KeyEntry::Clear.of(&id): ByteString(key.to_vec()),
            KeyEntry::Created.of(&id): ByteString(now.to_string().into_bytes()),
            PRIMARY: ByteString(id.clone().into_bytes()),
        });
        self.change(secrets, entries).await?;
        Ok(id)
    }

    /// Asks the operator for a key, and waits until another than the present one is primary.
    async fn have_rotated(&self, secrets: &Api<Secret>, now: Timestamp) -> anyhow::Result<String> {
        let request = json!({"metadata": {"annotations": {ROTATION_REQUESTED: now.to_string()}}});
        secrets.patch(SECRET, &PatchParams::default(), &Patch::Merge(&request)).await.map_err(plain)?;
        let made = async {
            loop {
                let keyring = secrets.get(SECRET).await.map_err(plain)?;
                let id = primary(&keyring.data.unwrap_or_default());
                if !id.is_empty() && id != self.primary {
                    return Ok(id);
                }
                // To watch it would take a right more.
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        };
        let late = "the operator has made no key yet: its log says what the KMS answers; the request stays";
        tokio::time::timeout(MADE_WITHIN, made).await.context(late)?
    }

    async fn remove(&self, secrets: &Api<Secret>, id: &str) -> anyhow::Result<()> {
        if !self.listed.contains_key(id) {
            return Err(Usage("the keyring has no such key").into());
        }
        if id == self.primary {
            bail!("it is the primary key: rotate first");
        }
        if let Some(count) = self.sealed.get(id) {
            bail!(
                "{count} records need it: wait until the operator has sealed them again (kubectl bowline keys)"
            );
        }
        let entries = KeyEntry::ALL.iter().map(|entry| (entry.of(id), Value::Null));
        self.change(secrets, entries.collect()).await
    }

    /// Only the keyring that was read: what somebody else does meanwhile is not lost.
    async fn change(&self, secrets: &Api<Secret>, data: Value) -> anyhow::Result<()> {
        let patch = json!({"metadata": {"resourceVersion": self.resource_version}, "data": data});
        secrets.patch(SECRET, &PatchParams::default(), &Patch::Merge(&patch)).await.map_err(plain)?;
        Ok(())
    }
}

/// The key that seals; empty if the keyring does not say.
fn primary(data: &BTreeMap<String, ByteString>) -> String {
    let primary = data.get(PRIMARY).and_then(|value| std::str::from_utf8(&value.0).ok());
    primary.unwrap_or_default().trim().to_owned()
}

fn listed(data: &BTreeMap<String, ByteString>) -> BTreeMap<String, ListedKey> {
    let mut listed = BTreeMap::<String, ListedKey>::new();
    for (name, value) in data {
        let Some((id, entry)) = KeyEntry::parse(name) else { continue };
        let key = listed.entry(id.to_owned()).or_default();
        match entry {
            KeyEntry::Clear => {}
            KeyEntry::Wrapped => {
                let wrapped = serde_json::from_slice(&value.0).map(|key: WrappedKey| key.kms_key_id);
                key.kms_key = Some(wrapped.unwrap_or_else(|_| "unreadable".to_owned()));
            }
            KeyEntry::Created => {
                let text = std::str::from_utf8(&value.0).ok();
                key.created = text.and_then(|text| text.trim().parse().ok());
            }
        }
    }
    listed
}

/// The keys that have sealed something in a record, each once.
fn keys_of(data: &BTreeMap<String, ByteString>) -> Vec<String> {
    let sealed = SEALED.iter().filter_map(|name| data.get(*name));
    let ids = sealed.filter_map(|field| envelope::key_id(&field.0));
    let mut ids: Vec<String> = ids.map(hex::encode).collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed(key: u8) -> ByteString {
        ByteString([&envelope::MAGIC[..], &[envelope::VERSION], &[key; KEY_ID_LENGTH], b"rest"].concat())
    }

    #[test]
    fn a_record_counts_once_for_each_key_it_needs() {
        let field = |name: &str, key| (name.to_owned(), sealed(key));
        let data =
            BTreeMap::from([field("grant", 1), field("previous", 2), field("signature", 1), field("x", 3)]);
        assert_eq!(keys_of(&data), ["01".repeat(16), "02".repeat(16)]);
    }

    #[test]
    fn every_key_is_listed_with_what_wraps_it_also_one_that_is_missing() {
        let wrapped = br#"{"kmsKeyId":"arn:k1","ciphertext":"AQ==","check":"AQ=="}"#;
        let entries: [(&str, &[u8]); 4] =
            [("primary", b"a\n"), ("a.key", &[]), ("c.wrapped", wrapped), ("d.wrapped", b"{}")];
        let data = entries.map(|(name, value)| (name.to_owned(), ByteString(value.to_vec()))).into();
        let keys = Keys {
            primary: primary(&data),
            listed: listed(&data),
            sealed: BTreeMap::from([("a".to_owned(), 2), ("b".to_owned(), 1)]),
            resource_version: None,
        };
        let text = Table::fit(HEADING, &keys.rows(Timestamp::UNIX_EPOCH), false).1;
        let lines: Vec<Vec<_>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        let expected = [
            ["a", "<none>", "yes", "2", "<none>"],
            ["c", "<none>", "no", "0", "arn:k1"],
            ["d", "<none>", "no", "0", "unreadable"],
            ["b", "missing", "no", "1", "<none>"],
        ];
        assert_eq!(lines[1..], expected.map(|line| line.to_vec()));
    }
}
