//! The binary `hookward`. Everything is in the library beside it.

use std::process::ExitCode;

/// Bodies are allocated by one thread and freed by another, at every rate; this allocator takes that in its stride and
/// gives the memory back.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    hookward_gateway::main()
}
