//! For each reason: who mends it, how, and with which command.

use bowline_api::reason;

/// Who has to do something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Who {
    /// Nobody: it is well, as asked, or mends itself.
    Nobody,
    /// The owner of the connection.
    Owner,
    /// Whoever may edit the connection, its owner for one.
    Editor,
    /// An administrator of Bowline or of the cluster.
    Administrator,
    /// An administrator at the provider.
    ProviderAdministrator,
}

impl Who {
    pub fn word(self) -> &'static str {
        match self {
            Self::Nobody => "nobody",
            Self::Owner => "the owner",
            Self::Editor => "whoever may edit the connection",
            Self::Administrator => "an administrator of this cluster",
            Self::ProviderAdministrator => "an administrator at the provider",
        }
    }
}

/// How the owner brings a grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Way {
    /// By consenting at the provider, in a browser.
    Browser,
    /// By consenting at the provider, on any device.
    Device,
    /// By an intake Secret: a key, a password, or a token from elsewhere.
    Intake,
}

impl Way {
    fn command(self) -> &'static str {
        match self {
            Self::Browser => "kubectl bowline connect {name} -n {namespace}",
            Self::Device => "kubectl bowline connect {name} -n {namespace} --device",
            Self::Intake => IMPORT,
        }
    }

    fn first(self) -> &'static str {
        match self {
            Self::Browser | Self::Device => "Connect it: sign in at the provider and agree.",
            Self::Intake => "Bring the first grant: a token answer, a key, or user and password.",
        }
    }
}

/// What to do about a reason. `step` and `command` may hold `{name}`, `{namespace}`, `{owner}`, `{provider}`,
/// `{workspace}`, `{secret}`, `{account}` and `{approval}` (where an administrator at the provider approves the app).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Advice {
    pub who: Who,
    pub step: &'static str,
    pub command: &'static str,
}

const IMPORT: &str = "kubectl bowline import {name} -n {namespace} --from-file FILE";
const ACCEPT: &str = "kubectl bowline connect {name} -n {namespace} --accept-account {account}";
const REFRESH: &str = "kubectl bowline refresh {name} -n {namespace}";
const EDIT: &str = "kubectl edit ic {name} -n {namespace}";
const SEE_PROVIDER: &str = "kubectl describe iprov {provider}";
const EDIT_PROVIDER: &str = "kubectl edit iprov {provider}";
const SEE_WORKSPACE: &str = "kubectl describe ws {workspace}";
const LIST_PROVIDERS: &str = "kubectl get iprov";
const LIST_WORKSPACES: &str = "kubectl get ws";
const WATCH: &str = "kubectl bowline list -n {namespace} --watch";
const DESCRIBE: &str = "kubectl bowline describe {name} -n {namespace}";
const HERE: &str = "kubectl bowline list --usable -n {here}";
const USABLE: &str = "kubectl bowline list --usable -n {namespace}";

const fn nobody(step: &'static str, command: &'static str) -> Advice {
    Advice { who: Who::Nobody, step, command }
}

const fn owner(step: &'static str, command: &'static str) -> Advice {
    Advice { who: Who::Owner, step, command }
}

const fn editor(step: &'static str, command: &'static str) -> Advice {
    Advice { who: Who::Editor, step, command }
}

const fn administrator(step: &'static str, command: &'static str) -> Advice {
    Advice { who: Who::Administrator, step, command }
}

const fn provider_administrator(step: &'static str, command: &'static str) -> Advice {
    Advice { who: Who::ProviderAdministrator, step, command }
}

/// The advice for a reason that can stand on a connection; `None` for others.
pub(super) fn advice(reason: &str, way: Way) -> Option<Advice> {
    authorized(reason, way)
        .or_else(|| token_fresh(reason, way))
        .or_else(|| secret_published(reason))
        .or_else(|| shared(reason))
}

fn authorized(reason: &str, way: Way) -> Option<Advice> {
    grant(reason, way).or_else(|| surroundings(reason))
}

