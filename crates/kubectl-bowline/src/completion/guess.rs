//! Completions of the unfinished word: pure, from the definitions of the commands.

use clap::{Arg, Command, CommandFactory, FromArgMatches};

use crate::Cli;
use crate::session::ClusterArgs;

/// What may be completed at the cursor.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// One of these, each perhaps with a tab and a description.
    These(Vec<String>),
    /// The name of a connection, beginning with what was typed.
    Connection(String),
    /// A pod, beginning with what was typed.
    Pod(String),
    File,
}

/// The options among the words that say which cluster to ask.
pub(super) fn cluster_options(words: &[String]) -> clap::error::Result<ClusterArgs> {
    let command = Cli::command().no_binary_name(true).ignore_errors(true);
    ClusterArgs::from_arg_matches(&command.try_get_matches_from(words)?)
}

/// The completion for the last word.
pub(super) fn wanted(root: &Command, words: &[String]) -> Wanted {
    let (typed, before) = words.split_last().map_or(("", &[][..]), |(last, rest)| (last.as_str(), rest));
    let mut command = None;
    let mut filled = 0;
    let mut value_of: Option<&Arg> = None;
    for word in before {
        if value_of.take().is_some() {
            continue;
        }
        if word.starts_with('-') {
            let takes_next = |arg: &&Arg| arg.get_action().takes_values() && !arg.is_require_equals_set();
            value_of = option(root, command, word).filter(|arg| takes_next(arg) && !word.contains('='));
        } else if command.is_none() {
            command = root.get_subcommands().find(|one| one.get_name() == word);
        } else {
            filled += 1;
        }
    }
    if let Some(arg) = value_of {
        return value(arg, typed);
    }
    if typed.starts_with('-') {
        return Wanted::These(options(root, command, typed));
    }
    match command {
        None => Wanted::These(commands(root, typed)),
        Some(command) => match command.get_positionals().nth(filled) {
            Some(arg) => value(arg, typed),
            None => Wanted::These(Vec::new()),
        },
    }
}

fn all_options<'a>(root: &'a Command, command: Option<&'a Command>) -> impl Iterator<Item = &'a Arg> {
    command.into_iter().chain([root]).flat_map(Command::get_arguments).filter(|arg| !arg.is_positional())
}

fn option<'a>(root: &'a Command, command: Option<&'a Command>, word: &str) -> Option<&'a Arg> {
    let name = word.split('=').next().unwrap_or(word);
    all_options(root, command).find(|arg| {
        let long = arg.get_long().is_some_and(|long| name.strip_prefix("--") == Some(long));
        long || arg.get_short().is_some_and(|short| name == format!("-{short}"))
    })
}

fn options(root: &Command, command: Option<&Command>, typed: &str) -> Vec<String> {
    let mut found: Vec<_> = all_options(root, command)
        .filter(|arg| !arg.is_hide_set())
        .filter_map(|arg| Some(described(&format!("--{}", arg.get_long()?), arg.get_help())))
        .filter(|one| one.starts_with(typed))
        .collect();
    found.sort();
    found
}

fn commands(root: &Command, typed: &str) -> Vec<String> {
    let seen = root.get_subcommands().filter(|command| !command.is_hide_set());
    let seen = seen.filter(|command| command.get_name().starts_with(typed));
    seen.map(|command| described(command.get_name(), command.get_about())).collect()
}

fn described(name: &str, about: Option<&clap::builder::StyledStr>) -> String {
    let about = about.map(ToString::to_string).unwrap_or_default();
    match about.lines().next() {
        Some(line) if !line.is_empty() => format!("{name}\t{line}"),
        _ => name.to_owned(),
    }
}

fn value(arg: &Arg, typed: &str) -> Wanted {
    let values = arg.get_possible_values();
    if !values.is_empty() {
        let names = values.iter().map(|value| value.get_name().to_owned());
        return Wanted::These(names.filter(|name| name.starts_with(typed)).collect());
    }
    match arg.get_id().as_str() {
        "from_file" | "kubeconfig" => Wanted::File,
        "name" | "old" | "new" if arg.is_positional() => Wanted::Connection(typed.to_owned()),
        "pod" => Wanted::Pod(typed.to_owned()),
        _ => Wanted::These(Vec::new()),
    }
}

#[cfg(test)]
#[allow(clippy::panic, clippy::unwrap_used)]
mod tests {
    use super::*;

    fn at(line: &str) -> Wanted {
        let words: Vec<_> = line.split(' ').map(ToOwned::to_owned).collect();
        wanted(&Cli::command(), &words)
    }

    fn offered(line: &str) -> Vec<String> {
        match at(line) {
            Wanted::These(all) => {
                all.iter().map(|one| one.split('\t').next().unwrap_or(one).to_owned()).collect()
            }
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn commands_come_first_and_hidden_ones_never() {
        assert_eq!(offered("disc"), ["disconnect"]);
        let all = offered("");
        assert!(all.contains(&"connect".to_owned()) && !all.contains(&"__complete".to_owned()), "{all:?}");
        assert_eq!(offered("-n team-a un"), ["undo", "unshare"]);
    }

    #[test]
    fn names_are_asked_of_the_cluster_once() {
        assert_eq!(at("connect gi"), Wanted::Connection("gi".into()));
        assert_eq!(at("connect --timeout 5m gi"), Wanted::Connection("gi".into()));
        assert_eq!(at("impact gi"), Wanted::Connection("gi".into()));
        assert_eq!(at("why pod/m"), Wanted::Pod("pod/m".into()));
        assert_eq!(offered("connect github "), Vec::<String>::new());
    }

    #[test]
    fn options_and_their_values_are_offered() {
        assert_eq!(offered("connect github --de"), ["--device"]);
        assert_eq!(offered("list --context x --us"), ["--usable"]);
        assert_eq!(offered("list -o js"), ["json"]);
        assert_eq!(offered("impact github -o "), ["json", "yaml"]);
        assert_eq!(offered("completion z"), ["zsh"]);
        assert_eq!(at("import github --from-file "), Wanted::File);
        assert_eq!(offered("connect --nam"), ["--namespace"]);
    }

    #[test]
    fn the_cluster_asked_is_the_one_on_the_line() {
        let words = ["connect", "-n", "team-a", "--context=prod", ""].map(ToOwned::to_owned);
        let ClusterArgs { kubeconfig, context, namespace } = cluster_options(&words).unwrap();
        assert_eq!(
            (kubeconfig, context.as_deref(), namespace.as_deref()),
            (None, Some("prod"), Some("team-a"))
        );
        // The rest of the line need not be valid.
        for line in [
            "-n team-a",
            "connect -n team-a --timeout soon gi",
            "list -n team-a --unknown x",
            "why -n team-a --",
        ] {
            let words: Vec<_> = line.split(' ').map(ToOwned::to_owned).collect();
            let options = cluster_options(&words).unwrap();
            assert_eq!(options.namespace.as_deref(), Some("team-a"), "{line}");
        }
    }
}
