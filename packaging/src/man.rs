//! Man pages, made from the command lines themselves.

use std::fs;
use std::path::Path;

use anyhow::Context;
use clap::CommandFactory;

/// Writes a page for each program and each of its subcommands, `PROGRAM-SUBCOMMAND.1`.
pub fn write(folder: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    for program in [bowline::cli::Cli::command(), kubectl_bowline::Cli::command()] {
        clap_mangen::generate_to(program, folder).with_context(|| folder.display().to_string())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use bowline_testbed::scratch::Scratch;

    use super::*;

    #[test]
    fn every_command_has_a_page_that_names_its_flags() {
        let scratch = Scratch::create().unwrap();
        let folder = scratch.path();
        write(folder).unwrap();
        for program in [bowline::cli::Cli::command(), kubectl_bowline::Cli::command()] {
            for command in program.get_subcommands().filter(|command| !command.is_hide_set()) {
                let name = format!("{}-{}.1", program.get_name(), command.get_name());
                let page = fs::read_to_string(folder.join(&name)).unwrap();
                let flags = command.get_arguments().filter(|flag| !flag.is_hide_set());
                for flag in flags.filter_map(clap::Arg::get_long) {
                    assert!(page.contains(&flag.replace('-', "\\-")), "{name}: --{flag}");
                }
            }
        }
    }

    #[test]
    fn a_page_is_the_same_each_time() {
        let page = || {
            let scratch = Scratch::create().unwrap();
            write(scratch.path()).unwrap();
            fs::read(scratch.path().join("bowline-operator.1")).unwrap()
        };
        assert_eq!(page(), page());
    }
}
