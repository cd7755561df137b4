#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use k8s_openapi::ByteString;
use proptest::prelude::*;
use secrecy::ExposeSecret;

use super::fixtures::*;
use super::*;
use crate::vault::keyring::fixtures::{SECOND, march, shared};

fn refresh_token(grant: Option<Grant>) -> Option<String> {
    match grant?.credential {
        Credential::OAuth { refresh_token, .. } => Some(refresh_token?.expose_secret().to_owned()),
        _ => None,
    }
}

fn held_token(record: &Record) -> Option<String> {
    refresh_token(record.open_grant(&sealer()).unwrap())
}

fn round_trip(record: &Record) -> Record {
    Record::from_secret(record.to_secret().unwrap()).unwrap()
}

#[test]
fn a_consent_is_on_record_before_it_is_judged_and_leaves_the_old_grant_alone() {
    let record = authorized().with_candidate(&sealer(), &grant("r2")).unwrap();
    assert_eq!(held_token(&record).as_deref(), Some("r1"));
    let candidate = opened(&record, Slot::Candidate);
    assert_eq!(refresh_token(Some(candidate.grant)).as_deref(), Some("r2"));
    assert_eq!((record.revision(), record.grant().unwrap().revision()), (3, 2));
}

#[test]
fn a_promoted_candidate_is_the_grant_with_what_judging_added() {
    let record = Record::new(place());
    let mut unknown = grant("r1");
    unknown.bound_to.account = None;
    let record = record.with_candidate(&sealer(), &unknown).unwrap();
    assert_eq!(record.sibling_key(), None);

    let mut judged = opened(&record, Slot::Candidate);
    judged.grant.bound_to = binding();
    let record = record.promoted(&sealer(), &judged, None).unwrap();

    assert_eq!(record.open_grant(&sealer()).unwrap().unwrap().bound_to, binding());
    assert!(record.candidate().is_none());
    assert_eq!(record.sibling_key(), SiblingKey::of(&binding()).as_ref());
    assert_eq!(record.revision(), 2);
}

#[test]
fn promoting_ends_the_request_on_the_old_grant_and_its_late_answer_is_refused() {
    let record = about_to_refresh();
    let spent = opened(&record, Slot::InUse);
    let record = record.with_candidate(&sealer(), &grant("new")).unwrap();
    let judged = opened(&record, Slot::Candidate);
    let record = record.promoted(&sealer(), &judged, None).unwrap();
    assert!(record.intent(Slot::InUse).is_none());
    let late = record.answered(&sealer(), &spent, Some(intent(1)), &grant("late"), None);
    assert_eq!(late.unwrap_err(), TransitionError::Replaced);
}

#[test]
fn a_candidate_judged_before_another_came_is_not_promoted() {
    let first = Record::new(place()).with_candidate(&sealer(), &grant("r1")).unwrap();
    let judged = opened(&first, Slot::Candidate);
    let second = first.candidate_refused().unwrap().with_candidate(&sealer(), &grant("r2")).unwrap();
    assert_eq!(second.promoted(&sealer(), &judged, None).unwrap_err(), TransitionError::Replaced);
}

#[test]
fn a_grant_in_use_is_no_candidate() {
    let record = authorized().with_candidate(&sealer(), &grant("r2")).unwrap();
    let in_use = opened(&record, Slot::InUse);
    assert_eq!(record.promoted(&sealer(), &in_use, None).unwrap_err(), TransitionError::Replaced);
}

#[test]
fn a_refused_candidate_leaves_the_grant_and_its_intent() {
    let record = about_to_refresh().with_candidate(&sealer(), &grant("r2")).unwrap();
    let record = record.candidate_refused().unwrap();
    assert_eq!(held_token(&record).as_deref(), Some("r1"));
    assert!(record.intent(Slot::InUse).is_some() && record.candidate().is_none());
}

/// A record in use whose candidate `r2` is about to be proved.
fn about_to_prove() -> Record {
    let record = about_to_refresh().with_candidate(&sealer(), &grant("r2")).unwrap();
    record.with_intent(Slot::Candidate, None, intent(7), "pod-a", march()).unwrap()
}

