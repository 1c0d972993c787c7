//! The log: to standard error, one line for each thing that someone may have to look at.
//! Requests are logged by source and answer, never with their query or headers, which may hold credentials.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// Libraries that would write what we do not: their detail stays out whatever the operator asks for.
const QUIET: &str = "hyper=warn,hyper_util=warn,rustls=warn,tower=warn";

/// Begins to log; the format `json` is one object a line. `filter` is in the form of `HOOKWARD_LOG`, `default` stands in for it.
pub(crate) fn start(filter: Option<&str>, default: &str, format: Option<&str>) {
    let wanted = filter.filter(|filter| !filter.trim().is_empty()).unwrap_or(default);
    let filter = EnvFilter::builder().parse_lossy(format!("{wanted},{QUIET}"));
    let colours = std::io::stderr().is_terminal();
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_target(false);
    let log = log.with_writer(std::io::stderr).with_ansi(colours);
    // Only the first call in a process counts, which is what tests that start several gateways want.
    let _ = if format == Some("json") { log.json().try_init() } else { log.try_init() };
}
