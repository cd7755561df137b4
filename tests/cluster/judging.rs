//! Tries an action in every way the API server supports, and compares the answers with a verdict.

use serde_json::{Value, json};

use crate::asking::{Answer, Ask, OPERATOR, applicable, every_way};
use crate::fixture::{Team, random_name};

/// The API server's answer to a row.
#[derive(Clone, Copy, Debug)]
pub enum Verdict {
    Accepted,
    /// Refused, with this text.
    Refused(&'static str),
    /// Refused as what nobody may write, with this text.
    Invalid(&'static str),
}

/// A refusal by a right or a policy.
impl From<&'static str> for Verdict {
    fn from(words: &'static str) -> Self {
        Refused(words)
    }
}

impl Verdict {
    /// What is said with a refusal.
    pub fn words(self) -> &'static str {
        match self {
            Accepted => "",
            Refused(words) | Invalid(words) => words,
        }
    }
}

use Verdict::{Accepted, Invalid, Refused};

pub fn judge(sentence: &str, answer: &Answer, verdict: Verdict) {
    match verdict {
        Accepted => assert!(answer.is_accepted(), "{sentence}: should be accepted, but: {}", answer.words()),
        Refused(words) | Invalid(words) => {
            let status = if matches!(verdict, Invalid(_)) { 422 } else { 403 };
            assert_eq!(answer.status, status, "{sentence}: should be refused: {}", answer.body);
            assert!(
                answer.words().contains(words),
                "{sentence}: should say '{words}', but: {}",
                answer.words()
            );
        }
    }
}

/// Tries to create `object` in every way.
pub async fn judge_creation(team: &Team, who: &str, collection: &str, object: &Value, verdict: Verdict) {
    let fresh = |object: &Value| {
        let mut object = object.clone();
        object["metadata"]["name"] = json!(random_name("x"));
        object
    };
    let mut nameless = object.clone();
    nameless["metadata"].as_object_mut().unwrap().remove("name");
    nameless["metadata"]["generateName"] = json!("x-");
    let applied = fresh(object);
    let applied_path = format!("{collection}/{}", applied["metadata"]["name"].as_str().unwrap());
    let ways = [
        ("POST", Ask::post(collection, &fresh(object))),
        ("POST with generateName", Ask::post(collection, &nameless)),
        ("dry run", Ask::post(collection, &fresh(object)).dry()),
        ("forced apply", Ask::apply(&applied_path, &applied)),
    ];
    for (way, ask) in ways {
        judge(&format!("{who} creates {object} by {way}"), &team.person(who).ask(&ask).await, verdict);
    }
}

/// Tries to change the object at `path` in every way.
pub async fn judge_change(team: &Team, who: &str, path: &str, change: &Value, verdict: Verdict) {
    let get = Ask::get(path.split_once("/status").map_or(path, |(object, _)| object));
    let reader = team.person(OPERATOR);
    let before = reader.must(&get).await;
    let count = every_way(path, &before, change).len();
    for index in 0..count {
        let (way, answer) = loop {
            let (way, ask) = every_way(path, &reader.must(&get).await, change).swap_remove(index);
            // An accepted change is applied for real only at the end, so that each way starts from the same object.
            let ask = if matches!(verdict, Accepted) { ask.dry() } else { ask };
            let answer = team.person(who).ask(&ask).await;
            // A replace that conflicts with another writer has not been judged yet.
            if answer.status != 409 {
                break (way, answer);
            }
        };
        judge(&format!("{who} changes {path} to {change} by {way}"), &answer, verdict);
    }
    if matches!(verdict, Accepted) {
        let answer = team.person(who).ask(&Ask::merge(path, change)).await;
        judge(&format!("{who} changes {path} to {change}"), &answer, verdict);
    } else {
        assert_same(&before, &reader.must(&get).await);
    }
}

pub fn assert_same(before: &Value, after: &Value) {
    assert_eq!(applicable(before), applicable(after), "a refused request changed something");
    assert_eq!(before["status"], after["status"], "a refused request changed the status");
}

/// The address of a stored object.
pub fn path_of(collection: &str, object: &Value) -> String {
    format!("{collection}/{}", object["metadata"]["name"].as_str().unwrap())
}

/// Tests each row on a separate connection of alice's: (who, change, verdict).
pub async fn judge_changes(given: &Value, rows: &[(&str, Value, Verdict)]) {
    let team = Team::new().await;
    for (who, change, verdict) in rows {
        let stored = team.connection_of_alice(given).await;
        judge_change(&team, who, &path_of(&team.connections(), &stored), change, *verdict).await;
    }
}
