use serde_json::{Value, json};

use super::*;

const NOW: &str = "2026-01-01T12:00:00Z";

fn verdict(kind: &str, status: &str, reason: &str, message: &str) -> Value {
    json!({"type": kind, "status": status, "reason": reason, "message": message, "lastTransitionTime": "2026-01-01T11:00:00Z"})
}

#[allow(clippy::needless_pass_by_value)] // the rows read better without borrows
fn page(spec: Value, status: Value) -> Page {
    let mut whole = json!({
        "metadata": {"name": "github", "namespace": "team-a", "uid": "u1"},
        "spec": {"provider": "github-com", "owner": "alice@example.com"},
        "status": status,
    });
    whole["spec"].as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    Page {
        connection: serde_json::from_value(whole).unwrap(),
        shares: Seen::Yes(Vec::new()),
        events: Seen::Yes(Vec::new()),
        provider: About::default(),
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
            "grant": {"expiresAt": "2026-03-01T12:00:00Z"},
            "secret": {"name": "github", "uid": "s", "resourceVersion": "9", "revision": 3},
            "conditions": [
                verdict("Ready", "True", "Connected", ""), verdict("Authorized", "True", "Authorized", ""),
                verdict("TokenFresh", "True", "Fresh", ""), verdict("SecretPublished", "True", "Published", ""),
                verdict("Shared", "True", "Shared", "Published in 1 namespace."),
            ],
        }),
    );
    let share = json!({
        "metadata": {"name": "team-a.github", "namespace": "marketing-jobs"},
        "spec": {"connection": {"namespace": "team-a", "name": "github", "uid": "u1"}, "workspace": "marketing", "provider": "github-com", "owner": "alice"},
        "status": {"secretName": "team-a.github"},
    });
    page.shares = Seen::Yes(vec![serde_json::from_value(share).unwrap()]);
    let event = |reason: &str, at: &str| json!({"metadata": {}, "involvedObject": {}, "type": "Normal", "reason": reason, "message": "It did.", "lastTimestamp": at});
    page.events = Seen::Yes(vec![
        serde_json::from_value(event("Authorized", "2026-01-01T10:00:00Z")).unwrap(),
        serde_json::from_value(event("Shared", "2026-01-01T11:50:00Z")).unwrap(),
    ]);
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
Grant ends:     in 59d
Scopes:         repo read:user
Scopes missing: gist

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

Events
  10m ago    Normal  Shared: It did.
  120m ago   Normal  Authorized: It did.
"
    );
}

/// Each row: what stands on the connection, and the lines that must follow.
#[test]
fn the_cause_is_named_with_who_mends_it_and_the_command() {
    let well = ("True", "Fresh");
    let out = ("True", "Published");
    let rows: &[(Value, &str, &str)] = &[
        (
            standing(("False", "AwaitingAuthorization"), ("False", "TokenExpired"), ("False", "NotYet")),
            "the owner (alice@example.com): Connect it: sign in at the provider and agree.",
            "kubectl bowline connect github -n team-a",
        ),
        (
            standing(("False", "ProviderNotFound"), ("False", "TokenExpired"), ("False", "NotYet")),
            "an administrator of this cluster: Make the IntegrationProvider github-com;",
            "kubectl get iprov",
        ),
        (
            standing(("True", "Authorized"), ("False", "RefreshFailing"), out),
            "nobody: It is tried again by itself",
            "kubectl bowline refresh github -n team-a",
        ),
        (
            standing(("True", "Authorized"), well, ("False", "NameTaken")),
            "whoever may edit the connection: Choose another spec.secret.name",
            "kubectl get secret github -n team-a -o yaml",
        ),
        (
            standing(("True", "GrantExpiringSoon"), well, out),
            "the owner (alice@example.com): Authorize again before the grant ends",
            "kubectl bowline connect github -n team-a",
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
fn a_share_that_is_withheld_has_its_own_step() {
    let status = json!({"phase": "Active", "conditions": [
        verdict("Authorized", "True", "Authorized", ""), verdict("TokenFresh", "True", "Fresh", ""),
        verdict("SecretPublished", "True", "Published", ""), verdict("Shared", "False", "OwnerNotMember", ""),
    ]});
    let shared = page(json!({"workspace": "marketing", "shared": true}), status.clone()).render();
    assert!(shared.contains("Make alice@example.com a member of marketing again."), "{shared}");
    let private = page(json!({}), status).render();
    assert!(private.contains("Nothing: all is as it should be."), "{private}");
}

#[test]
fn the_providers_contact_is_named_where_an_administrator_is_needed() {
    let status = standing(("Unknown", "ProviderNotReady"), ("True", "Fresh"), ("True", "Published"));
    let page = Page {
        provider: About { contact: Some("platform@example.com".into()), ..About::default() },
        ..page(json!({}), status)
    };
    let text = page.render();
    assert!(
        text.contains("an administrator of this cluster (platform@example.com): Mend the provider"),
        "{text}"
    );
    assert!(text.contains("kubectl describe iprov github-com"), "{text}");
}

#[test]
fn a_connection_nobody_looks_after_points_to_the_operator() {
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
    page.shares = Seen::MayNot;
    page.events = Seen::MayNot;
    let text = page.render();
    for line in [
        "Token:          expired 4m ago",
        "  shared, but you may not list shares in other namespaces",
        "  you may not list events here",
        "  nowhere in its own namespace",
    ] {
        assert!(text.lines().any(|candidate| candidate == line), "{line}\n{text}");
    }
}

#[test]
fn a_connection_without_a_secret_warns_of_nobody_who_reads_it() {
    let text =
        page(json!({}), json!({"conditions": [verdict("Authorized", "False", "Disconnected", "")]})).render();
    assert!(text.contains("Where it is published\n  nowhere\n"), "{text}");
    assert!(!text.contains("gets the token"), "{text}");
}

#[test]
fn what_is_not_shared_for_want_of_a_grant_is_no_step_of_its_own() {
    let shared = json!({"shared": true, "workspace": "marketing"});
    let conditions = json!({"conditions": [
        verdict("Authorized", "False", "Disconnected", ""), verdict("Shared", "False", "NotShared", ""),
    ]});
    let text = page(shared, conditions).render();
    assert!(!text.contains("Private, as asked"), "{text}");
    assert!(text.contains("\"disconnect\":false"), "{text}");
}

#[test]
fn scopes_are_extra_only_where_some_were_asked_for() {
    let scopes = |requested: Value| {
        let scopes = json!({"granted": ["read"], "requested": requested, "extra": ["read"]});
        page(json!({}), json!({"scopes": scopes})).render()
    };
    assert!(!scopes(json!([])).contains("Not asked for"));
    assert!(scopes(json!(["write"])).contains("Not asked for:  read"), "{}", scopes(json!(["write"])));
}

#[test]
fn text_from_outside_cannot_move_the_cursor() {
    let status = json!({"account": {"id": "1", "name": "\u{1b}[2Jroot"}, "conditions": [verdict("Authorized", "False", "PolicyBlocked", "a\u{7}b\nc")]});
    let text = page(json!({"displayName": "x\u{1b}]0;y"}), status).render();
    assert!(!text.contains('\u{1b}') && !text.contains('\u{7}'), "{text:?}");
}
