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
    let candidate = record.open_candidate(&sealer()).unwrap().unwrap();
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

    let mut judged = record.open_candidate(&sealer()).unwrap().unwrap();
    judged.grant.bound_to = binding();
    let record = record.promoted(&sealer(), &judged).unwrap();

    assert_eq!(record.open_grant(&sealer()).unwrap().unwrap().bound_to, binding());
    assert!(record.candidate().is_none());
    assert_eq!(record.sibling_key(), SiblingKey::of(&binding()).as_ref());
    assert_eq!(record.revision(), 2);
}

#[test]
fn promoting_ends_the_attempt_on_the_old_grant_and_its_late_answer_is_refused() {
    let record = about_to_refresh().with_candidate(&sealer(), &grant("new")).unwrap();
    let judged = record.open_candidate(&sealer()).unwrap().unwrap();
    let record = record.promoted(&sealer(), &judged).unwrap();
    assert!(record.intent().is_none());

    let commit = |spent| record.clone().committed(&sealer(), &grant("late"), spent, None).unwrap_err();
    assert_eq!(commit(Spent::Marked(attempt(1))), TransitionError::IntentLost);
    assert_eq!(commit(Spent::Overtaken { revision: 2 }), TransitionError::GrantMoved);
}

#[test]
fn a_candidate_judged_before_another_came_is_not_promoted() {
    let first = Record::new(place()).with_candidate(&sealer(), &grant("r1")).unwrap();
    let judged = first.open_candidate(&sealer()).unwrap().unwrap();
    let second = first.candidate_refused().unwrap().with_candidate(&sealer(), &grant("r2")).unwrap();
    assert_eq!(second.promoted(&sealer(), &judged).unwrap_err(), TransitionError::CandidateMoved);
}

#[test]
fn a_refused_candidate_leaves_the_grant_and_its_attempt() {
    let record = about_to_refresh().with_candidate(&sealer(), &grant("r2")).unwrap();
    let record = record.candidate_refused().unwrap();
    assert_eq!(held_token(&record).as_deref(), Some("r1"));
    assert!(record.intent().is_some() && record.candidate().is_none());
}

/// A record in use whose candidate `r2` is about to be proved.
fn about_to_prove() -> Record {
    let record = about_to_refresh().with_candidate(&sealer(), &grant("r2")).unwrap();
    record.with_candidate_intent(attempt(7), "pod-a", march()).unwrap()
}

fn candidate_of(record: &Record) -> Candidate {
    record.open_candidate(&sealer()).unwrap().unwrap()
}

#[test]
fn a_candidate_is_marked_beside_the_grant_and_the_mark_survives_the_store() {
    let record = round_trip(&about_to_prove().candidate_unknown(attempt(7)).unwrap());
    let mark = record.candidate_intent().unwrap();
    assert_eq!((mark.attempt, mark.outcome, mark.revision), (attempt(7), Outcome::Unknown, 3));
    assert_eq!(record.intent().unwrap().attempt, attempt(1), "the grant's own mark is untouched");
    assert!(record.without_candidate_intent(attempt(7)).unwrap().candidate_intent().is_none());
}

#[test]
fn an_answer_takes_the_place_of_the_candidate_it_answers_whoever_marked_it_since() {
    let record = about_to_prove();
    let spent = candidate_of(&record);
    let taken = record.taking_over_candidate(attempt(7), attempt(8), "pod-b", march()).unwrap();
    assert_eq!(taken.candidate_intent().unwrap().outcome, Outcome::Unknown);
    let answered = taken.candidate_answered(&sealer(), &spent, &grant("r3")).unwrap();
    assert_eq!(refresh_token(Some(candidate_of(&answered).grant)).as_deref(), Some("r3"));
    assert!(answered.candidate_intent().is_none());
    assert_eq!((held_token(&answered).as_deref(), answered.revision()), (Some("r1"), 4));
}

#[test]
fn a_disconnect_between_request_and_answer_leaves_the_answer_to_be_revoked() {
    let record = about_to_prove();
    let spent = candidate_of(&record);
    let ending = record.with_ending(EndReason::Disconnected, march(), EndTerms::default());
    let answered = ending.candidate_answered(&sealer(), &spent, &grant("r3")).unwrap();
    assert_eq!(refresh_token(Some(candidate_of(&answered).grant)).as_deref(), Some("r3"));
    assert_eq!(answered.candidate_refused().unwrap_err(), TransitionError::Ending, "nor is it dropped later");
}

