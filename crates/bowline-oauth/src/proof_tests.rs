//! Every entry of the catalogue against the emulator of its provider: the entry unchanged, the provider's own names, TLS.
//!
//! `tests/testbed/emulator` holds what a provider documents, and which entries that proves. The test prints one table. A
//! cell is proved, or declared impossible in the family's file, or one of [`FAULTS`]; everything else fails.

mod bench;
mod columns;
mod keys;
mod machines;
mod meaning;
mod probes;
mod record;

use std::collections::BTreeSet;
use std::path::Path;

use bowline_testbed::emulator::{Family, Run};
use futures::{StreamExt, stream};

use self::bench::{Bench, COLUMNS, Cell, NOW};
use crate::catalog::entries;
use crate::catalog::errors::Class;
use crate::catalog::proof::{EntryProofs, ProvedRun};
use crate::certificate::ClientCertificate;
use crate::http::Sent;
use crate::refresh::refresh;

/// Entries without a provider of their own: the server that they run against, and the file with the tests.
const SERVERS: &[(&str, &str, &str)] = &[
    ("generic-api-key", "a server that checks keys", "tests/operator/lifecycle.rs"),
    ("generic-basic-auth", "a server that checks passwords", "tests/operator/lifecycle.rs"),
    ("generic-issued-key", "a verifier of keys", "tests/operator/issued.rs"),
    ("generic-oauth2", "`oidc-provider`", "tests/operator/oidc.rs"),
    ("generic-oauth2-client-credentials", "the sandbox", "tests/operator/who_may_use.rs"),
    ("generic-oauth2-jwt-bearer", "the sandbox", "tests/operator/machines.rs"),
    ("generic-oauth2-refresh", "`oidc-provider`", "tests/operator/oidc.rs"),
    ("generic-oauth2-token-exchange", "the sandbox", "tests/operator/exchange.rs"),
    ("mcp", "`oidc-provider`", "tests/operator/mcp.rs"),
    ("zapier-key", "a verifier of keys", "tests/operator/issued.rs"),
];

/// Entries of the sandbox, which is made for tests: nothing is proved of a provider.
const SANDBOX: &[&str] =
    &["sandbox", "sandbox-grace", "sandbox-none", "sandbox-optional", "sandbox-sliding", "sandbox-token"];

/// What is wrong with the catalogue or the protocol, and not fixed yet. What no longer fails has to be removed.
const FAULTS: &[&str] = &[];

/// A row of the table.
fn row(label: &str, cells: &[impl AsRef<str>]) -> String {
    let cells: Vec<_> = cells.iter().map(|cell| format!("{:<15}", cell.as_ref())).collect();
    format!("{label:<60} {}", cells.join(" "))
}

/// What one run of a family came to.
struct Proven {
    row: String,
    notes: Vec<String>,
    flaws: Vec<String>,
    record: ProvedRun,
    believed: Vec<String>,
}

async fn prove(name: &str, family: &Family, run: &Run) -> Proven {
    let mut bench = Bench::of(name, run).await;
    let (label, mut cells, mut parts) = (bench.row(), Vec::new(), Vec::new());
    let (mut notes, mut flaws) = (Vec::new(), Vec::new());
    for column in COLUMNS {
        let cell = bench.prove(column).await;
        cells.push(cell.to_string());
        parts.push(record::part(column, &cell));
        match cell {
            Cell::Proved(_) => {}
            Cell::Impossible(why) => notes.push(format!("{}, {column}: {why}", run.entry)),
            Cell::Failed(_, all) => {
                flaws.extend(all.iter().map(|flaw| format!("{label}, {column}: {flaw}")));
            }
        }
    }
    assert!(bench.emulator.strangers().is_empty(), "{label}: {:?}", bench.emulator.strangers());
    let believed = family.believed(&run.app).into_iter().collect();
    Proven { row: row(&label, &cells), notes, flaws, record: bench.recorded(parts), believed }
}

