//! `replace`: has bindings use another connection of the same provider (R23).

use std::collections::BTreeSet;

use anyhow::bail;
use kube::api::{ListParams, Patch, PatchParams};
use kube::{Api, ResourceExt};
use serde_json::json;

use crate::exit::Usage;
use crate::reading::seen;
use crate::screen::Paint;
use crate::session::plain;
use crate::table::{Cell, Table, printable};
use crate::{Screen, UserSession};
use bowline_api::condition::{ConditionType::Ready, Conditioned};
use bowline_api::names::{connection_id, connection_of};
use bowline_api::{ConnectionBinding, ConnectionShare, IntegrationConnection};

const EXAMPLES: &str = "Examples:
  kubectl bowline replace github-old github-new --dry-run
  kubectl bowline replace team-a.slack marketing.slack

Both are ids (NAMESPACE.NAME), or names in your namespace. Sets spec.connection
of each binding that names the first one, as far as you may change it. Lists
what was changed, what was not, and why. The second must have the same provider
and a valid token, and be of the binding's namespace or shared with it. You
need the verb use on it. If a tool applies the bindings from files, change the
files.";

const HEADING: &[&str] = &["NAMESPACE", "BINDING", "RESULT", "WHY"];

/// Have bindings use another connection of the same provider
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ReplaceArgs {
    /// The connection that they use now, also one that is gone
    old: String,
    /// The connection to use instead
    new: String,
    /// Change nothing; have the API server judge each change
    #[arg(long)]
    dry_run: bool,
}

/// What became of one binding.
#[derive(Debug, PartialEq)]
struct Repointed {
    namespace: String,
    name: String,
    /// Why it was not changed.
    refusal: Option<String>,
}

impl ReplaceArgs {
    pub(crate) async fn run(self, session: &UserSession, screen: &mut Screen) -> anyhow::Result<()> {
        let (old, new) = (id(session, &self.old)?, id(session, &self.new)?);
        if old == new {
            return Err(Usage("both are the same connection").into());
        }
        let Candidates { bindings, mut rows, remark } = find(session, &old).await?;
        let replacement = Replacement { session, old: &old, new: &new, dry_run: self.dry_run };
        for binding in &bindings {
            rows.push(replacement.repoint(binding).await?);
        }
        if let Some(remark) = remark {
            screen.progress(&printable(remark));
        }
        if rows.is_empty() {
            screen.progress(&printable(format!("No binding that you may see names {old}.")));
            return Ok(());
        }
        screen.result(&Table::fit(HEADING, &cells(&rows, self.dry_run), screen.colours()).1)?;
        if self.dry_run {
            screen.progress("Nothing was changed.");
        }
        match rows.iter().filter(|row| row.refusal.is_some()).count() {
            0 => Ok(()),
            refused => bail!("{refused} of {} bindings keep their connection", rows.len()),
        }
    }
}

/// The id of what was typed; a name means a connection of the session's namespace.
fn id(session: &UserSession, typed: &str) -> anyhow::Result<String> {
    let is_part = |part: &str| {
        let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        !part.is_empty() && part.len() <= 63 && part.bytes().all(is_plain)
    };
    match connection_of(typed) {
        Some((namespace, name)) if is_part(namespace) && is_part(name) => Ok(typed.to_owned()),
        None if is_part(typed) => Ok(connection_id(&session.namespace, typed)),
        _ => {
            Err(Usage("a connection is named by its id, NAMESPACE.NAME, or by its name in your namespace")
                .into())
        }
    }
}

fn cells(rows: &[Repointed], dry_run: bool) -> Vec<Vec<Cell>> {
    let row = |Repointed { namespace, name, refusal }: &Repointed| {
        let (result, paint) = match refusal {
            Some(_) => ("refused", Paint::Bad),
            None if dry_run => ("would change", Paint::Good),
            None => ("changed", Paint::Good),
        };
        let result = Cell::new(result).painted(Some(paint));
        vec![Cell::new(namespace), Cell::new(name), result, Cell::some(refusal.as_ref())]
    };
    rows.iter().map(row).collect()
}

struct Candidates {
    bindings: Vec<ConnectionBinding>,
    /// Those that the connection names and the caller may not list.
    rows: Vec<Repointed>,
    remark: Option<String>,
}