/// Reasons that lie in the grant.
// long: one table, a row for each reason; splitting it would only hide which reasons there are.
fn grant(reason: &str, way: Way) -> Option<Advice> {
    let again = way.command();
    Some(match reason {
        reason::CONNECTED | reason::AUTHORIZED => nobody("All is well.", USABLE),
        reason::GRANT_EXPIRING_SOON => {
            owner("Authorize again before the grant ends; until then all works.", again)
        }
        reason::AWAITING_AUTHORIZATION => owner(way.first(), again),
        reason::AUTHORIZATION_IN_PROGRESS => {
            nobody("Somebody is at the provider, or what came from there is being checked.", WATCH)
        }
        reason::AUTHORIZATION_FAILED => owner("Try again; the message says how the last try ended.", again),
        reason::AWAITING_CONFIRMATION => owner("Say whether {account} is the account you meant.", ACCEPT),
        reason::EXTRA_SCOPES => {
            owner("Agree by adding the extra scopes to spec.scopes; or authorize again and give fewer.", EDIT)
        }
        reason::INTAKE_REFUSED => {
            owner("Bring a grant that can be used; the message says what was wrong.", IMPORT)
        }
        reason::INTAKE_DELAYED => nobody(
            "It is tried again; the message says what is in the way.",
            "kubectl bowline describe {name} -n {namespace}",
        ),
        reason::INTAKE_OUTCOME_UNKNOWN => {
            owner("Bring it again, or a new one; an earlier grant is untouched.", IMPORT)
        }
        reason::ACCOUNT_MISMATCH => owner(
            "Authorize as the account that is connected, or make a new connection for the other one.",
            again,
        ),
        reason::ACCOUNT_ALREADY_CONNECTED => {
            owner("Use the connection that holds this account, or ask its owner to share it.", USABLE)
        }
        reason::MISSING_SCOPES => owner(
            "Authorize again and give the scopes that are missing, or take them out of spec.scopes.",
            again,
        ),
        reason::GRANT_EXPIRED | reason::GRANT_REVOKED => owner("Authorize again.", again),
        reason::STEP_UP_REQUIRED => owner("Sign in at the provider again.", again),
        reason::CONSENT_OUTDATED => {
            owner("Authorize again: owner, address or app are not those that were agreed to.", again)
        }
        reason::RECORD_MISSING => owner("Authorize again: what was kept is gone.", again),
        reason::ROTATION_OUTCOME_UNKNOWN => {
            owner("Wait for the one try that is left, or authorize again at once.", again)
        }
        reason::ADMIN_CONSENT_REQUIRED => provider_administrator(
            "Approve the app for the organization{approval}; then the owner authorizes again.",
            again,
        ),
        reason::POLICY_BLOCKED => provider_administrator(
            "Allow the app in the organization's rules; then ask for a token again.",
            REFRESH,
        ),
        reason::DISCONNECTED => owner(
            "As asked. To connect again, take disconnect back and authorize again.",
            "kubectl patch ic {name} -n {namespace} --type merge -p '{\"spec\":{\"disconnect\":false}}'",
        ),
        reason::RECORD_TAMPERED => administrator(
            "Find out who changed the record; then the owner authorizes again.",
            "kubectl get secrets -A --field-selector type=bowline.dev/record --show-managed-fields -o yaml",
        ),
        reason::RECORD_UNREADABLE => administrator(
            "Put the missing key back into the keyring; nothing for the owner to do.",
            "kubectl get secrets -A --field-selector metadata.name=bowline-keyring",
        ),
        _ => return None,
    })
}

/// Reasons that lie around the grant: provider, settings, rights.
fn surroundings(reason: &str) -> Option<Advice> {
    Some(match reason {
        reason::PROVIDER_NOT_ALLOWED => {
            administrator("Let this namespace or workspace use the provider (spec.allow).", EDIT_PROVIDER)
        }
        reason::OWNER_UNVERIFIED => {
            administrator("Name a person as owner: delete the connection, and let its owner make it.", EDIT)
        }
        reason::PROVIDER_NOT_FOUND => administrator(
            "Make the IntegrationProvider {provider}; the connection then goes on by itself.",
            LIST_PROVIDERS,
        ),
        reason::PROVIDER_NOT_READY => {
            administrator("Mend the provider; the connection then goes on by itself.", SEE_PROVIDER)
        }
        reason::PARAMETERS_INVALID => editor(
            "Make a new connection with parameters that fit the provider; they cannot be changed.",
            SEE_PROVIDER,
        ),
        reason::CREDENTIALS_NOT_FOUND => editor(
            "Make the Secret that spec.credentials or spec.app names, with the type bowline.dev/credential.",
            "kubectl get secrets -n {namespace} --field-selector type=bowline.dev/credential",
        ),
        _ => return None,
    })
}

fn token_fresh(reason: &str, way: Way) -> Option<Advice> {
    Some(match reason {
        reason::FRESH | reason::NEVER_EXPIRES => nobody("All is well.", USABLE),
        reason::REFRESH_FAILING => {
            nobody("It is tried again by itself; to try at once, ask for it.", REFRESH)
        }
        reason::REFRESH_REFUSED => {
            owner("Authorize again, or ask for one more try; by itself it is tried daily.", REFRESH)
        }
        reason::TOKEN_EXPIRED => {
            owner("Ask for a token; where the grant cannot be refreshed, authorize again.", REFRESH)
        }
        reason::NOT_REFRESHABLE => {
            owner("Bring a grant with a refresh token, or a new one before this one ends.", way.command())
        }
        reason::SUSPENDED => editor(
            "As asked. To go on, take suspend back.",
            "kubectl patch ic {name} -n {namespace} --type merge -p '{\"spec\":{\"suspend\":false}}'",
        ),
        _ => return None,
    })
}