#[tokio::test]
async fn every_entry_does_with_its_provider_what_the_provider_documents() {
    let families = Family::all().unwrap();
    let runs = || {
        families.iter().flat_map(|(name, family)| family.proves.iter().map(move |run| (name, family, run)))
    };
    // Most of the time is spent waiting for answers that never end.
    let proving = runs().map(|(name, family, run)| prove(name, family, run));
    let proven: Vec<_> = stream::iter(proving).buffered(8).collect().await;
    let (mut rows, mut notes, mut flaws) = (vec![row("entry", &COLUMNS)], BTreeSet::new(), Vec::new());
    let mut proofs = EntryProofs::new();
    for ((_, _, run), proven) in runs().zip(proven) {
        rows.push(proven.row);
        notes.extend(proven.notes);
        flaws.extend(proven.flaws);
        let proof = proofs.entry(run.entry.clone()).or_default();
        proof.runs.push(proven.record);
        proof.believed.extend(proven.believed);
    }
    let notes: Vec<_> = notes.into_iter().collect();
    println!("{}\n\nn/a\n{}\n\nFAILED\n{}", rows.join("\n"), notes.join("\n"), flaws.join("\n"));
    let (found, known): (BTreeSet<_>, BTreeSet<_>) =
        (flaws.iter().map(String::as_str).collect(), FAULTS.iter().copied().collect());
    assert_eq!(found, known, "what fails, and what is known to fail");
    let proofs = record::with_servers(SERVERS, proofs);
    println!("\n{}", record::tally(&proofs));
    record::compare(&proofs);
}

/// The emulator refuses such connections itself: see `tests/testbed/src/emulator/tests.rs`.
#[tokio::test]
async fn a_provider_that_requires_a_certificate_gets_no_request_without_a_valid_one() {
    let (mut count, now) = (0, NOW);
    for (name, family) in Family::all().unwrap() {
        for run in family.proves.iter().filter(|_| !family.certificate_hosts.is_empty()) {
            let (mut bench, other) = (Bench::of(&name, run).await, Bench::of(&name, run).await);
            let connected = bench.connect(bench.accounts()[0]).await.unwrap();
            let token = connected.answer.refresh_token.clone().unwrap();
            let (before, lives) = (bench.family.requests().len(), "2020-06-01T00:00:00Z".parse().unwrap());
            let (certificate, key) = bench.emulator.client_certificate(2020..=2021).unwrap();
            let expired = ClientCertificate::read(&certificate, &key).unwrap();
            let rows = [
                (None, now, "put tls.crt and tls.key into the app Secret", Sent::NotSent),
                (Some(expired.clone()), now, "tls.crt expired at 2021", Sent::NotSent),
                // The clock of the provider decides.
                (
                    Some(expired),
                    lives,
                    "does not accept our TLS client certificate (CertificateExpired)",
                    Sent::Refused,
                ),
                (
                    other.app.certificate.clone(),
                    now,
                    "does not accept our TLS client certificate (UnknownCA)",
                    Sent::Refused,
                ),
            ];
            for (certificate, now, words, sent) in rows {
                bench.app.certificate = certificate;
                let refreshed = refresh(&bench.http, &bench.description, &bench.app, &token, &[], now).await;
                let failure = refreshed.unwrap_err();
                assert_eq!((failure.class, failure.sent), (Class::Config, sent), "{failure}");
                assert!(failure.summary.contains(words), "{failure}");
            }
            assert_eq!(bench.family.requests().len(), before, "{name}");
            assert!(bench.is_alive(&token));
            count += 1;
        }
    }
    assert!(count > 0);
}

#[test]
fn what_a_server_proves_is_in_the_tests_that_are_named() {
    for (entry, _, tests) in SERVERS {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(tests);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(&format!("\"{entry}\"")), "{tests} does not use {entry}");
    }
}

#[test]
fn every_entry_has_a_family_or_is_known_to_have_none() {
    let families = Family::all().unwrap();
    let runs = families.values().flat_map(|family| &family.proves);
    let mut proved: BTreeSet<_> = runs.map(|run| run.entry.as_str()).collect();
    for entry in SERVERS.iter().map(|(entry, ..)| entry).chain(SANDBOX) {
        assert!(proved.insert(entry), "{entry} has a family, and another proof here");
    }
    let all: BTreeSet<_> = entries().keys().map(String::as_str).collect();
    assert_eq!(all, proved);
}
