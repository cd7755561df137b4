//! `doctor`: is this installation complete? One line for each check.

mod checks;
mod cluster;

use std::fmt::Write as _;

use anyhow::bail;

use crate::screen::{Paint, Screen, painted};
use crate::session::UserSession;
use crate::table::Cell;
use checks::judge;
use cluster::look;

const EXAMPLES: &str = "Examples:
  kubectl bowline doctor

Checks definitions, admission policies, operator, keyring, records, portal,
providers, connections and clocks, with your own rights: what you may not see
is said, not guessed. Exits with 1 if a check fails; a warning is no failure.";

/// Check whether Bowline is installed completely, and show what to do where it is not
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct DoctorArgs {
    /// Namespace of the operator
    #[arg(long, value_name = "NAME", default_value = "bowline-system")]
    operator_namespace: String,
}

/// How a check ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum CheckMark {
    /// As it should be.
    Ok,
    /// Somebody should look, or it could not be seen.
    Warn,
    /// Something does not work.
    Fail,
}

/// One line of the answer, and what to do about it.
#[derive(Debug, PartialEq, Eq)]
struct CheckResult {
    mark: CheckMark,
    subject: &'static str,
    text: String,
    todo: Option<String>,
}

impl CheckResult {
    fn new(mark: CheckMark, subject: &'static str, text: impl Into<String>) -> Self {
        Self { mark, subject, text: text.into(), todo: None }
    }

    fn todo(self, todo: impl Into<String>) -> Self {
        Self { todo: Some(todo.into()), ..self }
    }
}

impl DoctorArgs {
    pub(crate) async fn run(self, session: &UserSession, screen: &mut Screen) -> anyhow::Result<()> {
        let findings = judge(&look(session, &self.operator_namespace).await?, &self.operator_namespace);
        screen.result(&render(&findings, screen.colours()))?;
        match findings.iter().filter(|finding| finding.mark == CheckMark::Fail).count() {
            0 => Ok(()),
            1 => bail!("1 check failed"),
            failed => bail!("{failed} checks failed"),
        }
    }
}

fn render(findings: &[CheckResult], colours: bool) -> String {
    let mut text = String::new();
    for CheckResult { mark, subject, text: said, todo } in findings {
        let (word, paint) = match mark {
            CheckMark::Ok => ("ok  ", Paint::Good),
            CheckMark::Warn => ("warn", Paint::Calm),
            CheckMark::Fail => ("fail", Paint::Bad),
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
            CheckResult { mark: CheckMark::Ok, subject: "keyring", text: "there".into(), todo: None },
            CheckResult {
                mark: CheckMark::Fail,
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
