use serde_json::{Value, json};

use super::*;
use crate::reading::Forbidden;

const NOW: &str = "2026-01-01T12:00:00Z";

fn verdict(kind: &str, status: &str, reason: &str, message: &str) -> Value {
    json!({"type": kind, "status": status, "reason": reason, "message": message, "lastTransitionTime": "2026-01-01T11:00:00Z"})
}

#[allow(clippy::needless_pass_by_value)] // the rows read better without borrows
fn page(spec: Value, status: Value) -> DescribePage {
    let mut whole = json!({
        "metadata": {"name": "github", "namespace": "team-a", "uid": "u1"},
        "spec": {"provider": "github-com", "owner": "alice@example.com"},
        "status": status,
    });
    whole["spec"].as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    DescribePage {
        connection: serde_json::from_value(whole).unwrap(),
        shares: Ok(Vec::new()),
        bindings: BindingsSeen { bindings: Vec::new(), is_partial: false },
        provider: ProviderFacts::default(),
        now: NOW.parse().unwrap(),
        colours: false,
    }
}

fn standing(authorized: (&str, &str), fresh: (&str, &str), published: (&str, &str)) -> Value {
    json!({"phase": "Error", "conditions": [
        verdict("Ready", "False", authorized.1, ""),
        verdict("Authorized", authorized.0, authorized.1, "Said by the operator."),
        verdict("TokenFresh", fresh.0, fresh.1, ""),
        verdict("SecretPublished", published.0, published.1, ""),
    ]})
}

#[test]
fn a_working_connection_reads_from_top_to_bottom() {
    let mut page = page(
        json!({"displayName": "GitHub (work)", "workspace": "marketing", "shared": true}),
        json!({
            "phase": "Active", "account": {"id": "583231", "name": "octocat"}, "connectedAt": "2025-12-30T12:00:00Z",
            "scopes": {"granted": ["repo", "read:user"], "missing": ["gist"]},
            "token": {"expiresAt": "2026-01-01T12:04:00Z", "lastRefreshedAt": "2026-01-01T11:10:00Z", "nextRefreshAt": "2026-01-01T12:02:00Z"},
            "grant": {"id": "7f3c", "revision": 9, "obtainedAt": "2026-01-01T11:10:00Z", "expiresAt": "2026-03-01T12:00:00Z"},
            "lastAttempt": {"id": "r1", "method": "DeviceCode", "requestedBy": "alice", "startedAt": "2026-01-01T10:00:00Z",
                "endedAt": "2026-01-01T10:05:00Z", "result": "Failed", "reason": "AccountMismatch", "message": "It is bob's."},
            "revocation": {"reason": "Revoked", "since": "2026-01-01T11:00:00Z", "message": "The provider has confirmed it."},
            "secret": {"name": "github"},
            "history": [
                {"at": "2026-01-01T11:50:00Z", "reason": "Shared", "message": "It did."},
                {"at": "2026-01-01T10:00:00Z", "reason": "Authorized"},
            ],
            "conditions": [
                verdict("Ready", "True", "Connected", ""), verdict("Authorized", "True", "Authorized", ""),
                verdict("TokenFresh", "True", "Fresh", ""), verdict("SecretPublished", "True", "Published", ""),
                verdict("Shared", "True", "Shared", "Published in 1 namespace."),
            ],
        }),
    );
    let share = json!({
        "metadata": {"name": "team-a.github", "namespace": "marketing-jobs"},
        "spec": {"connection": {"namespace": "team-a", "name": "github", "uid": "u1"}, "workspace": "marketing"},
        "status": {"secretName": "team-a.github"},
    });
    page.shares = Ok(vec![serde_json::from_value(share).unwrap()]);
    assert_eq!(
        page.render(),
        "\
Connection:     team-a.github
Name:           GitHub (work)
Provider:       github-com
Account:        octocat
Owner:          alice@example.com
Workspace:      marketing
Status:         Active
Connected:      2d ago
Token:          expires in 4m (2026-01-01T12:04:00Z)
Refreshed:      50m ago
Next refresh:   in 2m
Grant expires:  in 59d
Scopes:         repo read:user
Scopes missing: gist
Revocation:     Revoked 60m ago: The provider has confirmed it.
Last attempt:   Failed 115m ago (DeviceCode, requested by alice): AccountMismatch: It is bob's.

Why
  Ready           True    Connected (for 60m)
  Authorized      True    Authorized (for 60m)
  TokenFresh      True    Fresh (for 60m)
  SecretPublished True    Published (for 60m)
  Shared          True    Shared (for 60m)
                  Published in 1 namespace.

What to do next
  Nothing: all is as it should be.

Where it is published
  team-a: Secret github
  marketing-jobs: Secret team-a.github (workspace marketing)
  Whoever may read Secrets or run pods in these namespaces gets the token.

History
  10m ago    Shared: It did.
  120m ago   Authorized
"
    );
}

