//! What was proved of each entry. The tests write it: `proofs.yaml` is what really ran, and a test holds it to that.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

/// How an entry was tested, by name.
pub(crate) type EntryProofs = BTreeMap<String, EntryProof>;

/// How one entry was tested.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct EntryProof {
    /// Runs against the emulator of its provider, each with another app or other parameters.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) runs: Vec<ProvedRun>,
    /// What the emulator plays although no document says so.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub(crate) believed: BTreeSet<String>,
    /// For an entry without a provider of its own: the server that it is tested with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) server: Option<ServerProof>,
}

/// A server that an entry is tested with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ServerProof {
    /// Which server.
    pub(crate) name: String,
    /// The file of the tests.
    pub(crate) tests: String,
}

/// One run against the emulator.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ProvedRun {
    /// The emulated app, and the parameters of the provider object.
    pub(crate) with: String,
    /// Each thing that there is to prove, in order.
    pub(crate) parts: Vec<ProvedPart>,
    /// The classes of the refusals that were understood.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub(crate) classes: BTreeSet<String>,
    /// Classes of the entry's table that no refusal of the provider has, and why.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) lacks: BTreeMap<String, String>,
}

/// One thing that there is to prove.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ProvedPart {
    /// What it is, such as `refresh`.
    pub(crate) what: String,
    /// How many claims held, and of how many. Zero of zero if it is impossible.
    pub(crate) held: u32,
    pub(crate) of: u32,
    /// Why the provider has no such thing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) impossible: Option<String>,
    /// What is known to be wrong.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) flaws: Vec<String>,
}

/// One thing over all runs of an entry, in words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct ProofLine {
    pub(crate) what: String,
    /// Whether it was proved in every run that can show it, and in one at least.
    pub(crate) is_proved: bool,
    /// Whether no run can show it.
    pub(crate) is_impossible: bool,
    /// How much: empty, or ` 30 of 30`.
    pub(crate) count: String,
    /// What no run shows, and why; what is wrong.
    pub(crate) lacks: Vec<String>,
}

impl EntryProof {
    /// In one or two words, for a list.
    pub(crate) fn summary(&self) -> &'static str {
        if self.runs.iter().flat_map(|run| &run.parts).any(|part| !part.flaws.is_empty()) {
            "emulator, in part"
        } else if !self.runs.is_empty() {
            "emulator"
        } else if self.server.is_some() {
            "test server"
        } else {
            "none"
        }
    }

    /// What was proved, and how much of it, for a cell of a table.
    #[cfg(test)]
    pub(super) fn in_a_cell(&self) -> String {
        if let Some(server) = &self.server {
            return format!("against {}", server.name);
        }
        let lines = self.lines().into_iter().filter(|line| line.is_proved);
        format!(
            "{}: {}",
            self.summary(),
            lines.map(|line| line.what + &line.count).collect::<Vec<_>>().join(", ")
        )
    }

    /// Each thing that there is to prove, in the order of the first run that has it.
    pub(crate) fn lines(&self) -> Vec<ProofLine> {
        let parts = || self.runs.iter().flat_map(|run| run.parts.iter().map(move |part| (run, part)));
        let mut seen = BTreeSet::new();
        let names = parts().filter_map(|(_, part)| seen.insert(&part.what).then_some(&part.what));
        names
            .map(|name| line(name, &parts().filter(|(_, part)| part.what == *name).collect::<Vec<_>>()))
            .collect()
    }

    /// The classes of refusals that were understood in one run at least.
    pub(crate) fn classes(&self) -> BTreeSet<&str> {
        self.runs.iter().flat_map(|run| &run.classes).map(String::as_str).collect()
    }

    /// What the provider never says, and why.
    pub(crate) fn unsaid(&self) -> BTreeMap<&str, &str> {
        let lacks = self.runs.iter().flat_map(|run| &run.lacks);
        lacks.map(|(what, why)| (what.as_str(), why.as_str())).collect()
    }
}

