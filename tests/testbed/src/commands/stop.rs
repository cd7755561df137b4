//! The signals that ask us to end.

use bowline_testbed::error::Error;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGINT (Ctrl-C) and SIGTERM, received from the moment this is created.
pub struct StopSignals {
    interrupt: Signal,
    terminate: Signal,
}

/// Which signal came.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// From the terminal, which sends it to the whole foreground group.
    Interrupt,
    /// To this process alone.
    Terminate,
}

impl StopSignals {
    pub fn listen() -> Result<Self, Error> {
        let listen = |kind| {
            signal(kind).map_err(|source| Error::Io { action: "listen for", path: "signals".into(), source })
        };
        Ok(Self { interrupt: listen(SignalKind::interrupt())?, terminate: listen(SignalKind::terminate())? })
    }

    pub async fn next(&mut self) -> Stop {
        tokio::select! {
            _ = self.interrupt.recv() => Stop::Interrupt,
            _ = self.terminate.recv() => Stop::Terminate,
        }
    }
}