/// Puts `token` where the grant of this slot was spent under this intent.
fn answered(record: Record, slot: Slot, under: u8, token: &str) -> Record {
    let spent = opened(&record, slot);
    record.answered(&sealer(), &spent, Some(intent(under)), &grant(token), None).unwrap()
}

fn token_in(record: &Record, slot: Slot) -> Option<String> {
    refresh_token(Some(opened(record, slot).grant))
}

#[test]
fn a_candidate_is_marked_beside_the_grant_and_the_intent_survives_the_store() {
    let record = round_trip(&about_to_prove().intent_unknown(Slot::Candidate, intent(7)).unwrap());
    let mark = record.intent(Slot::Candidate).unwrap();
    assert_eq!((mark.id, mark.state), (intent(7), IntentState::Unknown));
    assert_eq!(record.intent(Slot::InUse).unwrap().id, intent(1), "the grant's own is untouched");
    let record = record.without_intent(Slot::Candidate, intent(7)).unwrap();
    assert!(record.intent(Slot::Candidate).is_none() && record.intent(Slot::InUse).is_some());
}

#[test]
fn an_answer_replaces_what_it_answers_whoever_has_taken_over_since() {
    for (slot, other) in [(Slot::InUse, Slot::Candidate), (Slot::Candidate, Slot::InUse)] {
        let record = about_to_prove();
        let (spent, mine) = (opened(&record, slot), record.intent(slot).unwrap().id);
        let taken = record.with_intent(slot, Some(mine), intent(8), "pod-b", march()).unwrap();
        assert_eq!(taken.intent(slot).unwrap().state, IntentState::Unknown);
        let untouched = token_in(&taken, other);
        let answered = taken.answered(&sealer(), &spent, Some(mine), &grant("r3"), None).unwrap();
        assert_eq!(token_in(&answered, slot).as_deref(), Some("r3"));
        assert!(answered.intent(slot).is_none() && answered.intent(other).is_some());
        assert_eq!((token_in(&answered, other), answered.revision()), (untouched, 4));
    }
}

#[test]
fn an_answer_to_what_its_owner_agreed_to_meanwhile_is_kept() {
    let record = about_to_refresh();
    let spent = opened(&record, Slot::InUse);
    let agreed = record.agreed(&sealer(), &grant("r1")).unwrap();
    assert!(agreed.intent(Slot::InUse).is_some() && !spent.stands_on(&agreed));
    let answered = agreed.clone().answered(&sealer(), &spent, Some(intent(1)), &grant("r2"), None);
    assert_eq!(token_in(&answered.unwrap(), Slot::InUse).as_deref(), Some("r2"));
    let unmarked = agreed.answered(&sealer(), &spent, None, &grant("r2"), None);
    assert_eq!(unmarked.unwrap_err(), TransitionError::Replaced);
}

#[test]
fn a_disconnect_between_request_and_answer_leaves_the_answer_to_be_revoked() {
    let record = about_to_prove();
    let spent = [Slot::Candidate, Slot::InUse].map(|slot| opened(&record, slot));
    let ending = Ending::of(record, "s1", march(), EndTerms::default());
    let ending = ending.answered(&sealer(), &spent[0], Some(intent(7)), &grant("r3")).unwrap();
    let ending = ending.answered(&sealer(), &spent[1], Some(intent(1)), &grant("r4")).unwrap();
    assert_eq!(token_in(ending.record(), Slot::Candidate).as_deref(), Some("r3"));
    assert_eq!(token_in(ending.record(), Slot::InUse).as_deref(), Some("r4"));
    assert_eq!(ending_round_trip(&ending), ending);
    let revoked = ending.settled(Slot::Candidate, None).settled(Slot::InUse, None);
    assert!(!revoked.has_grant());
}

fn ending_round_trip(ending: &Ending) -> Ending {
    Ending::from_secret(ending.to_secret().unwrap()).unwrap()
}

