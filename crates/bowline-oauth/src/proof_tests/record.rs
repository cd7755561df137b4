//! What ran, as the catalogue tells it: `catalog/proofs.yaml`.

use std::collections::{BTreeMap, BTreeSet};

use bowline_testbed::emulator::Operation;

use super::bench::{Bench, Cell};
use crate::catalog::errors::Class;
use crate::catalog::proof::{EntryProof, EntryProofs, ProvedPart, ProvedRun, ServerProof};

/// The refusals of a run, among its columns.
const REFUSALS: &str = "refusals";

const HEADER: &str = "# What the tests proved of each entry: `make docs` writes it, and a test holds it to what really ran. Do not edit.\n";

/// One cell of the table.
pub(super) fn part(column: &str, cell: &Cell) -> ProvedPart {
    let part = ProvedPart { what: column.to_owned(), ..ProvedPart::default() };
    match cell {
        Cell::Impossible(why) => ProvedPart { impossible: Some(why.clone()), ..part },
        Cell::Proved(count) => counted(part, count),
        Cell::Failed(count, flaws) => ProvedPart { flaws: flaws.clone(), ..counted(part, count) },
    }
}

/// `yes` is one of one, `no` none of one.
fn counted(part: ProvedPart, count: &str) -> ProvedPart {
    let (held, of) = count.split_once('/').unwrap_or((if count == "yes" { "1" } else { "0" }, "1"));
    ProvedPart { held: held.parse().unwrap(), of: of.parse().unwrap(), ..part }
}

impl Bench {
    /// A row of the table.
    pub(super) fn recorded(&self, parts: Vec<ProvedPart>) -> ProvedRun {
        let understood = parts.iter().any(|part| part.what == REFUSALS && part.flaws.is_empty());
        let data = self.family.data();
        let lacks = data.lacks.iter().chain(&self.run.lacks);
        let lacks = lacks.filter(|(what, _)| what.contains(" class ") && self.has_class(what));
        let settings = self.run.parameters.iter().map(|(name, value)| format!(", {name}: {value}"));
        ProvedRun {
            with: format!("{}{}", self.run.app, settings.collect::<String>()),
            parts,
            classes: if understood { self.classes() } else { BTreeSet::new() },
            lacks: lacks.map(|(what, why)| (what.clone(), why.clone())).collect(),
        }
    }

    /// The classes of all refusals that this entry can see.
    fn classes(&self) -> BTreeSet<String> {
        let refusals = self.family.data().refusals.values();
        let seen = refusals.filter(|refusal| refusal.on.iter().any(|on: &Operation| self.asks(*on)));
        // That nothing was left to revoke is no failure.
        seen.map(|refusal| refusal.class.clone()).filter(|class| class != "gone").collect()
    }

    /// Whether the entry's tables have the class in `token class Policy`.
    fn has_class(&self, lack: &str) -> bool {
        let errors = &self.description.errors;
        let all = self.token_classes().into_iter().chain(errors.api.iter().map(|rule| rule.class));
        let named = |class: Class| serde_json::to_value(class).unwrap();
        all.map(named).any(|class| lack.ends_with(&format!(" class {}", class.as_str().unwrap())))
    }
}

/// The entries that a server proves.
pub(super) fn with_servers(servers: &[(&str, &str, &str)], mut proofs: EntryProofs) -> EntryProofs {
    for (entry, name, tests) in servers {
        let server = Some(ServerProof { name: (*name).to_owned(), tests: (*tests).to_owned() });
        proofs.insert((*entry).to_owned(), EntryProof { server, ..EntryProof::default() });
    }
    proofs
}

/// `UPDATE_GOLDEN=1` writes the file.
pub(super) fn compare(proofs: &EntryProofs) {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/catalog/proofs.yaml");
    let text = format!("{HEADER}{}", serde_yaml::to_string(proofs).unwrap());
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(path, &text).unwrap();
    }
    let written = std::fs::read_to_string(path).unwrap();
    assert!(written == text, "crates/bowline-oauth/src/catalog/proofs.yaml is not what ran: run make docs");
}

/// For how many entries each thing was proved. `tests/run.sh` repeats these lines at its end.
pub(super) fn tally(proofs: &EntryProofs) -> String {
    let emulated: Vec<&EntryProof> = proofs.values().filter(|proof| !proof.runs.is_empty()).collect();
    let mut columns: Vec<(String, [usize; 3])> = Vec::new();
    for line in emulated.iter().flat_map(|proof| proof.lines()) {
        let at = columns.iter().position(|(what, _)| *what == line.what).unwrap_or(columns.len());
        if at == columns.len() {
            columns.push((line.what.clone(), [0; 3]));
        }
        let [proved, impossible, in_part] = &mut columns[at].1;
        *if line.is_proved {
            proved
        } else if line.is_impossible {
            impossible
        } else {
            in_part
        } += 1;
    }
    let mut lines = vec![format!("proved: {} entries against an emulator of their provider", emulated.len())];
    for (what, [proved, impossible, in_part]) in columns {
        let more =
            |count: usize, words: &str| if count == 0 { String::new() } else { format!(", {count} {words}") };
        let (none, partly) = (more(impossible, "have none"), more(in_part, "NOT IN FULL"));
        lines.push(format!("proved:   {what:<16} {proved:3} entries{none}{partly}"));
        if what == REFUSALS {
            let mut classes: BTreeMap<&str, usize> = BTreeMap::new();
            for class in emulated.iter().flat_map(|proof| proof.classes()) {
                *classes.entry(class).or_default() += 1;
            }
            lines.extend(
                classes
                    .into_iter()
                    .map(|(class, count)| format!("proved:     {class:<14} {count:3} entries")),
            );
        }
    }
    let servers = proofs.iter().filter(|(_, proof)| proof.server.is_some());
    let servers: Vec<_> = servers.map(|(name, _)| name.as_str()).collect();
    lines.push(format!(
        "proved: {} entries with a server of the tests: {}",
        servers.len(),
        servers.join(", ")
    ));
    lines.join("\n")
}