#[test]
fn a_commit_counts_the_revision_and_clears_the_intent() {
    let record = about_to_refresh();
    let record = record.committed(&sealer(), &grant("r2"), Spent::Marked(attempt(1)), None).unwrap();
    assert_eq!(held_token(&record).as_deref(), Some("r2"));
    assert_eq!((record.revision(), record.grant().unwrap().revision()), (3, 3));
    assert!(record.intent().is_none() && record.previous().is_none());
}

#[test]
fn a_grant_keeps_its_id_through_refreshes_and_counts_them() {
    let accepted = authorized().grant_version().unwrap();
    assert_eq!(accepted.revision, 1);
    let record = about_to_refresh();
    let id = record.grant_version().unwrap().id;
    let record = record.committed(&sealer(), &grant("r2"), Spent::Marked(attempt(1)), None).unwrap();
    assert_eq!(record.grant_version(), Some(GrantVersion { id, revision: 2 }));
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
    let judged = candidate_of(&record);
    let renewed = record.promoted(&sealer(), &judged).unwrap().grant_version().unwrap();
    assert_eq!(renewed.revision, 1);
    assert_ne!(renewed.id, id);
}

#[test]
fn a_record_of_version_0_1_has_a_grant_without_a_name_and_no_bookkeeping() {
    let mut secret = about_to_refresh().to_secret().unwrap();
    let clear = &mut secret.data.as_mut().unwrap().get_mut("record.json").unwrap().0;
    let mut json: serde_json::Value = serde_json::from_slice(clear).unwrap();
    json.as_object_mut().unwrap().remove("grantVersion").unwrap();
    *clear = serde_json::to_vec(&json).unwrap();
    let record = Record::from_secret(secret).unwrap();
    let version = record.grant_version().unwrap();
    assert_eq!((version.id.to_string(), version.revision), ("0".repeat(32), 2));
    assert_eq!(record.bookkeeping(), &Bookkeeping::default());
}

#[test]
fn an_answer_ends_the_pause_and_leaves_what_was_written_or_refused() {
    let version =
        |name: &str| SecretVersion { name: name.into(), uid: "s".into(), resource_version: "7".into() };
    let (published, refused) = (Some(version("token")), Some(version("credentials")));
    let pause = Some(Pause { not_before: minutes(5), app_version: Some("a/1".into()) });
    let paused = about_to_refresh().with_bookkeeping(Bookkeeping {
        pause: pause.clone(),
        published: published.clone(),
        refused: refused.clone(),
    });
    assert_eq!(round_trip(&paused), paused);
    let answered = paused.committed(&sealer(), &grant("r2"), Spent::Marked(attempt(1)), None).unwrap();
    assert_eq!(answered.bookkeeping(), &Bookkeeping { pause: None, published, refused });
}

#[test]
fn a_predecessor_is_kept_until_it_is_forgotten() {
    let spent = Spent::Marked(attempt(1));
    let record = about_to_refresh();
    let record = record.committed(&sealer(), &grant("r2"), spent, Some(&grant("r1"))).unwrap();
    assert_eq!(refresh_token(record.open_previous(&sealer()).unwrap()).as_deref(), Some("r1"));
    assert!(record.without_previous().previous().is_none());
}

#[test]
fn an_answer_merges_onto_a_record_that_began_to_end_meanwhile() {
    let record = about_to_refresh().with_ending(EndReason::Disconnected, march(), EndTerms::default());
    let record = record.committed(&sealer(), &grant("r2"), Spent::Marked(attempt(1)), None).unwrap();
    assert_eq!(held_token(&record).as_deref(), Some("r2"));
    assert!(record.ending().is_some());
}

#[test]
fn an_answer_whose_intent_was_taken_over_is_kept_while_its_grant_is_still_on_record() {
    let record = about_to_refresh().taking_over(attempt(1), attempt(2), "pod-b", march()).unwrap();
    let marked = record.clone().committed(&sealer(), &grant("r2"), Spent::Marked(attempt(1)), None);
    assert_eq!(marked.unwrap_err(), TransitionError::IntentLost);

    let record = record.committed(&sealer(), &grant("r2"), Spent::Overtaken { revision: 2 }, None).unwrap();
    assert_eq!(held_token(&record).as_deref(), Some("r2"));
}

#[test]
fn an_intent_names_the_grant_it_spends_not_the_record_revision() {
    let record = authorized().with_candidate(&sealer(), &grant("r2")).unwrap();
    let record = record.with_intent(attempt(1), "pod-a", march()).unwrap();
    let intent = record.intent().unwrap();
    assert_eq!((intent.revision, record.revision()), (2, 3));
    assert_eq!(intent.outcome, Outcome::Open);
}

