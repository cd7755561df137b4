//! The operator, or the portal, as a separate process, as it runs in a cluster.

use std::{
    path::Path,
    process::ExitStatus,
    time::{Duration, Instant},
};

use crate::{access::Access, error::Error, process::Process, random, tls::install_tls};

/// How long the operator may take to become ready.
const READY_WITHIN: Duration = Duration::from_mins(5);
/// How long it may take to end after SIGTERM: it lets started refreshes commit.
const GRACE: Duration = Duration::from_secs(45);
const PAUSE: Duration = Duration::from_millis(50);

/// What to start.
#[derive(Debug, Clone, Copy)]
pub struct Operator<'a> {
    /// The binary, usually `env!("CARGO_BIN_EXE_bowline")`.
    pub program: &'a Path,
    /// Namespace and name of the `ServiceAccount` it acts as; it must exist. It never gets more rights than that.
    pub service_account: (&'a str, &'a str),
    /// Its arguments, including the port it serves on.
    pub arguments: &'a [&'a str],
    /// Added to the environment; `KUBECONFIG` is set for it.
    pub environment: &'a [(&'a str, &'a str)],
    /// Answers 200 once it is ready, such as `http://127.0.0.1:8081/readyz`.
    pub readiness: &'a str,
}

/// A running operator; killed when dropped.
#[derive(Debug)]
pub struct OperatorProcess {
    process: Process,
}

impl OperatorProcess {
    /// Starts it with its `ServiceAccount`'s token, and waits until it is ready.
    pub async fn start(access: &Access, operator: Operator<'_>) -> Result<Self, Error> {
        let mut started = Self::spawn(access, operator).await?;
        started.wait_ready(operator.readiness).await?;
        Ok(started)
    }

    /// Starts it without waiting, for tests of what happens before it is ready.
    pub async fn spawn(access: &Access, operator: Operator<'_>) -> Result<Self, Error> {
        let Operator { program, service_account: (namespace, name), arguments, environment, readiness: _ } =
            operator;
        let kubeconfig = access.service_account_kubeconfig(namespace, name).await?;
        let which = arguments.first().unwrap_or(&"operator");
        let log = access.directory().join(format!("{which}-{}.log", random::hex(4)?));
        let prepare = |command: &mut std::process::Command| {
            // A pod's name, as the container gets it.
            command.args(arguments).env("KUBECONFIG", kubeconfig).env("HOSTNAME", "bowline");
            command.envs(environment.iter().copied());
        };
        Ok(Self { process: Process::start(program, prepare, log)? })
    }

    /// Waits until `readiness` answers 200, it ends, or a minute has passed.
    pub async fn wait_ready(&mut self, readiness: &str) -> Result<(), Error> {
        install_tls();
        let client = reqwest::Client::new();
        let start = Instant::now();
        loop {
            self.process.check_running()?;
            let last_seen = match client.get(readiness).timeout(READY_WITHIN).send().await {
                Ok(answer) if answer.status().is_success() => return Ok(()),
                Ok(answer) => answer.status().to_string(),
                Err(error) => error.to_string(),
            };
            if start.elapsed() > READY_WITHIN {
                return Err(self.process.not_ready(READY_WITHIN, last_seen));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Everything it has written to standard output and standard error.
    pub fn logs(&self) -> Result<String, Error> {
        self.process.log()
    }

    /// An error, with the end of its log, if it has ended by itself.
    pub fn check_running(&mut self) -> Result<(), Error> {
        self.process.check_running()
    }

    /// SIGKILL: it cannot finish anything.
    pub fn kill(&mut self) -> Result<ExitStatus, Error> {
        self.process.kill()
    }

    /// SIGTERM, and waits until it has ended: `None` if it still runs after 45 s.
    pub fn terminate(&mut self) -> Result<Option<ExitStatus>, Error> {
        self.process.terminate(GRACE)
    }
}