#[test]
fn class_16_an_answer_to_a_grant_that_was_replaced_is_no_answer_to_another_of_the_same_revision() {
    let spent = opened(&authorized(), Slot::InUse);
    let another = authorized();
    assert_eq!(another.revision(), authorized().revision());
    assert!(!spent.stands_on(&another));
    let late = another.answered(&sealer(), &spent, None, &grant("late"), None);
    assert_eq!(late.unwrap_err(), TransitionError::Replaced);
}

#[test]
fn class_15_a_grant_is_behind_a_later_revision_of_it_and_every_grant_accepted_after_it() {
    let [one, other] = [1, 2].map(|number| GrantId::from_bytes([number; 16]));
    let version = |id, revision, ordinal| GrantVersion { id, revision, ordinal };
    let rows = [
        ("an earlier revision", version(one, 5, 1), version(one, 9, 1), true),
        ("the same", version(one, 9, 1), version(one, 9, 1), false),
        ("a later revision", version(one, 10, 1), version(one, 9, 1), false),
        (
            "a grant accepted before, however often it was refreshed",
            version(one, 99, 1),
            version(other, 1, 2),
            true,
        ),
        ("a grant accepted after", version(other, 1, 2), version(one, 99, 1), false),
        ("another of the same ordinal", version(other, 1, 1), version(one, 1, 1), true),
        ("one that was known before grants were counted", version(other, 1, 1), version(one, 9, 0), false),
    ];
    for (name, held, known, is_behind) in rows {
        assert_eq!(held.is_behind(known), is_behind, "{name}");
    }
    let known = version(other, 3, 7);
    let record = Record::new(place()).with_candidate(&sealer(), &grant("r1")).unwrap();
    let judged = opened(&record, Slot::Candidate);
    let accepted = record.promoted(&sealer(), &judged, Some(known)).unwrap().grant_version().unwrap();
    assert!(!accepted.is_behind(known) && known.is_behind(accepted), "a consent is always newer");
    let minted = Record::new(place()).minted(&sealer(), &grant("m1"), Some(known)).unwrap();
    assert!(!minted.grant_version().unwrap().is_behind(known));
}

#[test]
fn an_answer_counts_the_revision_and_clears_the_intent() {
    let record = answered(about_to_refresh(), Slot::InUse, 1, "r2");
    assert_eq!(held_token(&record).as_deref(), Some("r2"));
    assert_eq!((record.revision(), record.grant().unwrap().revision()), (3, 3));
    assert!(record.intent(Slot::InUse).is_none() && record.previous().is_none());
}

#[test]
fn a_minted_token_is_the_same_grant_as_long_as_owner_authority_and_client_are() {
    let minted = |record: Record, grant: &Grant| record.minted(&sealer(), grant, None).unwrap();
    let first = minted(Record::new(place()), &grant("m1"));
    let version = first.grant_version().unwrap();
    assert_eq!(version.revision, 1);
    let second = minted(first, &grant("m2"));
    assert_eq!(second.grant_version(), Some(GrantVersion { revision: 2, ..version }));
    let mut of_another_client = grant("m3");
    of_another_client.bound_to.client_id = Some("client-2".into());
    let third = minted(second, &of_another_client).grant_version().unwrap();
    assert_eq!(third.revision, 1);
    assert_ne!(third.id, version.id);
    assert!(minted(about_to_refresh(), &grant("m1")).intent(Slot::InUse).is_none(), "it answers what stands");
}

#[test]
fn a_grant_keeps_its_id_through_refreshes_and_counts_them() {
    let accepted = authorized().grant_version().unwrap();
    assert_eq!(accepted.revision, 1);
    let record = about_to_refresh();
    let id = record.grant_version().unwrap().id;
    let record = answered(record, Slot::InUse, 1, "r2");
    assert_eq!(record.grant_version(), Some(GrantVersion { id, revision: 2, ordinal: 1 }));
    let candidate = record.clone().with_candidate(&sealer(), &grant("r3")).unwrap();
    assert_eq!(candidate.grant_version(), record.grant_version(), "it is not accepted yet");
}