#[test]
fn a_taken_over_attempt_has_an_unknown_outcome_from_the_start() {
    let record = about_to_refresh().taking_over(attempt(1), attempt(2), "pod-b", march()).unwrap();
    let intent = record.intent().unwrap();
    assert_eq!((intent.attempt, intent.outcome), (attempt(2), Outcome::Unknown));
}

#[test]
fn an_unknown_outcome_keeps_its_attempt_until_it_is_cleared() {
    let record = about_to_refresh().intent_unknown(attempt(1)).unwrap();
    assert_eq!(record.intent().unwrap().outcome, Outcome::Unknown);
    assert_eq!(record.intent().unwrap().attempt, attempt(1));
    assert!(record.without_intent(attempt(1)).unwrap().intent().is_none());
}

#[test]
fn changes_in_an_illegal_order_are_refused() {
    use TransitionError as E;
    let (sealer, mine, other) = (sealer(), attempt(1), attempt(2));
    let ending = || authorized().with_ending(EndReason::Disconnected, march(), EndTerms::default());
    let with_candidate = || authorized().with_candidate(&sealer, &grant("r2")).unwrap();
    let judged = with_candidate().open_candidate(&sealer).unwrap().unwrap();
    let table: Vec<(&str, Result<Record, E>, E)> = vec![
        ("spending nothing", Record::new(place()).with_intent(mine, "p", march()), E::NoGrant),
        (
            "a second attempt",
            about_to_refresh().with_intent(other, "p", march()),
            E::IntentStands { attempt: mine },
        ),
        ("an attempt while ending", ending().with_intent(mine, "p", march()), E::Ending),
        ("taking over another", about_to_refresh().taking_over(other, mine, "p", march()), E::IntentLost),
        ("clearing another's mark", about_to_refresh().without_intent(other), E::IntentLost),
        ("clearing no mark", authorized().without_intent(mine), E::IntentLost),
        ("doubting another's attempt", about_to_refresh().intent_unknown(other), E::IntentLost),
        (
            "committing past a mark",
            about_to_refresh().committed(&sealer, &grant("r2"), Spent::Unmarked, None),
            E::IntentStands { attempt: mine },
        ),
        (
            "committing without the mark",
            authorized().committed(&sealer, &grant("r2"), Spent::Marked(mine), None),
            E::IntentLost,
        ),
        ("a second candidate", with_candidate().with_candidate(&sealer, &grant("r3")), E::CandidateStands),
        ("a candidate while ending", ending().with_candidate(&sealer, &grant("r2")), E::Ending),
        ("promoting nothing", authorized().promoted(&sealer, &judged), E::NoCandidate),
        (
            "promoting while ending",
            with_candidate()
                .with_ending(EndReason::Deleted, march(), EndTerms::default())
                .promoted(&sealer, &judged),
            E::Ending,
        ),
        ("proving nothing", authorized().with_candidate_intent(mine, "p", march()), E::NoCandidate),
        (
            "proving twice at once",
            about_to_prove().with_candidate_intent(mine, "p", march()),
            E::IntentStands { attempt: attempt(7) },
        ),
        (
            "proving while ending",
            with_candidate()
                .with_ending(EndReason::Deleted, march(), EndTerms::default())
                .with_candidate_intent(mine, "p", march()),
            E::Ending,
        ),
        (
            "taking over another proof",
            about_to_prove().taking_over_candidate(mine, other, "p", march()),
            E::IntentLost,
        ),
        ("doubting another's proof", about_to_prove().candidate_unknown(mine), E::IntentLost),
        ("clearing another's proof", about_to_prove().without_candidate_intent(mine), E::IntentLost),
        (
            "answering nothing",
            authorized().candidate_answered(&sealer, &judged, &grant("r3")),
            E::NoCandidate,
        ),
        ("refusing nothing", authorized().candidate_refused(), E::NoCandidate),
        ("postponing no ending", authorized().ending_postponed(march(), ""), E::NotEnding),
        ("restarting without an ending", authorized().restarted(), E::NotEnding),
        (
            "restarting what was deleted",
            authorized().with_ending(EndReason::Deleted, march(), EndTerms::default()).restarted(),
            E::Ending,
        ),
    ];
    for (what, result, expected) in table {
        assert_eq!(result.unwrap_err(), expected, "{what}");
    }
}

