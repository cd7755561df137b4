//! `completion`: scripts for shells, and the script with which kubectl completes its plug-ins.

mod guess;

use clap::{CommandFactory, ValueEnum};
use clap_complete::aot::Shell;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::ListParams;

use crate::session::Namespaced;
use crate::{Cli, Screen};
use bowline_api::IntegrationConnection;
use guess::{Wanted, cluster_options, wanted};

/// How long a shell waits for names.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(2);

/// The program that `kubectl` looks for on PATH when TAB is pressed after `kubectl bowline`. It prints one candidate per
/// line, then a directive; the plug-in computes both.
const KUBECTL: &str = "#!/usr/bin/env sh
exec kubectl-bowline __complete -- \"$@\"
";

const EXAMPLES: &str = "Examples:
  kubectl bowline completion kubectl > ~/.local/bin/kubectl_complete-bowline
  chmod +x ~/.local/bin/kubectl_complete-bowline
  kubectl bowline completion bash > ~/.bash_completion.d/kubectl-bowline

With the first two, TAB after `kubectl bowline` completes commands, options and
the names of connections, in each shell where kubectl's own completion is set
up: the file must be on PATH under that name. The others are for those who
type kubectl-bowline with a hyphen; they do not complete names.";

/// Print a script that completes commands when TAB is pressed
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct CompletionArgs {
    /// For whom
    target: CompletionTarget,
}

#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
enum CompletionTarget {
    /// kubectl, whatever the shell
    Kubectl,
    /// bash
    Bash,
    /// zsh
    Zsh,
    /// fish
    Fish,
    /// elvish
    Elvish,
    /// `PowerShell`
    Powershell,
}

impl CompletionArgs {
    pub(crate) fn run(&self, screen: &mut Screen) -> anyhow::Result<()> {
        let shell = match self.target {
            CompletionTarget::Kubectl => {
                screen.progress("Put this on PATH as kubectl_complete-bowline, executable.");
                return Ok(screen.result(KUBECTL)?);
            }
            CompletionTarget::Bash => Shell::Bash,
            CompletionTarget::Zsh => Shell::Zsh,
            CompletionTarget::Fish => Shell::Fish,
            CompletionTarget::Elvish => Shell::Elvish,
            CompletionTarget::Powershell => Shell::PowerShell,
        };
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut Cli::command(), "kubectl-bowline", &mut script);
        Ok(screen.result(&String::from_utf8_lossy(&script))?)
    }
}

const COMPLETE_EXAMPLES: &str = "Examples:
  kubectl bowline __complete -- connect ''";

/// Answer kubectl when TAB is pressed
#[derive(clap::Args, Debug)]
#[command(after_help = COMPLETE_EXAMPLES)]
pub(crate) struct CompleteArgs {
    /// The words after `kubectl bowline`, the last one unfinished
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    words: Vec<String>,
}

impl CompleteArgs {
    /// Prints candidates and the directive. Nobody who presses TAB wants errors on the line: what is not known is left out.
    pub(crate) async fn run(self, screen: &mut Screen) -> anyhow::Result<()> {
        let mut lines = match wanted(&Cli::command(), &self.words) {
            // Cobra's directives: 0 leaves files to the shell, 4 means "offer no files".
            Wanted::File => return Ok(screen.result(":0\n")?),
            Wanted::These(candidates) => candidates,
            Wanted::Connection(typed) => self.names::<IntegrationConnection>("", &typed).await,
            Wanted::Pod(typed) => self.names::<Pod>("pod/", &typed).await,
        };
        lines.push(":4".to_owned());
        Ok(screen.result(&(lines.join("\n") + "\n"))?)
    }

    /// Names in the cluster that begin with what was typed, if they come in time.
    async fn names<K: Namespaced>(&self, prefix: &str, typed: &str) -> Vec<String> {
        let listed = async {
            let session = cluster_options(&self.words)?.connect().await?;
            anyhow::Ok(session.api::<K>().list_metadata(&ListParams::default()).await?.items)
        };
        let found =
            tokio::time::timeout(PATIENCE, listed).await.ok().and_then(Result::ok).unwrap_or_default();
        let names = found.iter().map(|one| format!("{prefix}{}", one.name_any()));
        names.filter(|name| name.starts_with(typed)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kubectl_gets_a_script_that_asks_this_program() {
        assert!(KUBECTL.starts_with("#!") && KUBECTL.contains("kubectl-bowline __complete -- \"$@\""));
    }

    #[test]
    fn each_shell_gets_a_script_with_the_commands() {
        for target in [Shell::Bash, Shell::Zsh, Shell::Fish, Shell::Elvish, Shell::PowerShell] {
            let mut script = Vec::new();
            clap_complete::generate(target, &mut Cli::command(), "kubectl-bowline", &mut script);
            let script = String::from_utf8_lossy(&script).into_owned();
            assert!(script.contains("disconnect") && script.contains("kubectl-bowline"), "{target}");
        }
    }
}
