//! What is in force, as sentences.

use bowline_api::names::ANNOTATION_TERMS_BY;
use serde_json::{Value, json};

use super::*;

fn terms(value: &Value) -> ConnectionTerms {
    serde_json::from_value(value.clone()).unwrap()
}

fn connection(spec: Value, by: Option<&str>, approves: Option<&str>) -> IntegrationConnection {
    let mut spec = spec;
    spec["provider"] = json!("p");
    spec["owner"] = json!("alice");
    let annotations = json!({ANNOTATION_TERMS_BY: by, ANNOTATION_APPROVE_TERMS: approves});
    let annotations: serde_json::Map<_, _> =
        annotations.as_object().unwrap().clone().into_iter().filter(|(_, value)| !value.is_null()).collect();
    serde_json::from_value(
        json!({"metadata": {"name": "c", "namespace": "n", "annotations": annotations}, "spec": spec}),
    )
    .unwrap()
}

/// What a spec asks for in a workspace with these namespaces.
fn asks(spec: &Value, namespaces: &[&str]) -> Value {
    let mut asked = spec.clone();
    if asked["shared"] == json!(true) {
        asked["namespaces"] = json!(namespaces);
    }
    asked
}

fn agreed(settled: &TermsInForce) -> &AgreedTerms {
    settled.agreed().unwrap()
}

fn settled(
    spec: &Value,
    namespaces: &[&str],
    by: Option<&str>,
    on_record: &Value,
    protected: bool,
) -> TermsInForce {
    let on_record = TermsOnRecord::Agreed { terms: terms(on_record), by_owner: true };
    settle(&connection(spec.clone(), by, None), terms(&asks(spec, namespaces)), on_record, protected)
}

fn shared() -> Value {
    json!({"workspace": "w", "shared": true})
}

#[test]
fn the_owners_own_edit_is_agreed_to_and_what_somebody_else_widens_waits() {
    let private = json!({"workspace": "w"});
    let full = asks(&shared(), &["x"]);
    for (sentence, before, spec, by, protected, in_force, waits) in [
        ("she shares it", &private, shared(), None, true, full.clone(), false),
        ("a pipeline shares it", &private, shared(), Some("bob"), true, private.clone(), true),
        ("a policy is missing", &private, shared(), None, false, private.clone(), true),
        ("she takes it back", &full, private.clone(), None, true, private.clone(), false),
        ("a pipeline takes it back", &full, private.clone(), Some("bob"), true, private.clone(), false),
        ("and while a policy is missing", &full, private.clone(), None, false, private.clone(), false),
        (
            "a pipeline moves it",
            &full,
            json!({"workspace": "v", "shared": true}),
            Some("bob"),
            true,
            full.clone(),
            true,
        ),
        (
            "a pipeline names another workspace",
            &private,
            json!({"workspace": "v"}),
            Some("bob"),
            true,
            private.clone(),
            true,
        ),
        (
            "she moves it",
            &full,
            json!({"workspace": "v", "shared": true}),
            None,
            true,
            asks(&json!({"workspace": "v", "shared": true}), &["x"]),
            false,
        ),
        (
            "a pipeline adds a scope",
            &json!({"scopes": ["a"]}),
            json!({"scopes": ["a", "b"]}),
            Some("bob"),
            true,
            json!({"scopes": ["a"]}),
            true,
        ),
        (
            "she adds a scope",
            &json!({"scopes": ["a"]}),
            json!({"scopes": ["a", "b"]}),
            None,
            true,
            json!({"scopes": ["a", "b"]}),
            false,
        ),
        (
            "a pipeline shares it and takes a scope",
            &json!({"scopes": ["a", "b"]}),
            json!({"workspace": "w", "shared": true, "scopes": ["a"]}),
            Some("bob"),
            true,
            json!({"scopes": ["a"]}),
            true,
        ),
    ] {
        let settled = settled(&spec, &["x"], by, before, protected);
        let it = agreed(&settled);
        assert_eq!(it.agreed, terms(&in_force), "{sentence}");
        assert_eq!(it.proposed.is_wider_than(&it.agreed), waits, "{sentence}");
        let sealing = (it.agreed != terms(before)).then(|| Sealing { from: Some(terms(before)) });
        assert_eq!(it.to_seal, sealing, "{sentence}");
    }
}

/// While a policy was missing somebody could write in the owner's name, and remove the name of who did.
#[test]
fn what_was_seen_to_wait_is_not_the_owners_edit_afterwards() {
    let private = json!({"workspace": "w", "scopes": ["a"]});
    let told = |by: Option<&str>, proposed: &Value| json!({"agreed": private, "proposed": proposed, "digest": terms(proposed).digest(), "by": by});
    let full = asks(&json!({"workspace": "w", "shared": true, "scopes": ["a"]}), &["x"]);
    let also_more = json!({"workspace": "w", "shared": true, "scopes": ["a", "b"]});
    for (sentence, spec, by, in_force) in [
        (
            "nobody knows who shared it",
            json!({"workspace": "w", "shared": true, "scopes": ["a"]}),
            None,
            &private,
        ),
        (
            "bob's name was removed",
            json!({"workspace": "w", "shared": true, "scopes": ["a"]}),
            Some("bob"),
            &private,
        ),
        ("another edit does not agree to it", also_more, None, &private),
        ("she takes it back", private.clone(), None, &private),
        ("what is narrower holds", json!({"scopes": ["a"]}), None, &json!({"scopes": ["a"]})),
    ] {
        let mut connection = connection(spec.clone(), None, None);
        connection.status = serde_json::from_value(json!({"terms": told(by, &full)})).unwrap();
        let on_record = TermsOnRecord::Agreed { terms: terms(&private), by_owner: true };
        let settled = settle(&connection, terms(&asks(&spec, &["x"])), on_record, true);
        assert_eq!(agreed(&settled).agreed, terms(in_force), "{sentence}");
    }
    let approved = connection(
        json!({"workspace": "w", "shared": true, "scopes": ["a"]}),
        None,
        Some(&terms(&full).digest()),
    );
    let on_record = TermsOnRecord::Agreed { terms: terms(&private), by_owner: true };
    let settled = settle(&approved, terms(&full), on_record, true);
    assert_eq!(agreed(&settled).agreed, terms(&full), "she approves it");
}

