//! `tacho-verify`: what an outsider audits with. See the library for everything it does.

use std::process::ExitCode;

fn main() -> ExitCode {
    tacho_verify::run(std::env::args_os().skip(1))
}
