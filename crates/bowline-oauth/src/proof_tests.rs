//! Every entry of the catalogue against the emulator of its provider: the entry unchanged, the provider's own names, TLS.
//!
//! `tests/testbed/emulator` holds what a provider documents, and which entries that proves. The test prints one table. A
//! cell is proved, or declared impossible in the family's file, or one of [`FAULTS`]; everything else fails.

mod bench;
mod columns;

use std::collections::BTreeSet;

use bowline_testbed::emulator::Family;

use self::bench::{Bench, COLUMNS, Cell};
use crate::catalog::entries;

/// Entries that no family proves, and why.
const UNPROVED: &[(&str, &str)] = &[
    ("generic-api-key", "no provider"),
    ("generic-basic-auth", "no provider"),
    ("generic-oauth2", "no provider"),
    ("generic-oauth2-client-credentials", "no provider"),
    ("generic-oauth2-refresh", "no provider"),
    ("mcp", "no provider"),
    ("sandbox", "has a server of its own"),
    ("sandbox-grace", "has a server of its own"),
    ("sandbox-none", "has a server of its own"),
    ("sandbox-optional", "has a server of its own"),
    ("sandbox-sliding", "has a server of its own"),
    ("sandbox-token", "has a server of its own"),
];

/// What is wrong with the catalogue or the protocol, and not fixed yet. What no longer fails has to be removed.
const FAULTS: &[&str] = &[
    // With rotation auth.revoke ends one token, and the refresh token is not sent there.
    "slack (rotating), revocation: the refresh token still works",
    "slack (rotating scope_parameter=user_scope), revocation: the refresh token still works",
];

/// A row of the table.
fn row(label: &str, cells: &[impl AsRef<str>]) -> String {
    let cells: Vec<_> = cells.iter().map(|cell| format!("{:<15}", cell.as_ref())).collect();
    format!("{label:<60} {}", cells.join(" "))
}

#[tokio::test]
async fn every_entry_does_with_its_provider_what_the_provider_documents() {
    let (mut rows, mut notes, mut flaws) = (vec![row("entry", &COLUMNS)], BTreeSet::new(), Vec::new());
    for (name, family) in Family::all().unwrap() {
        for run in &family.proves {
            let mut bench = Bench::of(&name, run).await;
            let (label, mut cells) = (bench.row(), Vec::new());
            for column in COLUMNS {
                let cell = bench.prove(column).await;
                cells.push(cell.to_string());
                match cell {
                    Cell::Proved(_) => {}
                    Cell::Impossible(why) => notes.extend([format!("{}, {column}: {why}", run.entry)]),
                    Cell::Failed(_, all) => {
                        flaws.extend(all.iter().map(|flaw| format!("{label}, {column}: {flaw}")));
                    }
                }
            }
            rows.push(row(&label, &cells));
            assert!(bench.emulator.strangers().is_empty(), "{label}: {:?}", bench.emulator.strangers());
        }
    }
    let notes: Vec<_> = notes.into_iter().collect();
    println!("{}\n\nn/a\n{}\n\nFAILED\n{}", rows.join("\n"), notes.join("\n"), flaws.join("\n"));
    let (found, known): (BTreeSet<_>, BTreeSet<_>) =
        (flaws.iter().map(String::as_str).collect(), FAULTS.iter().copied().collect());
    assert_eq!(found, known, "what fails, and what is known to fail");
}

#[test]
fn every_entry_has_a_family_or_is_known_to_have_none() {
    let families = Family::all().unwrap();
    let runs = families.values().flat_map(|family| &family.proves);
    let mut proved: BTreeSet<_> = runs.map(|run| run.entry.as_str()).collect();
    for (entry, reason) in UNPROVED {
        assert!(proved.insert(entry), "{entry} has a family, and here is said: {reason}");
    }
    let all: BTreeSet<_> = entries().keys().map(String::as_str).collect();
    assert_eq!(all, proved);
}
