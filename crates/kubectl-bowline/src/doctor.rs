//! `doctor`: is this installation complete? One line for each check.

mod checks;
mod cluster;

use anyhow::bail;

use crate::screen::{Paint, Screen, painted};
use crate::session::UserSession;
use crate::table::printable;
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

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CheckMark {
    Ok,
    /// Somebody should check it, or it could not be read.
    Warn,
    Fail,
}

/// What one check says, and what to do about it, if anything.
#[derive(Debug, PartialEq, Eq)]
struct CheckResult {
    mark: CheckMark,
    text: String,
    todo: Option<String>,
}

impl DoctorArgs {
    pub(crate) async fn run(self, session: &UserSession, screen: &mut Screen) -> anyhow::Result<()> {
        let results = judge(&look(session, &self.operator_namespace).await?, &self.operator_namespace);
        screen.result(&render(&results, screen.colours()))?;
        match results.iter().filter(|(_, result)| result.mark == CheckMark::Fail).count() {
            0 => Ok(()),
            1 => bail!("1 check failed"),
            failed => bail!("{failed} checks failed"),
        }
    }
}

/// One line for each result, with what was checked.
fn render(results: &[(&str, CheckResult)], colours: bool) -> String {
    let line = |(subject, CheckResult { mark, text, todo }): &(&str, CheckResult)| {
        let (word, paint) = match mark {
            CheckMark::Ok => ("ok  ", Paint::Good),
            CheckMark::Warn => ("warn", Paint::Calm),
            CheckMark::Fail => ("fail", Paint::Bad),
        };
        let todo = todo.as_ref().map(|todo| format!("; {todo}")).unwrap_or_default();
        let text = printable(text.clone() + &todo);
        format!("{}  {subject:<12} {text}\n", painted(word, Some(paint), colours))
    };
    results.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_check_is_one_line_with_what_to_do() {
        let well = CheckResult { mark: CheckMark::Ok, text: "there".into(), todo: None };
        let todo = Some("see its log".to_owned());
        let down = CheckResult { mark: CheckMark::Fail, text: "0 of 1\nready".into(), todo };
        assert_eq!(
            render(&[("keyring", well), ("operator", down)], false),
            "ok    keyring      there\nfail  operator     0 of 1 ready; see its log\n"
        );
    }
}