#[test]
fn another_grant_has_another_id_even_where_the_revisions_agree() {
    let first = authorized();
    let lost_and_connected_again = authorized();
    assert_eq!(first.revision(), lost_and_connected_again.revision());
    assert_ne!(first.grant_version(), lost_and_connected_again.grant_version());

    let id = first.grant_version().unwrap().id;
    let record = first.with_candidate(&sealer(), &grant("r2")).unwrap();
    let judged = opened(&record, Slot::Candidate);
    let renewed = record.promoted(&sealer(), &judged, None).unwrap().grant_version().unwrap();
    assert_eq!(renewed.revision, 1);
    assert_ne!(renewed.id, id);
}

#[test]
fn a_grant_without_a_version_is_refused() {
    let mut secret = about_to_refresh().to_secret().unwrap();
    let clear = &mut secret.data.as_mut().unwrap().get_mut("record.json").unwrap().0;
    let mut json: serde_json::Value = serde_json::from_slice(clear).unwrap();
    json.as_object_mut().unwrap().remove("grantVersion").unwrap();
    *clear = serde_json::to_vec(&json).unwrap();
    assert_eq!(Record::from_secret(secret), Err(RecordError::FieldMismatch { field: "grant" }));
}

#[test]
fn an_answer_ends_the_pause() {
    let pause = Some(Pause { not_before: minutes(5), app_version: Some("a/1".into()) });
    let paused = about_to_refresh().with_bookkeeping(Bookkeeping { pause, ..Bookkeeping::default() });
    assert_eq!(round_trip(&paused), paused);
    let answered = answered(paused, Slot::InUse, 1, "r2");
    assert_eq!(answered.bookkeeping(), &Bookkeeping::default());
}

#[test]
fn a_predecessor_is_kept_until_it_is_forgotten() {
    let record = about_to_refresh();
    let spent = opened(&record, Slot::InUse);
    let record =
        record.answered(&sealer(), &spent, Some(intent(1)), &grant("r2"), Some(&grant("r1"))).unwrap();
    assert_eq!(refresh_token(record.open_previous(&sealer()).unwrap()).as_deref(), Some("r1"));
    assert!(record.without_previous().previous().is_none());
}

#[test]
fn an_intent_that_was_taken_over_has_an_unknown_outcome_from_the_start() {
    let record =
        about_to_refresh().with_intent(Slot::InUse, Some(intent(1)), intent(2), "pod-b", march()).unwrap();
    let mark = record.intent(Slot::InUse).unwrap();
    assert_eq!((mark.id, mark.state), (intent(2), IntentState::Unknown));
}

#[test]
fn an_unknown_outcome_keeps_its_intent_until_it_is_cleared() {
    let record = about_to_refresh().intent_unknown(Slot::InUse, intent(1)).unwrap();
    let mark = record.intent(Slot::InUse).unwrap();
    assert_eq!((mark.id, mark.state), (intent(1), IntentState::Unknown));
    assert!(record.without_intent(Slot::InUse, intent(1)).unwrap().intent(Slot::InUse).is_none());
}

#[test]
fn spending_in_an_illegal_order_is_refused_in_both_slots() {
    use TransitionError as E;
    let (mine, other) = (intent(8), intent(9));
    for slot in [Slot::InUse, Slot::Candidate] {
        let free = || authorized().with_candidate(&sealer(), &grant("r2")).unwrap();
        let marked = || free().with_intent(slot, None, mine, "p", march()).unwrap();
        let spent = opened(&free(), slot);
        let table: Vec<(&str, Result<Record, E>, E)> = vec![
            ("nothing", Record::new(place()).with_intent(slot, None, mine, "p", march()), E::Empty(slot)),
            ("twice at once", marked().with_intent(slot, None, other, "p", march()), E::IntentStands(mine)),
            ("over another", marked().with_intent(slot, Some(other), mine, "p", march()), E::IntentLost),
            ("clearing another's", marked().without_intent(slot, other), E::IntentLost),
            ("clearing none", free().without_intent(slot, mine), E::IntentLost),
            ("doubting another's", marked().intent_unknown(slot, other), E::IntentLost),
            (
                "answering nothing",
                Record::new(place()).answered(&sealer(), &spent, Some(mine), &grant("r3"), None),
                E::Replaced,
            ),
        ];
        for (what, result, expected) in table {
            assert_eq!(result.unwrap_err(), expected, "{what} {slot:?}");
        }
    }
}

