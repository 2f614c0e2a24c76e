//! Where a command finds the operator's listener of the running server.

use std::net::SocketAddr;

use super::CliError;
use crate::app::reachable;
use crate::config::{self, LoadPurpose, Sources};

/// The option of every command that asks there.
#[derive(clap::Args)]
pub(super) struct ListenerArgs {
    /// Where to ask, instead of `server.admin_listen` of the settings.
    #[arg(long, value_name = "HOST:PORT")]
    address: Option<SocketAddr>,
}

impl ListenerArgs {
    /// The address that was given, or that of the settings, as this host reaches it.
    pub(super) fn find(&self, sources: &Sources) -> Result<SocketAddr, CliError> {
        let address = match self.address {
            Some(address) => address,
            None => config::load_for(sources, LoadPurpose::Command)?.server.admin_listen,
        };
        if address.port() == 0 {
            return Err(CliError::Refused(
                "server.admin_listen: has port 0, so the server chose one; name it with --address"
                    .to_owned(),
            ));
        }
        Ok(reachable(address))
    }
}