/// The bindings that name a connection: of all namespaces if the caller may list those, otherwise of the caller's, the
/// connection's, and those that the connection's status names.
async fn find(session: &UserSession, id: &str) -> anyhow::Result<Candidates> {
    let naming = ListParams::default().fields(&format!("spec.connection={id}"));
    if let Ok(bindings) = session.all(&naming).await? {
        return Ok(Candidates { bindings, rows: Vec::new(), remark: None });
    }
    let (home, name) = connection_of(id).unwrap_or_default();
    let connections: Api<IntegrationConnection> = Api::namespaced(session.client.clone(), home);
    let connection = seen(connections.get_opt(name).await)?.ok().flatten();
    let used_by = connection.as_ref().and_then(IntegrationConnection::dependents);
    let named: Vec<_> =
        used_by.iter().flat_map(|used| &used.names).filter_map(|name| name.split_once('/')).collect();
    let mut namespaces = BTreeSet::from([session.namespace.as_str(), home]);
    namespaces.extend(named.iter().map(|(namespace, _)| namespace));
    let (mut bindings, mut hidden): (Vec<ConnectionBinding>, _) = (Vec::new(), BTreeSet::new());
    for &namespace in &namespaces {
        match session.within::<ConnectionBinding>(namespace).await? {
            Ok(there) => bindings.extend(there.into_iter().filter(|binding| binding.spec.connection == id)),
            Err(_) => {
                hidden.insert(namespace);
            }
        }
    }
    let unseen = named.iter().filter(|(namespace, _)| hidden.contains(namespace));
    let rows = unseen.map(|(namespace, name)| Repointed {
        namespace: (*namespace).to_owned(),
        name: (*name).to_owned(),
        refusal: Some("you may not list the bindings of this namespace".to_owned()),
    });
    let looked: Vec<_> = namespaces.difference(&hidden).copied().collect();
    let remark =
        format!("You may not list bindings in all namespaces: only {} were looked at.", looked.join(", "));
    Ok(Candidates { rows: rows.collect(), bindings, remark: Some(remark) })
}

/// A connection as a namespace sees it.
#[derive(Debug, PartialEq)]
struct SeenConnection {
    provider: Option<String>,
    /// The reason of Ready, if it is not.
    trouble: Option<String>,
}

impl SeenConnection {
    fn of(object: &impl Conditioned, provider: Option<String>) -> Self {
        let reason = object.condition(Ready).map_or("not seen by the operator yet", |ready| &*ready.reason);
        Self { provider, trouble: (!object.is(Ready)).then(|| reason.to_owned()) }
    }
}

struct Replacement<'a> {
    session: &'a UserSession,
    old: &'a str,
    new: &'a str,
    dry_run: bool,
}