#[test]
fn changes_in_an_illegal_order_are_refused() {
    use TransitionError as E;
    let sealer = sealer();
    let with_candidate = || authorized().with_candidate(&sealer, &grant("r2")).unwrap();
    let judged = opened(&with_candidate(), Slot::Candidate);
    let table: Vec<(&str, Result<Record, E>, E)> = vec![
        ("a second candidate", with_candidate().with_candidate(&sealer, &grant("r3")), E::CandidateStands),
        ("promoting nothing", authorized().promoted(&sealer, &judged, None), E::Empty(Slot::Candidate)),
        ("agreeing to nothing", Record::new(place()).agreed(&sealer, &grant("r1")), E::Empty(Slot::InUse)),
        ("refusing nothing", authorized().candidate_refused(), E::Empty(Slot::Candidate)),
    ];
    for (what, result, expected) in table {
        assert_eq!(result.unwrap_err(), expected, "{what}");
    }
}

#[test]
fn an_ending_counts_its_failures_and_keeps_a_bounded_error() {
    let ending = Ending::of(authorized(), "s1", march(), EndTerms::default());
    let ending =
        ending.postponed(minutes(1), &"é".repeat(1000), None).postponed(minutes(3), "no answer", None);
    let progress = ending.progress();
    assert_eq!((progress.failures, progress.since, progress.not_before), (2, march(), minutes(3)));

    let ending = ending.postponed(minutes(3), &"é".repeat(1000), None);
    assert_eq!(ending.progress().last_error.as_ref().unwrap().chars().count(), 256);
    assert_eq!(ending_round_trip(&ending), ending);
}

#[test]
fn an_ending_is_named_after_the_secret_of_its_record_and_is_no_record() {
    let ending = Ending::of(authorized(), "s1", march(), EndTerms::default());
    let secret = ending.to_secret().unwrap();
    assert_eq!(secret.metadata.name.as_deref(), Some("ending-s1"));
    assert_eq!(Record::from_secret(secret.clone()).unwrap_err(), RecordError::WrongType);
    let mut renamed = secret;
    renamed.metadata.name = Some("ending-s2".into());
    assert_eq!(Ending::from_secret(renamed).unwrap_err(), RecordError::WrongName);
}

#[test]
fn an_orphan_keeps_the_time_it_was_first_noticed() {
    let record = authorized().orphaned(march()).orphaned(minutes(9));
    assert_eq!(record.orphaned_since(), Some(march()));
    assert_eq!(record.claimed().orphaned_since(), None);
}

#[test]
fn a_key_that_is_missing_is_told_apart_from_tampering() {
    let stranger = Sealer::new(shared(&[SECOND]));
    let error = authorized().open_grant(&stranger).unwrap_err();
    assert!(matches!(error, ReadError::Open(OpenError::UnknownKey { .. })), "{error}");
}

#[test]
fn sealed_text_that_is_no_grant_is_said_to_be_none_without_quoting_it() {
    let mut record = authorized();
    let bytes = sealer().seal(&place(), SealPurpose::Grant, 2, b"\"a-secret-word\"").unwrap();
    let sealed = SealedField { revision: 2, bytes: bytes.into() };
    record.grant = Some(SlotContent { sealed, intent: None });
    let error = record.open_grant(&sealer()).unwrap_err();
    assert_eq!(error, ReadError::NotAGrant);
    assert!(!format!("{error} {error:?}").contains("secret-word"));
}

#[test]
fn every_kind_of_credential_survives_sealing() {
    let credentials = [
        Credential::OAuth { refresh_token: None, access_token: None, token_type: "Bearer".into() },
        Credential::ApiKey { api_key: "key \"with\" quotes\n".into() },
        Credential::Basic { username: "alice".into(), password: "pässword".into() },
        Credential::IssuedKeys { keys: IssuedKeys::default() },
    ];
    for credential in credentials {
        let source = SourceVersion { uid: "s".into(), resource_version: "7".into(), digest: "d".into() };
        let written = Grant { credential, source: Some(source), ..grant("r1") }.to_plaintext().unwrap();
        let read = Grant::from_plaintext(&written).unwrap();
        assert_eq!(read.to_plaintext().unwrap(), written);
    }
}