#[test]
fn an_ending_counts_its_attempts_and_keeps_a_bounded_error() {
    let record = authorized().with_ending(EndReason::Disconnected, march(), EndTerms::default());
    let record = record.ending_postponed(minutes(1), &"é".repeat(1000)).unwrap();
    let record = record.ending_postponed(minutes(3), "the provider did not answer").unwrap();
    let ending = record.ending().unwrap();
    assert_eq!((ending.attempts, ending.since, ending.next_attempt_at), (2, march(), minutes(3)));

    let record = record.ending_postponed(minutes(3), &"é".repeat(1000)).unwrap();
    assert_eq!(record.ending().unwrap().last_error.as_ref().unwrap().chars().count(), 256);
}

#[test]
fn deleting_a_connection_that_is_being_disconnected_keeps_the_time_already_spent() {
    let record = authorized().with_ending(EndReason::Disconnected, march(), EndTerms::default());
    let record = record.ending_postponed(minutes(5), "no answer").unwrap();
    let record = record.with_ending(EndReason::Deleted, minutes(2), EndTerms::default());
    let ending = record.ending().unwrap();
    assert_eq!((ending.reason, ending.since, ending.attempts), (EndReason::Deleted, march(), 1));
    assert_eq!(record.clone().with_ending(EndReason::Disconnected, minutes(3), EndTerms::default()), record);
}

#[test]
fn a_restart_erases_everything_and_goes_on_counting() {
    let record = about_to_refresh()
        .with_ending(EndReason::Disconnected, march(), EndTerms::default())
        .restarted()
        .unwrap();
    assert_eq!(record.revision(), 2);
    assert_eq!(record, Record { revision: 2, ..Record::new(place()) });
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
    let bytes = sealer().seal(&place(), Field::Grant, 2, b"\"a-secret-word\"").unwrap();
    record.grant = Some(SealedField { revision: 2, bytes: bytes.into() });
    let error = record.open_grant(&sealer()).unwrap_err();
    assert_eq!(error, ReadError::NotAGrant(NotAGrant));
    assert!(!format!("{error} {error:?}").contains("secret-word"));
}

#[test]
fn every_kind_of_credential_survives_sealing() {
    let credentials = [
        Credential::OAuth { refresh_token: None, access_token: None, token_type: "Bearer".into() },
        Credential::ApiKey { api_key: "key \"with\" quotes\n".into() },
        Credential::Basic { username: "alice".into(), password: "pässword".into() },
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
    let shown = format!("{:?} {record:?} {:?}", grant("r1"), record.open_candidate(&sealer()));
    for secret in ["\"r1\"", "access-r1", "extra-secret"] {
        assert!(!shown.contains(secret), "{shown}");
    }
}

#[test]
fn a_sibling_is_the_same_account_client_and_authority() {
    let key = SiblingKey::of(&binding()).unwrap();
    // SHA-256 computed apart from this code.
    assert_eq!(key.as_str(), "2566f31fb468715cda4f53041ba91314439355b957b32a1474921e157fbc926b");

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
fn a_record_reads_back_from_its_secret_as_it_was() {
    let full = about_to_refresh()
        .committed(&sealer(), &grant("r2"), Spent::Marked(attempt(1)), Some(&grant("r1")))
        .and_then(|record| record.with_candidate(&sealer(), &grant("r3")))
        .and_then(|record| record.with_intent(attempt(2), "pod-a", march()))
        .and_then(|record| {
            record
                .with_ending(EndReason::Deleted, march(), EndTerms::default())
                .ending_postponed(minutes(1), "no")
        })
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
    let newer = about_to_refresh();
    let newer = newer.committed(&sealer(), &grant("r2"), Spent::Marked(attempt(1)), None).unwrap();
    let mut mixed = newer.to_secret().unwrap();
    let old_bytes = older.to_secret().unwrap().data.unwrap().remove("grant").unwrap();
    mixed.data.as_mut().unwrap().insert("grant".into(), old_bytes);
    let mixed = Record::from_secret(mixed).unwrap();
    assert_eq!(mixed.open_grant(&sealer()).unwrap_err(), ReadError::Open(OpenError::Tampered));
}

#[test]
fn an_account_that_nobody_agreed_to_pins_nothing() {
    let typed = |confirmed| Grant {
        consent: Consent { way: Way::Device, confirmed, ..Consent::default() },
        ..grant("r1")
    };
    assert_eq!(typed(false).pinned_account(), None);
    assert_eq!(typed(true).pinned_account(), grant("r1").bound_to.account.as_ref());
    assert!(grant("r1").pinned_account().is_some(), "what came another way needs no agreement");
}

#[test]
fn two_attempts_never_share_an_id() {
    assert_ne!(AttemptId::generate().unwrap(), AttemptId::generate().unwrap());
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
        prop_assert!(Grant::from_plaintext(&plaintext).is_err());
    }
}
