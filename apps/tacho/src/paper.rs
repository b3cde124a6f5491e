//! Completions and man pages, made from the one definition of the flags.

use std::path::Path;

use clap::CommandFactory;

use crate::cli::Cli;
use crate::fault::{Failure, Outcome};
use crate::out;

pub fn completions(shell: clap_complete::Shell) -> Outcome {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "tacho", &mut script);
    out::bytes(&script)?;
    Ok(std::process::ExitCode::SUCCESS)
}

/// One page per command: `tacho.1`, `tacho-run.1`, `tacho-policy-check.1`, ...
pub fn man(dir: &Path, json: bool) -> Outcome {
    std::fs::create_dir_all(dir).map_err(|e| Failure::file("make the directory", dir, &e))?;
    let mut command = Cli::command();
    command.build();
    let mut written = Vec::new();
    write_pages(dir, &command, &mut written)?;
    let count = written.len();
    let mut lines = vec![format!("wrote {count} man pages into {}", dir.display())];
    if json {
        lines = written;
    }
    out::answer(&out::Told { lines }, json)
}

fn write_pages(dir: &Path, command: &clap::Command, written: &mut Vec<String>) -> Result<(), Failure> {
    // After `build`, a subcommand's display name is `tacho-policy-check`.
    let name = command.get_display_name().unwrap_or_else(|| command.get_name()).to_owned();
    let path = dir.join(format!("{name}.1"));
    let mut page = Vec::new();
    clap_mangen::Man::new(command.clone())
        .title(name)
        .render(&mut page)
        .map_err(|e| Failure::file("write", &path, &e))?;
    std::fs::write(&path, page).map_err(|e| Failure::file("write", &path, &e))?;
    written.push(path.display().to_string());
    command.get_subcommands().filter(|c| !c.is_hide_set()).try_for_each(|c| write_pages(dir, c, written))
}