#[test]
fn debug_of_a_grant_and_its_record_shows_no_secret() {
    let record = authorized().with_candidate(&sealer(), &grant("r1")).unwrap();
    let shown = format!("{:?} {record:?} {:?}", grant("r1"), record.open(&sealer(), Slot::Candidate));
    for secret in ["\"r1\"", "access-r1", "extra-secret"] {
        assert!(!shown.contains(secret), "{shown}");
    }
}

#[test]
fn a_sibling_is_the_same_account_client_and_authority() {
    let key = SiblingKey::of(&binding()).unwrap();
    // SHA-256 computed independently of this code.
    assert_eq!(String::from(key.clone()), "2566f31fb468715cda4f53041ba91314439355b957b32a1474921e157fbc926b");

    let renamed = Account { name: Some("new name".into()), ..binding().account.unwrap() };
    assert_eq!(SiblingKey::of(&Binding { account: Some(renamed), ..binding() }), Some(key.clone()));
    assert_eq!(SiblingKey::of(&Binding { owner: "bob".into(), ..binding() }), Some(key.clone()));

    let other_account = Account { id: "1".into(), ..binding().account.unwrap() };
    for other in [
        Binding { authority: "https://example.com".into(), ..binding() },
        Binding { client_id: Some("client-2".into()), ..binding() },
        Binding { client_id: None, ..binding() },
        Binding { account: Some(other_account), ..binding() },
    ] {
        assert_ne!(SiblingKey::of(&other), Some(key.clone()), "{other:?}");
    }
    assert_eq!(SiblingKey::of(&Binding { account: None, ..binding() }), None);
}

#[test]
fn a_grant_fits_the_owner_authority_and_client_it_was_given_for() {
    let bound = addresses();
    let terms = || Terms {
        owner: Some("alice@example.com"),
        authority: "https://github.com",
        addresses: &bound,
        client_id: Some("client-1"),
    };
    let rows = [
        ("as it was", terms(), Ok(())),
        ("another owner", Terms { owner: Some("bob"), ..terms() }, Err(Mismatch::Owner)),
        ("another authority", Terms { authority: "https://x", ..terms() }, Err(Mismatch::Authority)),
        ("another client", Terms { client_id: Some("client-2"), ..terms() }, Err(Mismatch::Client)),
        ("whoever it serves", Terms { owner: None, ..terms() }, Ok(())),
        ("whichever client", Terms { client_id: None, ..terms() }, Ok(())),
    ];
    for (name, terms, expected) in rows {
        assert_eq!(binding().fits(&terms), expected, "{name}");
    }
    assert_eq!(Binding { client_id: None, ..binding() }.fits(&terms()), Ok(()), "it had no client");
}

#[test]
fn a_grant_fits_no_address_that_it_was_not_given_for() {
    let sent = |place: &str, address: Option<&str>| {
        let mut addresses = addresses();
        match address {
            Some(address) => drop(addresses.insert(place.to_owned(), address.to_owned())),
            None => drop(addresses.remove(place)),
        }
        let terms =
            Terms { owner: None, authority: "https://github.com", addresses: &addresses, client_id: None };
        binding().fits(&terms).map_err(|mismatch| mismatch.to_string())
    };
    let rows = [
        (
            "/endpoints/token",
            "https://u:secret@x.example/t?key=secret",
            "endpoints.token (was https://github.com, now https://x.example)",
        ),
        (
            "/endpoints/token",
            "https://github.com/other",
            "endpoints.token (another path at https://github.com)",
        ),
        (
            "/endpoints/userinfo",
            "https://x.example",
            "endpoints.userinfo (there was none, now https://x.example)",
        ),
    ];
    for (place, address, said) in rows {
        assert_eq!(sent(place, Some(address)), Err(said.to_owned()));
    }
    assert_eq!(sent("/revoke/url", None), Ok(()), "what is gone receives nothing");
    assert_eq!(
        sent("/endpoints/deviceAuthorization", Some("https://github.com/device")),
        Ok(()),
        "it came later"
    );
}

