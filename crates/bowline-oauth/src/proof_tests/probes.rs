//! That a probe tells a live token or key from a dead one, and from a provider in trouble.

use bowline_testbed::emulator::Operation;

use super::bench::{Bench, Cell, Connected, NOW};
use super::meaning::named;
use crate::catalog::errors::Class;
use crate::classify::Failure;
use crate::key::KeyOrPassword;
use crate::probe::{credential, key_probe, refuses, token, token_probes};

/// What is checked.
enum Checked<'a> {
    Token(&'a Connected),
    Key(&'a KeyOrPassword),
}

impl Bench {
    /// The answer of the first way that says something, or else of the last, as in operation.
    async fn probed(&self, checked: &Checked<'_>) -> Result<(), Failure> {
        let connected = match checked {
            Checked::Key(key) => return credential(&self.http, &self.description, key, NOW).await,
            Checked::Token(connected) => connected,
        };
        let mut answer = Ok(());
        for way in token_probes(&self.description) {
            let asked = token(&self.http, &self.description, Some(&self.app), way, connected.access(), NOW);
            answer = asked.await;
            if answer.as_ref().err().is_none_or(refuses) {
                break;
            }
        }
        answer
    }

    pub(super) async fn prove_probe(&self) -> Cell {
        if token_probes(&self.description).is_empty() {
            return Cell::yes(Err("the entry has none, and the file does not say why".to_owned()));
        }
        match self.connect(self.accounts()[0]).await {
            Ok(connected) => {
                let text = secrecy::ExposeSecret::expose_secret(connected.access()).to_owned();
                self.prove_probe_of(&Checked::Token(&connected), &text).await
            }
            Err(flaw) => Cell::yes(Err(flaw)),
        }
    }

    pub(super) async fn prove_probe_of_key(&self, key: &KeyOrPassword, text: &str) -> Cell {
        if key_probe(&self.description).is_none() {
            return Cell::yes(Err("the entry has none, and the file does not say why".to_owned()));
        }
        self.prove_probe_of(&Checked::Key(key), text).await
    }

    /// A live one is accepted, each documented refusal counts if and only if it is about the token or key, and a dead one is
    /// refused.
    async fn prove_probe_of(&self, checked: &Checked<'_>, text: &str) -> Cell {
        let (mut flaws, mut count) = (Vec::new(), 2);
        let alive = self.probed(checked).await;
        flaws.extend(alive.err().map(|failure| self.explained("a live one is refused", &failure)));
        let on = Operation::Account;
        for (name, refusal) in self.family.data().refusals.iter().filter(|(_, it)| it.on.contains(&on)) {
            self.family.refuse_next(on, name);
            let counts = self.probed(checked).await.err().as_ref().is_some_and(refuses);
            count += 1;
            if counts != (refusal.class == named(Class::Reauth)) {
                flaws.push(format!("{name} counts as a refusal: {counts}"));
            }
        }
        self.family.end(text);
        let dead = self.probed(checked).await.err();
        if !dead.as_ref().is_some_and(refuses) {
            flaws.push(format!("a dead one is not refused: {dead:?} {}", self.last_flaw()));
        }
        Cell::of(flaws, count)
    }
}