#[test]
fn a_namespace_that_joins_is_nobodys_own_edit() {
    let before = asks(&shared(), &["x"]);
    let joined = settled(&shared(), &["x", "y"], None, &before, true);
    assert!(joined.reaches("x") && !joined.reaches("y"));
    assert_eq!(agreed(&joined).to_seal, None);
    // It left and came back: she agreed to it once.
    let left = settled(&shared(), &[], None, &before, true);
    assert_eq!((agreed(&left).to_seal.clone(), left.reaches("x")), (None, true));
    // She takes it back and shares it again: then she means the workspace as it is.
    let private = settled(&json!({"workspace": "w"}), &[], None, &before, true);
    let private = serde_json::to_value(&agreed(&private).agreed).unwrap();
    let again = settled(&shared(), &["x", "y"], None, &private, true);
    assert!(again.reaches("x") && again.reaches("y"));
}

#[test]
fn a_workspace_that_is_made_later_is_agreed_to_as_it_is_then() {
    let early = settle(
        &connection(shared(), None, None),
        terms(&shared()),
        TermsOnRecord::Agreed { terms: terms(&json!({})), by_owner: true },
        true,
    );
    assert_eq!(agreed(&early).agreed, terms(&shared()));
    assert!(!early.reaches("x"), "nobody knows yet what it lists");
    let there = settled(&shared(), &["x"], Some("bob"), &shared(), true);
    assert!(there.reaches("x") && agreed(&there).to_seal.is_some());
    let page = terms(&shared()).as_shown();
    let there = settled(&shared(), &["x"], None, &serde_json::to_value(page).unwrap(), true);
    assert!(!there.reaches("x"), "the page showed that it lists nothing");
}

#[test]
fn an_approval_counts_for_what_was_shown_and_by_the_owner_alone() {
    let (before, asked) = (json!({}), asks(&shared(), &["x"]));
    let approving = |digest: &str, by_owner: bool, protected: bool| {
        let on_record = TermsOnRecord::Agreed { terms: terms(&before), by_owner };
        let connection = connection(shared(), Some("bob"), Some(digest));
        agreed(&settle(&connection, terms(&asked), on_record, protected)).agreed.shared
    };
    let digest = terms(&asked).digest();
    assert!(approving(&digest, true, true));
    assert!(!approving(&digest, true, false), "a policy is missing");
    assert!(!approving(&digest, false, true), "the grant is a former owner's");
    assert!(!approving(&terms(&asks(&shared(), &["x", "y"])).digest(), true, true), "other terms");
    assert!(!approving("", true, true));
}

#[test]
fn a_grant_of_before_terms_were_kept_is_shared_as_it_was() {
    let of = |protected| {
        settle(
            &connection(shared(), Some("bob"), None),
            terms(&asks(&shared(), &["x"])),
            TermsOnRecord::Unsealed,
            protected,
        )
    };
    for protected in [true, false] {
        let settled = of(protected);
        assert!(settled.reaches("x"));
        assert_eq!(agreed(&settled).to_seal.is_some(), protected, "sealed once the policies are there");
    }
}

#[test]
fn while_the_record_cannot_be_read_what_was_said_last_counts() {
    let mut it = connection(json!({"workspace": "v", "shared": true}), None, None);
    let proposed = terms(&json!({"workspace": "v", "shared": true, "namespaces": ["z"]}));
    let unknown = settle(&it, proposed.clone(), TermsOnRecord::Unknown, true);
    assert_eq!(unknown, TermsInForce::AsSpecified, "nothing was ever said");
    it.status = serde_json::from_value(json!({"terms": {"agreed": asks(&shared(), &["x"])}})).unwrap();
    let unknown = settle(&it, proposed, TermsOnRecord::Unknown, true);
    assert_eq!(unknown.workspace(&it), Some("w"));
    assert!(unknown.reaches("x") && !unknown.reaches("z"));
    assert_eq!(agreed(&unknown).to_seal, None);
}

#[test]
fn what_no_page_shows_agrees_to_no_more_than_the_owner_set() {
    let proposed = terms(&asks(&json!({"workspace": "w", "shared": true, "scopes": ["a"]}), &["x"]));
    let spec = json!({"workspace": "w", "shared": true, "scopes": ["a"]});
    let taken = |by: Option<&str>| {
        unseen(&connection(spec.clone(), by, None), &TermsInForce::AsSpecified, proposed.clone())
    };
    assert_eq!(taken(None), proposed);
    assert_eq!(taken(Some("alice")), proposed);
    assert_eq!(taken(Some("bob")), terms(&json!({"scopes": ["a"]})));
    let renewed = settled(&spec, &["x"], Some("bob"), &json!({"scopes": ["a"]}), true);
    let it = connection(spec, Some("bob"), None);
    assert_eq!(unseen(&it, &renewed, proposed), terms(&json!({"scopes": ["a"]})));
}