/// Each row: the state of the connection, and the lines that must follow.
#[test]
fn the_cause_is_named_with_who_acts_and_the_command() {
    let well = ("True", "Fresh");
    let out = ("True", "Published");
    let rows: &[(Value, &str, &str)] = &[
        (
            standing(("False", "AwaitingAuthorization"), ("False", "TokenExpired"), ("False", "NotYet")),
            "the owner (alice@example.com): Connect: sign in at the provider and allow access.",
            "kubectl bowline connect github -n team-a",
        ),
        (
            standing(("False", "ProviderNotFound"), ("False", "TokenExpired"), ("False", "NotYet")),
            "the platform team: Create the IntegrationProvider github-com;",
            "kubectl get iprov",
        ),
        (
            standing(("True", "Authorized"), ("False", "TokenExpired"), out),
            "nobody: It continues by itself.",
            "kubectl bowline refresh github -n team-a",
        ),
        (
            standing(("True", "Authorized"), well, ("False", "NameTaken")),
            "whoever maintains the object: Delete the Secret that has the name, or choose another spec.secret.name",
            "kubectl get secret github -n team-a -o yaml",
        ),
        (
            standing(("True", "GrantExpiringSoon"), well, out),
            "the owner (alice@example.com): Connect again before then.",
            "kubectl bowline connect github -n team-a",
        ),
        (
            standing(("False", "OfALaterVersion"), well, out),
            "unknown reason OfALaterVersion: This plug-in is older than the operator; the message says what to do.",
            "kubectl get ic github -n team-a -o yaml",
        ),
    ];
    for (status, step, command) in rows {
        let text = page(json!({}), status.clone()).render();
        let next = text.split("What to do next").nth(1).unwrap().split("\n\n").next().unwrap();
        assert!(next.contains(step) && next.contains(command), "{step}\n{next}");
        assert_eq!(next.matches("kubectl ").count(), 1, "only the cause, not what follows from it: {next}");
    }
}

#[test]
fn the_end_that_the_owner_was_reminded_of_is_the_one_that_is_shown() {
    let mut status = standing(("True", "GrantExpiringSoon"), ("True", "Fresh"), ("True", "Published"));
    status["grant"] = json!({"id": "1", "revision": 1, "obtainedAt": "2026-01-01T11:00:00Z",
        "expiresAt": "2026-01-03T12:00:00Z", "reminder": {"endsAt": "2026-01-01T13:00:00Z", "days": 1}});
    let text = page(json!({}), status).render();
    assert!(text.contains("Grant expires:  in 60m\n"), "{text}");
}

#[test]
fn a_stalled_connection_and_what_the_provider_decided_have_their_lines() {
    let mut status = standing(("False", "GrantRevoked"), ("True", "Fresh"), ("False", "Withdrawn"));
    status["conditions"].as_array_mut().unwrap().push(verdict("Stalled", "True", "GrantRevoked", ""));
    let mut ruled = |is_final: bool| {
        status["ruling"] = json!({"reason": "GrantRevoked", "since": "2026-01-01T11:00:00Z", "final": is_final,
            "message": "It said so twice."});
        page(json!({}), status.clone()).render()
    };
    let text = ruled(true);
    assert!(text.contains("Ruling:         GrantRevoked 60m ago, final: It said so twice.\n"), "{text}");
    assert!(text.contains("  Stalled         True    GrantRevoked (for 60m)\n"), "{text}");
    assert!(ruled(false).contains("GrantRevoked 60m ago, tried again: "), "{text}");
}