#[test]
fn a_record_reads_back_from_its_secret_as_it_was() {
    let marked = about_to_refresh();
    let spent = opened(&marked, Slot::InUse);
    let full = marked
        .answered(&sealer(), &spent, Some(intent(1)), &grant("r2"), Some(&grant("r1")))
        .and_then(|record| record.with_candidate(&sealer(), &grant("r3")))
        .and_then(|record| record.with_intent(Slot::InUse, None, intent(2), "pod-a", march()))
        .and_then(|record| record.with_intent(Slot::Candidate, None, intent(3), "pod-a", march()))
        .unwrap()
        .orphaned(march());
    for record in [Record::new(place()), authorized(), about_to_refresh(), full] {
        assert_eq!(round_trip(&record), record);
    }
}

#[test]
fn a_record_secret_is_named_typed_and_labelled_for_selecting() {
    let secret = authorized().to_secret().unwrap();
    assert_eq!(secret.metadata.name.as_deref(), Some("record-u1"));
    assert_eq!(secret.type_.as_deref(), Some("bowline.dev/record"));
    let labels: Vec<_> =
        secret.metadata.labels.unwrap().into_iter().map(|(k, v)| format!("{k}={v}")).collect();
    assert_eq!(
        labels,
        [
            "app.kubernetes.io/managed-by=bowline",
            "bowline.dev/connection-name=github-work",
            "bowline.dev/connection-namespace=team-a",
            "bowline.dev/connection-uid=u1",
            "bowline.dev/provider=github",
        ]
    );
}

#[test]
fn nothing_in_the_secret_is_readable_without_the_keyring() {
    let secret = about_to_refresh().with_candidate(&sealer(), &grant("r1")).unwrap().to_secret().unwrap();
    let shown = serde_json::to_string(&secret).unwrap();
    let raw: Vec<u8> = secret.data.unwrap().into_values().flat_map(|value| value.0).collect();
    for hidden in ["access-r1", "extra-secret", "583231", "alice@example.com"] {
        assert!(!shown.contains(hidden), "{hidden}");
        assert!(!raw.windows(hidden.len()).any(|window| window == hidden.as_bytes()), "{hidden}");
    }
}

#[test]
fn a_secret_that_is_no_record_is_refused_by_name() {
    use RecordError as E;
    type Data = std::collections::BTreeMap<String, ByteString>;
    fn rewrite(data: &mut Data, from: &str, to: &str) {
        let clear = data.get_mut("record.json").unwrap();
        let text = String::from_utf8(clear.0.clone()).unwrap();
        assert!(text.contains(from), "{text}");
        *clear = ByteString(text.replace(from, to).into_bytes());
    }
    type Change = fn(&mut Data);
    let mismatch = |field| E::FieldMismatch { field };
    let table: &[(Change, E)] = &[
        (Data::clear, E::NoClearPart),
        (|d| drop(d.insert("record.json".into(), ByteString(vec![0xff]))), E::ClearPartUnreadable),
        (|d| rewrite(d, "\"revision\":2", "\"revision\":\"2\""), E::ClearPartUnreadable),
        (|d| rewrite(d, "\"format\":1", "\"format\":2"), E::UnknownFormat { format: 2 }),
        (|d| rewrite(d, "\"uid\":\"u1\"", "\"uid\":\"u2\""), E::WrongName),
        (|d| rewrite(d, "\"revision\":2", "\"revision\":-1"), E::NegativeRevision),
        (|d| rewrite(d, "\"grant\":2", "\"grant\":3"), mismatch("grant")),
        (|d| rewrite(d, "\"grant\":2", "\"grant\":0"), mismatch("grant")),
        (|d| rewrite(d, "\"grant\":2", ""), mismatch("grant")),
        (|d| drop(d.remove("grant")), mismatch("grant")),
        (|d| drop(d.insert("candidate".into(), ByteString(vec![]))), mismatch("candidate")),
    ];
    for (change, expected) in table {
        let mut secret = authorized().to_secret().unwrap();
        change(secret.data.as_mut().unwrap());
        assert_eq!(&Record::from_secret(secret).unwrap_err(), expected);
    }
    let mut secret = authorized().to_secret().unwrap();
    secret.type_ = Some("Opaque".into());
    assert_eq!(Record::from_secret(secret).unwrap_err(), E::WrongType);
}

