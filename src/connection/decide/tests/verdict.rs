//! What the user sees, and what happens to the Secret.

use bowline_api::condition::Truth::{self, False, True, Unknown};
use bowline_api::connection::AttemptResult;
use bowline_api::reason::{Effect, Reason};
use serde_json::json;

use super::situation::{Situation, at, connection, good, target, version};
use crate::connection::observed::RecordState;
use crate::grant::incident::Incident;
use crate::secret_plan::SecretPlan;
use crate::sharing::limits::ReachedLimit;
use crate::vault::GrantType;
use crate::vault::record::GrantVersion;
use crate::world::{ProviderUse, UnusableProvider};

/// A situation, the verdict on the grant, and what happens to the Secret.
type VerdictRow = (&'static str, Situation, (Truth, Reason), SecretPlan);

#[track_caller]
fn are_decided(rows: Vec<VerdictRow>) {
    for (name, situation, (truth, reason), secret) in rows {
        let plan = situation.decided();
        assert_eq!((plan.authorized.truth(), plan.authorized.reason), (truth, reason), "{name}");
        assert_eq!(plan.secret, secret, "{name}");
    }
}

#[test]
fn the_secret_follows_the_grant_and_the_spec() {
    let judging = connection().authorized().present(|present| {
        present.grant = None;
        present.has_candidate = true;
    });
    let changed = good().object(|connection| connection.metadata.generation = Some(2));
    let yes = (True, Reason::Authorized);
    are_decided(vec![
        ("nobody consented yet", connection(), (False, Reason::AwaitingAuthorization), SecretPlan::Nothing),
        (
            "a candidate is being judged",
            judging,
            (False, Reason::AuthorizationInProgress),
            SecretPlan::Nothing,
        ),
        ("all is well", good(), yes, SecretPlan::Keep),
        ("a new revision is written", good().refreshed(), yes, SecretPlan::Write),
        ("an edited Secret is put back", good().edited(), yes, SecretPlan::Write),
        ("a deleted Secret is written again", good().seen(|it| it.secret = None), yes, SecretPlan::Write),
        ("a changed spec is written again", changed, yes, SecretPlan::Write),
    ]);
}

/// A record that was lost counts from the beginning again.
#[test]
fn class_16_another_grant_of_the_same_revision_is_written() {
    let id = "fedcba9876543210fedcba9876543210".to_owned().try_into().unwrap();
    let another = good().present(|present| present.version = Some(GrantVersion { id, ..version(3) }));
    assert_eq!(another.decided().secret, SecretPlan::Write);
}

#[test]
fn what_once_kept_a_grant_from_being_accepted_is_no_verdict_once_it_is_over() {
    for reason in [Reason::Suspended, Reason::Disconnected, Reason::ProviderNotAllowed, Reason::LimitReached]
    {
        let plan = connection().tried(AttemptResult::Failed, reason).decided();
        let verdict = (plan.authorized.reason, plan.authorized.effect);
        assert_eq!(verdict, (Reason::AwaitingAuthorization, Effect::Serve), "{reason}");
    }
}

#[test]
fn nothing_is_published_in_a_reserved_namespace() {
    let reserved = good().seen(|seen| seen.is_reserved = true);
    let told = (False, Reason::ReservedNamespace);
    are_decided(vec![("in a namespace of the cluster", reserved, told, SecretPlan::Withdraw)]);
}

#[test]
fn a_provider_that_cannot_be_used_leaves_what_is_published_and_one_that_does_not_allow_it_does_not() {
    let not_allowed = (False, Reason::ProviderNotAllowed);
    are_decided(vec![
        (
            "no provider object: coast",
            good().provider(Err(UnusableProvider::NotFound)),
            (Unknown, Reason::ProviderNotFound),
            SecretPlan::Keep,
        ),
        (
            "provider not ready: coast",
            good().provider(Err(UnusableProvider::NotReady("x".into()))),
            (Unknown, Reason::ProviderNotReady),
            SecretPlan::Keep,
        ),
        (
            "bad parameters",
            connection().provider(Err(UnusableProvider::ParametersInvalid("x".into()))),
            (False, Reason::ParametersInvalid),
            SecretPlan::Nothing,
        ),
        (
            "it may not use the provider",
            may_use(ProviderUse::Refused("No.".into())),
            not_allowed,
            SecretPlan::Withdraw,
        ),
        (
            "whether it may is not known: what is published stays",
            may_use(ProviderUse::Unknown("No.".into())),
            (Unknown, Reason::ProviderNotReady),
            SecretPlan::Keep,
        ),
        (
            "nor if there is no provider: what was withdrawn stays withdrawn",
            connection().authorized().provider(Err(UnusableProvider::NotFound)),
            (Unknown, Reason::ProviderNotFound),
            SecretPlan::Withhold,
        ),
        (
            "and nothing newer is published",
            may_use(ProviderUse::Unknown("No.".into())).refreshed(),
            (Unknown, Reason::ProviderNotReady),
            SecretPlan::Withhold,
        ),
    ]);
}

#[test]
fn without_a_place_in_its_workspace_a_connection_gets_no_grant() {
    let limit = || ReachedLimit {
        workspace: "w".into(),
        contact: Some("dana@example.com".into()),
        detail: "It takes no connections.".into(),
    };
    let full = |situation: Situation| situation.seen(|observed| observed.reached_limit = Some(limit()));
    let told = (False, Reason::LimitReached);
    are_decided(vec![("nobody consented yet", full(connection()), told, SecretPlan::Nothing)]);
    let minting = connection().spec(json!({"method": "ClientCredentials"}));
    assert_eq!(full(minting).decided().task, None);
    let importing = full(connection().annotated("bowline.dev/intake", "s/u")).decided();
    assert_eq!(importing.task, None);
    assert!(importing.authorized.message.contains("Ask dana@example.com to"), "{:?}", importing.authorized);
}

#[test]
fn what_is_due_is_not_asked_of_a_provider_that_the_connection_may_not_use() {
    for usage in [ProviderUse::Refused("No.".into()), ProviderUse::Unknown("No.".into())] {
        let due = may_use(usage).at_second(3_500).requested("now");
        assert_eq!(due.decided().task, None);
    }
    let revoked = may_use(ProviderUse::Refused("No.".into())).ruled(Reason::GrantRevoked);
    assert_eq!(
        revoked.annotated("bowline.dev/intake", "s/u").decided().task,
        None,
        "no other grant is taken in"
    );
    let minting = connection().spec(json!({"method": "ClientCredentials"}));
    assert!(minting.decided().task.is_some());
    let minting = minting.seen(|observed| observed.usage = ProviderUse::Refused("No.".into()));
    assert_eq!(minting.decided().task, None);
}

/// All is well, but for this answer to whether the connection may use its provider.
fn may_use(usage: ProviderUse) -> Situation {
    good().seen(|observed| observed.usage = usage)
}

#[test]
fn a_record_that_cannot_be_used_leaves_what_is_published() {
    let rows = [
        ("no key opens it: coast", RecordState::Unreadable, (Unknown, Reason::RecordUnreadable)),
        ("it was changed by somebody", RecordState::Tampered, (False, Reason::RecordTampered)),
        ("it is gone", RecordState::Missing, (False, Reason::RecordMissing)),
    ];
    let decided = |(name, record, verdict)| (name, good().record(record), verdict, SecretPlan::Keep);
    are_decided(rows.map(decided).into());
}

#[test]
fn terms_that_changed_stop_what_is_newer_and_a_disconnection_withdraws() {
    let outdated = (False, Reason::ConsentOutdated);
    let elsewhere = good().grant(|grant| grant.bound_to.authority = "https://old.example".into());
    let told_elsewhere = good().grant(|grant| {
        let old = "https://old.example/me".to_owned();
        let known = grant.bound_to.addresses.insert("/endpoints/userinfo".into(), old);
        assert!(known.is_some());
    });
    let disconnected = good().spec(json!({"disconnect": true}));
    are_decided(vec![
        ("another issuer than consented to", elsewhere, outdated, SecretPlan::Keep),
        ("another address than consented to", told_elsewhere, outdated, SecretPlan::Keep),
        ("disconnected", disconnected, (False, Reason::Disconnected), SecretPlan::Withdraw),
    ]);
}

#[test]
fn what_the_provider_decided_about_the_grant_stands_until_there_is_a_new_one() {
    let unknown = good().present(|present| present.unknown_since = Some(at(50)));
    let (revoked, expired) = (good().ruled(Reason::GrantRevoked), good().ruled(Reason::GrantExpired));
    let replaced = good().ruled(Reason::GrantRevoked).refreshed();
    are_decided(vec![
        (
            "an unknown outcome while the token lives",
            unknown,
            (Unknown, Reason::RotationOutcomeUnknown),
            SecretPlan::Keep,
        ),
        ("withdrawn at the provider", revoked, (False, Reason::GrantRevoked), SecretPlan::Withdraw),
        ("expired at the provider", expired, (False, Reason::GrantExpired), SecretPlan::Keep),
        ("a ruling on an older grant is forgotten", replaced, (True, Reason::Authorized), SecretPlan::Write),
    ]);
}

#[test]
fn what_could_not_be_published_is_tried_again() {
    let failed = good().status(|status| status.conditions.clear()).told(
        "SecretPublished",
        "False",
        Reason::TemplateFailed,
    );
    assert_eq!(failed.decided().secret, SecretPlan::Write);
}

#[test]
fn a_grant_that_was_withdrawn_stays_so_while_its_provider_is_away() {
    let away = connection()
        .authorized()
        .failed_before(2, 2, Reason::RefreshFailing)
        .ruled(Reason::GrantRevoked)
        .told("Authorized", "Unknown", Reason::ProviderNotFound)
        .told("SecretPublished", "False", Reason::Withdrawn);
    let back = away.decided();
    assert_eq!((back.authorized.reason, back.secret), (Reason::GrantRevoked, SecretPlan::Withdraw));
    let away = away.provider(Err(UnusableProvider::NotFound)).decided();
    assert_eq!((away.authorized.reason, away.secret), (Reason::ProviderNotFound, SecretPlan::Withdraw));
}

#[test]
fn nothing_new_is_published_under_terms_that_nobody_consented_to() {
    let elsewhere = || good().grant(|grant| grant.bound_to.authority = "https://old.example".into());
    assert_eq!(elsewhere().refreshed().decided().secret, SecretPlan::Withhold);
    assert_eq!(elsewhere().spec(json!({"secret": {"name": "d"}})).decided().secret, SecretPlan::Withhold);
    assert_eq!(elsewhere().edited().decided().secret, SecretPlan::Withhold);
}

#[test]
fn class_24_nothing_is_published_without_its_owners_consent_because_something_else_is_shown() {
    let unconfirmed = || {
        good().refreshed().grant(|grant| {
            grant.consent.grant_type = GrantType::DeviceCode;
            grant.consent.confirmed = false;
        })
    };
    let incident = Incident { since: at(0), next_probe: at(60) };
    let rows = vec![
        ("alone", unconfirmed()),
        ("an incident", unconfirmed().seen(|seen| seen.incident = Some(incident))),
        ("a rejected registration", unconfirmed().seen(|seen| seen.next_probe = Some(at(600)))),
        ("an unknown outcome", unconfirmed().present(|present| present.unknown_since = Some(at(50)))),
        ("no metadata", unconfirmed().provider(Err(UnusableProvider::NotReady("x".into())))),
    ];
    let withheld =
        |(name, situation)| (name, situation, (False, Reason::AwaitingConfirmation), SecretPlan::Withhold);
    are_decided(rows.into_iter().map(withheld).collect());
}

#[test]
fn what_somebody_owns_who_may_not_is_withdrawn() {
    let robot = "system:serviceaccount:team-a:billing";
    let rows = [
        (json!({"owner": "system:admin"}), true),
        (json!({"owner": ""}), true),
        (json!({"owner": robot}), true),
        (json!({"owner": robot, "method": "AuthorizationCode"}), true),
        (json!({"owner": robot, "method": "ClientCredentials"}), false),
        (json!({"owner": robot, "credentials": {"secretName": "key"}}), false),
    ];
    for (spec, refused) in rows {
        let owner = spec["owner"].as_str().unwrap().to_owned();
        let own = good().grant(|grant| grant.bound_to.owner = owner);
        let plan = own.spec(spec.clone()).decided();
        assert_eq!(plan.authorized.reason == Reason::OwnerUnverified, refused, "{spec}");
        assert_eq!(plan.secret == SecretPlan::Withdraw, refused, "{spec}");
    }
}

#[test]
fn class_22_a_credentials_secret_is_not_called_missing_where_none_can_be_listed() {
    let keyed = |unreadable: bool| {
        let connection = connection().provider(Ok(target("generic-api-key")));
        let connection = connection.spec(json!({"credentials": {"secretName": "key"}}));
        connection.seen(|it| it.namespace_unreadable = unreadable)
    };
    let nothing = SecretPlan::Nothing;
    are_decided(vec![
        ("it is not there", keyed(false), (False, Reason::CredentialsNotFound), nothing),
        ("nobody knows", keyed(true), (Unknown, Reason::NamespaceUnreadable), nothing),
    ]);
}

#[test]
fn class_15_a_record_that_was_rolled_back_is_neither_published_nor_sent_and_the_owner_connects_again() {
    let rolled_back = || {
        good().requested("x").at_second(3_000).seen(|observed| {
            let RecordState::Present(mut present) =
                std::mem::replace(&mut observed.record, RecordState::Missing)
            else {
                panic!("there is no record")
            };
            present.version = Some(version(2));
            observed.record = RecordState::RolledBack(present);
        })
    };
    let plan = rolled_back().decided();
    assert_eq!((plan.authorized.truth(), plan.authorized.reason), (False, Reason::RecordRolledBack));
    assert_eq!((plan.task, plan.secret, plan.next_attempt), (None, SecretPlan::Keep, None));
    assert_eq!(plan.unanswerable.as_deref(), Some("x"), "a request is answered, not kept");
    let again = rolled_back().annotated("bowline.dev/intake", "s/u").decided();
    assert!(again.task.is_some(), "a new grant is taken in");
    let minting = rolled_back().spec(json!({"method": "ClientCredentials"})).decided();
    assert!(minting.task.is_some(), "a minted token needs nobody");
}

#[test]
fn class_19_an_answer_that_is_not_stored_is_told() {
    let waiting = good().busy().seen(|observed| observed.actor.unstored_since = Some(at(20))).decided();
    assert_eq!((waiting.authorized.truth(), waiting.authorized.reason), (Unknown, Reason::AnswerNotStored));
    assert_eq!(waiting.secret, SecretPlan::Keep);
    let unreadable = good().busy().seen(|observed| {
        observed.actor.unstored_since = Some(at(20));
        observed.record = RecordState::Unreadable;
    });
    assert_eq!(
        unreadable.decided().authorized.reason,
        Reason::AnswerNotStored,
        "also beside a fault of the record"
    );
}

#[test]
fn class_15_a_credentials_secret_is_not_read_again_where_its_token_was_probably_used_up() {
    let seen = |record: RecordState, method: &str| {
        let connection = good().spec(json!({"method": method, "credentials": {"secretName": "key"}}));
        let connection = connection.seen(|observed| {
            observed.credentials = Some(("s".into(), "1".into()));
            observed.record = record;
        });
        connection.decided().task.is_some()
    };
    assert!(!seen(RecordState::Tampered, "RefreshToken"));
    assert!(!seen(RecordState::Missing, "RefreshToken"));
    assert!(!seen(RecordState::Tampered, "APIKey"));
    assert!(seen(RecordState::Missing, "APIKey"), "a key is not used up");
}