#[test]
fn an_app_that_is_not_approved_is_told_with_the_page_for_it() {
    let mut status = standing(("False", "AdminConsentRequired"), ("True", "Fresh"), ("True", "Published"));
    status["authorization"] = json!({"adminConsentURL": "https://idp.example.com/consent"});
    let text = page(json!({}), status).render();
    let step = "an administrator at the provider: Approve the app at https://idp.example.com/consent; then connect again.";
    assert!(text.contains(step), "{text}");
}

#[test]
fn sharing_that_does_not_work_has_its_own_step() {
    let status = json!({"phase": "Active", "conditions": [
        verdict("Authorized", "True", "Authorized", ""), verdict("TokenFresh", "True", "Fresh", ""),
        verdict("SecretPublished", "True", "Published", ""), verdict("Shared", "False", "OwnerNotMember", ""),
    ]});
    let shared = page(json!({"workspace": "marketing", "shared": true}), status.clone()).render();
    assert!(
        shared.contains("whoever maintains the workspace (marketing): Make alice@example.com a member;"),
        "{shared}"
    );
    let mut private = status;
    private["conditions"].as_array_mut().unwrap().pop();
    let private = page(json!({}), private).render();
    assert!(private.contains("Nothing: all is as it should be."), "{private}");
}

#[test]
fn the_providers_contact_is_named_where_the_platform_team_is_needed() {
    let status = standing(("Unknown", "ProviderNotReady"), ("True", "Fresh"), ("True", "Published"));
    let page = DescribePage {
        provider: ProviderFacts { contact: Some("platform@example.com".into()), ..ProviderFacts::default() },
        ..page(json!({}), status)
    };
    let text = page.render();
    assert!(text.contains("the platform team (platform@example.com): Fix the provider"), "{text}");
    assert!(text.contains("kubectl describe iprov github-com"), "{text}");
}

#[test]
fn a_connection_that_the_operator_has_not_seen_points_to_it() {
    let text = page(json!({}), Value::Null).render();
    assert!(text.contains("not seen by the operator yet"), "{text}");
    assert!(text.contains("See whether the operator runs."), "{text}");
}

#[test]
fn an_expired_token_and_what_may_not_be_read_are_said() {
    let mut page = page(
        json!({"shared": true, "workspace": "marketing"}),
        json!({"token": {"expiresAt": "2026-01-01T11:56:00Z"}, "conditions": [verdict("Authorized", "True", "Authorized", "")]}),
    );
    page.shares = Err(Forbidden::default());
    let text = page.render();
    for line in [
        "Token:          expired 4m ago",
        "  in namespaces of workspace marketing whose shares you may not list",
    ] {
        assert!(text.lines().any(|candidate| candidate == line), "{line}\n{text}");
    }
}

#[test]
fn a_connection_without_a_secret_warns_of_no_readers() {
    let text =
        page(json!({}), json!({"conditions": [verdict("Authorized", "False", "Disconnected", "")]})).render();
    assert!(text.contains("Where it is published\n  nowhere\n"), "{text}");
    assert!(!text.contains("gets the token"), "{text}");
}

#[test]
fn without_a_grant_sharing_is_no_step_of_its_own() {
    let shared = json!({"shared": true, "workspace": "marketing"});
    let conditions = json!({"conditions": [
        verdict("Authorized", "False", "Disconnected", ""), verdict("Shared", "False", "OwnerNotMember", ""),
    ]});
    let text = page(shared, conditions).render();
    assert!(!text.contains("maintains the workspace"), "{text}");
    assert!(text.contains("\"disconnect\":false"), "{text}");
}

#[test]
fn scopes_are_extra_only_where_some_were_requested() {
    let scopes = |requested: Value| {
        let scopes = json!({"granted": ["read"], "requested": requested, "extra": ["read"]});
        page(json!({}), json!({"scopes": scopes})).render()
    };
    assert!(!scopes(json!([])).contains("Not requested"));
    assert!(scopes(json!(["write"])).contains("Not requested:  read"), "{}", scopes(json!(["write"])));
}

#[test]
fn text_from_outside_cannot_move_the_cursor() {
    let status = json!({"account": {"id": "1", "name": "\u{1b}[2Jroot"}, "conditions": [verdict("Authorized", "False", "PolicyBlocked", "a\u{7}b\nc")]});
    let text = page(json!({"displayName": "x\u{1b}]0;y"}), status).render();
    assert!(!text.contains('\u{1b}') && !text.contains('\u{7}'), "{text:?}");
}