fn secret_published(reason: &str) -> Option<Advice> {
    Some(match reason {
        reason::PUBLISHED => nobody("All is well.", USABLE),
        reason::NOT_YET => nobody("The Secret appears as soon as there is a token.", WATCH),
        reason::WITHHELD | reason::WITHDRAWN => {
            nobody("The Secret appears again when the connection is authorized as it should be.", WATCH)
        }
        reason::NAME_TAKEN => editor(
            "Choose another spec.secret.name, or remove the Secret that has it.",
            "kubectl get secret {secret} -n {namespace} -o yaml",
        ),
        reason::QUOTA_EXCEEDED => {
            administrator("Make room in the namespace's quota.", "kubectl describe quota -n {namespace}")
        }
        reason::FORBIDDEN => administrator(
            "Let the operator write Secrets in this namespace (--secret-namespaces and its RoleBinding).",
            "kubectl get rolebindings -n {namespace}",
        ),
        reason::TEMPLATE_FAILED => editor("Correct spec.secret.template.", EDIT),
        reason::FORMAT_FAILED => editor("Choose another spec.secret.format or other labels.", EDIT),
        _ => return None,
    })
}

/// The advice for a reason that stands on a share: `{name}` and `{namespace}` are the connection's, `{here}` is the
/// share's namespace.
pub(super) fn share_advice(reason: &str) -> Option<Advice> {
    Some(match reason {
        reason::PUBLISHED => nobody("All is well.", USABLE),
        reason::NOT_YET => nobody("The Secret appears as soon as there is a token.", HERE),
        reason::CONNECTION_NOT_READY | reason::WITHHELD | reason::WITHDRAWN => {
            owner("Mend the connection behind the share; the share then follows by itself.", DESCRIBE)
        }
        reason::NAME_TAKEN => editor(
            "Remove the Secret that has the share's name.",
            "kubectl get secret {secret} -n {here} -o yaml",
        ),
        reason::QUOTA_EXCEEDED => {
            administrator("Make room in the namespace's quota.", "kubectl describe quota -n {here}")
        }
        reason::FORBIDDEN => administrator(
            "Let the operator write Secrets in this namespace (--secret-namespaces and its RoleBinding).",
            "kubectl get rolebindings -n {here}",
        ),
        reason::TEMPLATE_FAILED | reason::FORMAT_FAILED => {
            owner("Correct spec.secret of the connection.", EDIT)
        }
        _ => return None,
    })
}

fn shared(reason: &str) -> Option<Advice> {
    Some(match reason {
        reason::SHARED => nobody("All is well.", SEE_WORKSPACE),
        reason::NOT_SHARED => nobody("Private, as asked.", EDIT),
        reason::WORKSPACE_NOT_FOUND => administrator(
            "Make the Workspace {workspace}, or name another in spec.workspace.",
            LIST_WORKSPACES,
        ),
        reason::OWNER_NOT_MEMBER => {
            administrator("Make {owner} a member of {workspace} again.", "kubectl edit ws {workspace}")
        }
        reason::PARTIALLY_PUBLISHED => nobody(
            "Each share says what keeps it; the rest is published.",
            "kubectl get cshare -A -l bowline.dev/connection-name={name},bowline.dev/connection-namespace={namespace}",
        ),
        _ => return None,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// Reasons of other kinds and of Events: they never stand on a connection.
    const ELSEWHERE: &[&str] = &[
        reason::READY,
        reason::APP_SECRET_NOT_FOUND,
        reason::APP_SECRET_INCOMPLETE,
        reason::UNKNOWN_TYPE,
        reason::PARAMETERS_MISSING,
        reason::DISCOVERY_FAILED,
        reason::ENDPOINT_REFUSED,
        reason::APP_REJECTED,
        reason::NAMESPACE_MISSING,
        reason::NAMESPACE_IN_OTHER_WORKSPACE,
        reason::CONNECTION_NOT_READY,
        reason::REFRESHED,
        reason::UNSHARED,
        reason::OWNER_REMOVED,
        reason::RECOVERED,
        reason::REVOCATION_FAILED,
    ];

    #[test]
    fn every_reason_of_a_connection_says_who_mends_it_and_how() {
        for reason in reason::ALL {
            assert_eq!(
                advice(reason, Way::Browser).is_none(),
                ELSEWHERE.contains(reason),
                "{reason}: give advice, or name it among those that stand elsewhere"
            );
        }
    }

    #[test]
    fn each_advice_is_a_sentence_and_a_command() {
        for (reason, Advice { who: _, step, command }) in
            reason::ALL.iter().filter_map(|r| Some((r, advice(r, Way::Browser)?)))
        {
            assert!(step.ends_with('.') && step.len() > 10, "{reason}: {step}");
            assert!(command.starts_with("kubectl "), "{reason}: {command}");
        }
    }

    #[test]
    fn trouble_is_told_to_the_one_who_can_mend_it() {
        for (reason, who) in [
            (reason::AWAITING_AUTHORIZATION, Who::Owner),
            (reason::GRANT_REVOKED, Who::Owner),
            (reason::RECORD_UNREADABLE, Who::Administrator),
            (reason::PROVIDER_NOT_FOUND, Who::Administrator),
            (reason::ADMIN_CONSENT_REQUIRED, Who::ProviderAdministrator),
            (reason::REFRESH_FAILING, Who::Nobody),
            (reason::NAME_TAKEN, Who::Editor),
            (reason::OWNER_NOT_MEMBER, Who::Administrator),
        ] {
            assert_eq!(advice(reason, Way::Browser).unwrap().who, who, "{reason}");
        }
    }
}
