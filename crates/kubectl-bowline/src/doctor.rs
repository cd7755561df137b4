//! `doctor`: is this installation whole? One line for each thing looked at.

mod checks;
mod cluster;

use std::fmt::Write as _;

use anyhow::bail;

use super::screen::{Paint, Screen, painted};
use super::session::Session;
use super::table::Cell;
use checks::judge;
use cluster::look;

const EXAMPLES: &str = "Examples:
  kubectl bowline doctor

Looks at definitions, admission policies, operator, keyring, records, portal,
providers, connections and clocks, with your own rights: what you may not see
is said, not guessed. Ends with 1 if a check fails; a warning is no failure.";

/// Look whether Bowline is installed whole, and say what to do where it is not
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Namespace of the operator
    #[arg(long, value_name = "NAME", default_value = "bowline-system")]
    operator_namespace: String,
}

/// How a check ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Mark {
    /// As it should be.
    Ok,
    /// Somebody should look, or it could not be seen.
    Warn,
    /// Something does not work.
    Fail,
}

/// One line of the answer, and what to do about it.
#[derive(Debug, PartialEq, Eq)]
struct Finding {
    mark: Mark,
    subject: &'static str,
    text: String,
    todo: Option<String>,
}

impl Args {
    pub async fn run(self, session: &Session, screen: &mut Screen) -> anyhow::Result<()> {
        let findings = judge(&look(session, &self.operator_namespace).await?, &self.operator_namespace);
        screen.result(&render(&findings, screen.colours()))?;
        match findings.iter().filter(|finding| finding.mark == Mark::Fail).count() {
            0 => Ok(()),
            1 => bail!("1 check failed"),
            failed => bail!("{failed} checks failed"),
        }
    }
}

fn render(findings: &[Finding], colours: bool) -> String {
    let mut text = String::new();
    for Finding { mark, subject, text: said, todo } in findings {
        let (word, paint) = match mark {
            Mark::Ok => ("ok  ", Paint::Good),
            Mark::Warn => ("warn", Paint::Calm),
            Mark::Fail => ("fail", Paint::Bad),
        };
        let word = painted(word, Some(paint), colours);
        let _ = write!(text, "{word}  {subject:<12} {}", Cell::new(said).text);
        let _ = match todo {
            Some(todo) => writeln!(text, "; {}", Cell::new(todo).text),
            None => writeln!(text),
        };
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_check_is_one_line_with_what_to_do() {
        let findings = [
            Finding { mark: Mark::Ok, subject: "keyring", text: "there".into(), todo: None },
            Finding {
                mark: Mark::Fail,
                subject: "operator",
                text: "0 of 1\nready".into(),
                todo: Some("see its log".into()),
            },
        ];
        assert_eq!(
            render(&findings, false),
            "ok    keyring      there\nfail  operator     0 of 1\u{fffd}ready; see its log\n"
        );
    }
}