#[test]
fn a_commit_of_a_rolled_back_record_does_not_open_in_its_place() {
    let older = authorized();
    let newer = answered(about_to_refresh(), Slot::InUse, 1, "r2");
    let mut mixed = newer.to_secret().unwrap();
    let old_bytes = older.to_secret().unwrap().data.unwrap().remove("grant").unwrap();
    mixed.data.as_mut().unwrap().insert("grant".into(), old_bytes);
    let mixed = Record::from_secret(mixed).unwrap();
    assert_eq!(mixed.open_grant(&sealer()).unwrap_err(), ReadError::Open(OpenError::Tampered));
}

#[test]
fn an_account_that_nobody_agreed_to_pins_nothing() {
    let typed = |confirmed| Grant {
        consent: Consent { grant_type: GrantType::DeviceCode, confirmed, ..Consent::default() },
        ..grant("r1")
    };
    assert_eq!(typed(false).pinned_account(), None);
    assert_eq!(typed(true).pinned_account(), grant("r1").bound_to.account.as_ref());
    assert!(grant("r1").pinned_account().is_some(), "what came another way needs no agreement");
}

proptest! {
    #[test]
    fn reading_any_clear_part_never_panics(clear in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mut secret = authorized().to_secret().unwrap();
        secret.data.as_mut().unwrap().insert("record.json".into(), ByteString(clear));
        prop_assert!(Record::from_secret(secret).is_err());
    }

    #[test]
    fn reading_any_plaintext_as_a_grant_never_panics(plaintext in proptest::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(Grant::from_plaintext(&plaintext).is_none());
    }
}

#[test]
fn class_15_a_candidate_that_is_put_back_is_known_to_be_older() {
    let waiting = Record::new(place()).with_candidate(&sealer(), &grant("r1")).unwrap();
    let stored = Record::from_secret(waiting.to_secret().unwrap()).unwrap();
    assert!(!stored.is_candidate_behind(None), "nothing was ever published");
    let promoted = stored.clone().promoted(&sealer(), &opened(&stored, Slot::Candidate), None).unwrap();
    let published = promoted.grant_version();
    assert!(stored.is_candidate_behind(published), "it was promoted since");
    let next =
        Record::new(place()).with_candidate(&sealer(), &grant("r2")).unwrap().with_candidate_after(published);
    assert!(!next.is_candidate_behind(published), "it came after that");
    let beside = promoted.with_candidate(&sealer(), &grant("r3")).unwrap();
    assert!(!beside.is_candidate_behind(published));
}

/// For another key, and for the object that replaces its own.
#[test]
fn what_is_sealed_again_opens_there_and_nowhere_else() {
    let record = about_to_prove();
    let elsewhere = Place { cluster: "another".to_owned(), uid: "u9".to_owned(), ..place() };
    let again = record.clone().sealed_again(&sealer(), elsewhere.clone()).unwrap();
    assert_eq!((again.place(), again.revision()), (&elsewhere, record.revision() + 1));
    assert_eq!(again.grant_version(), record.grant_version(), "it is the same grant");
    for slot in [Slot::InUse, Slot::Candidate] {
        assert_eq!(token_in(&again, slot), token_in(&record, slot));
        assert_eq!(again.intent(slot), record.intent(slot), "what is known of the token stays true");
        assert_ne!(again.sealed(slot), record.sealed(slot));
    }
    let moved = Record { place: place(), ..again };
    assert!(moved.open(&sealer(), Slot::InUse).is_err(), "not where it came from");
}