fn line(what: &str, parts: &[(&ProvedRun, &ProvedPart)]) -> ProofLine {
    let possible: Vec<_> = parts.iter().filter(|(_, part)| part.impossible.is_none()).collect();
    let sum = |of: fn(&ProvedPart) -> u32| possible.iter().map(|(_, part)| of(part)).sum::<u32>();
    let (held, of) = (sum(|part| part.held), sum(|part| part.of));
    let is_single = possible.iter().all(|(_, part)| part.of == 1);
    let everywhere = possible.is_empty();
    ProofLine {
        what: what.to_owned(),
        is_proved: !possible.is_empty() && possible.iter().all(|(_, part)| part.flaws.is_empty()),
        is_impossible: possible.is_empty(),
        count: if is_single { String::new() } else { format!(" {held} of {of}") },
        lacks: reasons(parts, everywhere),
    }
}

/// What is missing in parts, and why. Where other runs show it, the words name those that do not.
fn reasons(parts: &[(&ProvedRun, &ProvedPart)], everywhere: bool) -> Vec<String> {
    let mut runs: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (run, part) in parts {
        for why in part.impossible.iter().chain(&part.flaws) {
            runs.entry(why).or_default().push(&run.with);
        }
    }
    let words = |(why, runs): (&str, Vec<&str>)| {
        if everywhere { why.to_owned() } else { format!("{why} ({})", runs.join("; ")) }
    };
    runs.into_iter().map(words).collect()
}

/// How an entry was tested; nothing for the sandbox, which is made for tests.
///
/// # Panics
///
/// Never in a build that passed its tests: the file is compiled in, and a test reads it.
#[allow(clippy::expect_used)]
pub(crate) fn proof_of(entry: &str) -> Option<&'static EntryProof> {
    static PROOFS: LazyLock<EntryProofs> = LazyLock::new(|| {
        serde_yaml::from_str(include_str!("proofs.yaml")).expect("the proofs compiled in are sound")
    });
    PROOFS.get(entry)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(what: &str, held: u32, of: u32) -> ProvedPart {
        ProvedPart { what: what.to_owned(), held, of, ..ProvedPart::default() }
    }

    fn run(with: &str, parts: &[ProvedPart]) -> ProvedRun {
        ProvedRun { with: with.to_owned(), parts: parts.to_vec(), ..ProvedRun::default() }
    }

    fn words(proof: &EntryProof) -> Vec<String> {
        let words = |line: ProofLine| {
            format!("{}{} {} {}", line.what, line.count, line.is_proved, line.lacks.join("; "))
        };
        proof.lines().into_iter().map(words).collect()
    }

    #[test]
    fn runs_of_one_entry_are_counted_together() {
        let impossible =
            |what: &str| ProvedPart { impossible: Some("there is none".to_owned()), ..part(what, 0, 0) };
        let wrong = ProvedPart { flaws: vec!["it lives on".to_owned()], ..part("revocation", 0, 1) };
        let one = run(
            "one",
            &[part("connect", 1, 1), part("refusals", 16, 16), impossible("extras"), part("refresh", 1, 1)],
        );
        let two = run(
            "two",
            &[part("connect", 1, 1), part("refusals", 14, 14), impossible("extras"), impossible("refresh")],
        );
        let mut proof = EntryProof { runs: vec![one, two], ..EntryProof::default() };
        assert_eq!(
            words(&proof),
            [
                "connect true ",
                "refusals 30 of 30 true ",
                "extras false there is none",
                "refresh true there is none (two)"
            ]
        );
        assert_eq!(proof.summary(), "emulator");
        proof.runs.push(run("three", &[wrong]));
        assert_eq!(words(&proof)[4], "revocation false it lives on (three)");
        assert_eq!(proof.summary(), "emulator, in part");
    }

    #[test]
    fn an_entry_without_a_run_is_not_called_proved() {
        let server = Some(ServerProof { name: "a server".to_owned(), tests: "tests".to_owned() });
        assert_eq!(EntryProof { server, ..EntryProof::default() }.summary(), "test server");
        assert_eq!(EntryProof::default().summary(), "none");
        assert_eq!(proof_of("sandbox"), None);
    }
}
