//! The binary `hookward`. Everything is in the library beside it.

use std::process::ExitCode;

fn main() -> ExitCode {
    hookward_gateway::main()
}
