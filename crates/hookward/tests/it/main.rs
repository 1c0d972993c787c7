//! The library's integration tests: a module for each source file tested.

mod verify;
