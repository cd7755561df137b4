//! What the unfinished word may become: pure, from the commands as they are defined.

use clap::{Arg, Command};

/// What is wanted at the cursor.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// One of these, each perhaps with a tab and a description.
    These(Vec<String>),
    /// A name that the cluster knows, beginning with what was typed.
    Names(Names, String),
    /// A file.
    File,
}

/// Names that the cluster knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Names {
    Connections,
    Pods,
}

/// Values of --kubeconfig, --context and --namespace among the words.
pub(super) fn named_options(words: &[String]) -> [Option<String>; 3] {
    [("--kubeconfig", ""), ("--context", ""), ("--namespace", "-n")].map(|(long, short)| {
        let mut words = words.iter();
        while let Some(word) = words.next() {
            if word == long || (!short.is_empty() && word == short) {
                return words.next().cloned();
            }
            if let Some(value) = word.strip_prefix(long).and_then(|rest| rest.strip_prefix('=')) {
                return Some(value.to_owned());
            }
        }
        None
    })
}

/// What is wanted in place of the last word.
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
            value_of = option(root, command, word).filter(|arg| takes_value(arg) && !word.contains('='));
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
    let own = command.into_iter().flat_map(Command::get_opts);
    let flags = command.into_iter().flat_map(Command::get_arguments).filter(|arg| arg.get_long().is_some());
    own.chain(flags).chain(root.get_opts())
}

fn option<'a>(root: &'a Command, command: Option<&'a Command>, word: &str) -> Option<&'a Arg> {
    let name = word.split('=').next().unwrap_or(word);
    all_options(root, command).find(|arg| {
        let long = arg.get_long().is_some_and(|long| name.strip_prefix("--") == Some(long));
        long || arg.get_short().is_some_and(|short| name == format!("-{short}"))
    })
}

fn takes_value(arg: &Arg) -> bool {
    arg.get_action().takes_values() && !arg.is_require_equals_set()
}

fn options(root: &Command, command: Option<&Command>, typed: &str) -> Vec<String> {
    let mut found: Vec<_> = all_options(root, command)
        .filter(|arg| !arg.is_hide_set())
        .filter_map(|arg| Some(described(&format!("--{}", arg.get_long()?), arg.get_help())))
        .filter(|one| one.starts_with(typed))
        .collect();
    found.sort();
    found.dedup();
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
        "name" if arg.is_positional() => Wanted::Names(Names::Connections, typed.to_owned()),
        "pod" => Wanted::Names(Names::Pods, typed.to_owned()),
        _ => Wanted::These(Vec::new()),
    }
}

#[cfg(test)]
#[allow(clippy::panic)]
mod tests {
    use clap::CommandFactory;

    use super::super::Cli;
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
        assert_eq!(offered("-n team-a un"), ["unshare"]);
    }

    #[test]
    fn names_are_asked_of_the_cluster_once() {
        assert_eq!(at("connect gi"), Wanted::Names(Names::Connections, "gi".into()));
        assert_eq!(at("connect --timeout 5m gi"), Wanted::Names(Names::Connections, "gi".into()));
        assert_eq!(at("impact gi"), Wanted::Names(Names::Connections, "gi".into()));
        assert_eq!(at("why pod/m"), Wanted::Names(Names::Pods, "pod/m".into()));
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
        assert_eq!(named_options(&words), [None, Some("prod".into()), Some("team-a".into())]);
    }
}
