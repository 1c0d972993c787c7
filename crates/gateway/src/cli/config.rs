//! `hookward config`: a configuration file looked at without starting anything.

use std::path::PathBuf;

use clap::Subcommand;

use super::exit::Exit;
use super::print;
use crate::config;

#[derive(Debug, Subcommand)]
#[command(after_help = "Example: hookward config check --config hookward.toml")]
pub(super) enum Config {
    /// Say everything that is wrong with a file, with line and column
    Check {
        /// The file
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Print every setting with its default and what it means
    Default,
}

/// Runs `hookward config …`.
pub(super) fn run(command: Config) -> Result<(), Exit> {
    match command {
        Config::Check { config: path } => {
            let config = config::Config::load(&path)?;
            for notice in &config.notices {
                print::line(&format!("notice: {notice}"))?;
            }
            let (sources, destinations) = (config.sources.len(), config.destinations.len());
            print::line(&format!("{}: {sources} sources, {destinations} destinations", path.display()))
        }
        Config::Default => print::out(config::DEFAULT.as_bytes()),
    }
}
