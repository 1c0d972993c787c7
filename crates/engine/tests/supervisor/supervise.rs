//! The executable that supervises programs in the engine's tests, as `hookward` does in the product.

use std::process::ExitCode;

fn main() -> ExitCode {
    hookward_engine::destination::command::supervise::main(&[], std::env::args_os().skip(1))
}