impl Replacement<'_> {
    async fn repoint(&self, binding: &ConnectionBinding) -> anyhow::Result<Repointed> {
        let (namespace, name) = (binding.namespace().unwrap_or_default(), binding.name_any());
        let refusal = match self.obstacle(binding, &namespace).await? {
            Some(obstacle) => Some(obstacle),
            None => self.patch(binding, &namespace).await.err().map(|error| plain(error).to_string()),
        };
        Ok(Repointed { namespace, name, refusal })
    }

    /// What is wrong with the new connection for this binding.
    async fn obstacle(&self, binding: &ConnectionBinding, namespace: &str) -> anyhow::Result<Option<String>> {
        let there = match self.usable(self.new, namespace).await? {
            Ok(there) => there,
            Err(why) => return Ok(Some(why)),
        };
        let mut provider = binding.status.as_ref().and_then(|status| status.provider.clone());
        if provider.is_none() {
            provider = self.usable(self.old, namespace).await?.ok().and_then(|usable| usable.provider);
        }
        Ok(unfit(provider.as_deref(), &there, self.new))
    }

    /// The connection with this id, if it is of `namespace` or shared with it; otherwise why it cannot be used there.
    async fn usable(&self, id: &str, namespace: &str) -> anyhow::Result<Result<SeenConnection, String>> {
        let (home, name) = connection_of(id).unwrap_or_default();
        let client = self.session.client.clone();
        if home == namespace {
            let connections: Api<IntegrationConnection> = Api::namespaced(client, namespace);
            return Ok(match seen(connections.get_opt(name).await)? {
                Ok(Some(it)) => Ok(SeenConnection::of(&it, Some(it.spec.provider.clone()))),
                Ok(None) => Err(format!("there is no connection {id}")),
                Err(forbidden) => Err(forbidden.to_string()),
            });
        }
        let shares: Api<ConnectionShare> = Api::namespaced(client, namespace);
        Ok(match seen(shares.get_opt(id).await)? {
            Ok(Some(it)) => {
                Ok(SeenConnection::of(&it, it.status.as_ref().and_then(|status| status.provider.clone())))
            }
            Ok(None) => Err(format!("{id} is not shared with namespace {namespace}")),
            Err(forbidden) => Err(forbidden.to_string()),
        })
    }

    /// Changes the very version that was read.
    async fn patch(&self, binding: &ConnectionBinding, namespace: &str) -> Result<(), kube::Error> {
        let bindings: Api<ConnectionBinding> = Api::namespaced(self.session.client.clone(), namespace);
        // What was accepted was another connection.
        let change = json!({
            "metadata": {"uid": binding.uid(), "resourceVersion": binding.resource_version()},
            "spec": {"connection": self.new, "accept": null},
        });
        let parameters = PatchParams { dry_run: self.dry_run, ..PatchParams::default() };
        bindings.patch(&binding.name_any(), &parameters, &Patch::Merge(&change)).await.map(drop)
    }
}

/// Why a binding of `provider` is not given this connection.
fn unfit(provider: Option<&str>, there: &SeenConnection, new: &str) -> Option<String> {
    match (provider, there.provider.as_deref(), &there.trouble) {
        (None, ..) => {
            Some("it was never bound, so its provider is not known: set spec.connection by hand".to_owned())
        }
        (Some(former), Some(provider), _) if former != provider => {
            Some(format!("its provider is {former}, and that of {new} is {provider}"))
        }
        (.., Some(reason)) => Some(format!("{new} has no valid token there ({reason})")),
        (_, None, None) => Some(format!("the provider of {new} is not known there yet")),
        (_, Some(_), None) => None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn only_a_ready_connection_of_the_same_provider_is_taken() {
        let usable = |provider: Option<&str>, trouble: Option<&str>| SeenConnection {
            provider: provider.map(ToOwned::to_owned),
            trouble: trouble.map(ToOwned::to_owned),
        };
        let rows = [
            (Some("slack"), usable(Some("slack"), None), None),
            (
                Some("slack"),
                usable(Some("github"), None),
                Some("its provider is slack, and that of a.b is github"),
            ),
            (Some("slack"), usable(Some("github"), Some("Withheld")), Some("its provider is slack")),
            (
                Some("slack"),
                usable(Some("slack"), Some("TokenExpired")),
                Some("has no valid token there (TokenExpired)"),
            ),
            (Some("slack"), usable(None, None), Some("is not known there yet")),
            (None, usable(Some("slack"), None), Some("it was never bound")),
        ];
        for (provider, there, expected) in rows {
            let said = unfit(provider, &there, "a.b");
            let is_as_expected = match (&said, expected) {
                (Some(said), Some(words)) => said.contains(words),
                (said, words) => said.is_none() && words.is_none(),
            };
            assert!(is_as_expected, "{provider:?} {there:?}: {said:?}");
        }
    }

    #[test]
    fn each_binding_is_listed_with_what_became_of_it() {
        let row = |name: &str, refusal: Option<&str>| Repointed {
            namespace: "jobs".to_owned(),
            name: name.to_owned(),
            refusal: refusal.map(ToOwned::to_owned),
        };
        let rows = [row("post", None), row("digest", Some("not yours"))];
        let text = Table::fit(HEADING, &cells(&rows, false), false).1;
        let lines: Vec<Vec<_>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines[1], ["jobs", "post", "changed", "<none>"]);
        assert_eq!(lines[2], ["jobs", "digest", "refused", "not", "yours"]);
        assert!(Table::fit(HEADING, &cells(&rows, true), false).1.contains("would change"));
    }
}
