//! Child processes that write into a log file and do not outlive this process.

use std::{
    fs::{self, File},
    io,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{
        OnceLock,
        mpsc::{Sender, channel},
    },
    thread,
    time::{Duration, Instant},
};

use crate::error::Error;

/// How many bytes of a log an error shows at most.
const TAIL_BYTES: usize = 4_000;

/// A running child process; killed when dropped.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `program` with its output appended to `log`.
    ///
    /// It gets its own process group, so that Ctrl-C reaches it through us and in our order.
    pub fn start(program: &Path, prepare: impl FnOnce(&mut Command), log: PathBuf) -> Result<Self, Error> {
        let name = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let output =
            File::options().create(true).append(true).open(&log).map_err(Error::io("write", &log))?;
        let errors = output.try_clone().map_err(Error::io("write", &log))?;
        let mut command = bound(program);
        prepare(&mut command);
        command.stdin(Stdio::null()).stdout(output).stderr(errors).process_group(0);
        let child = spawn(command).map_err(Error::io("start", program))?;
        Ok(Self { name, child, log })
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Everything it has written.
    pub fn log(&self) -> Result<String, Error> {
        let bytes = fs::read(&self.log).map_err(Error::io("read", &self.log))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// The last lines it has written, for an error message.
    pub fn log_tail(&self) -> String {
        let bytes = fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&bytes[bytes.len().saturating_sub(TAIL_BYTES)..]).into_owned()
    }

    /// An error if it has ended.
    pub fn check_running(&mut self) -> Result<(), Error> {
        match self.child.try_wait().map_err(Error::io("wait for", &self.name))? {
            None => Ok(()),
            Some(status) => {
                Err(Error::EndedEarly { program: self.name.clone(), status, log_tail: self.log_tail() })
            }
        }
    }

    /// The error for a process that runs, but was not ready in time.
    pub fn not_ready(&self, within: Duration, last_seen: String) -> Error {
        Error::NotReady { program: self.name.clone(), within, last_seen, log_tail: self.log_tail() }
    }

    /// SIGKILL, and waits until it is gone.
    pub fn kill(&mut self) -> Result<ExitStatus, Error> {
        self.child.kill().map_err(Error::io("kill", &self.name))?;
        self.child.wait().map_err(Error::io("wait for", &self.name))
    }

    /// SIGTERM, and waits up to `grace` for it to end; `None` if it still runs then.
    pub fn terminate(&mut self, grace: Duration) -> Result<Option<ExitStatus>, Error> {
        signal(self.child.id(), "TERM").map_err(Error::io("terminate", &self.name))?;
        let start = Instant::now();
        loop {
            let ended = self.child.try_wait().map_err(Error::io("wait for", &self.name))?;
            if ended.is_some() || start.elapsed() > grace {
                return Ok(ended);
            }
            thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Err(error) = self.kill() {
            tracing::warn!(program = self.name, %error, "cannot kill");
        }
    }
}

/// Sends a signal by its name without the prefix, such as `TERM`.
pub fn signal(pid: u32, name: &str) -> io::Result<ExitStatus> {
    // The shell's own `kill` is there on every system; the program of that name is not.
    Command::new("sh").args(["-c", r#"kill -s "$1" "$2" 2>/dev/null"#, "sh", name, &pid.to_string()]).status()
}

/// A command whose process is killed by the kernel when we die, even by SIGKILL, where util-linux's `setpriv` is there.
pub fn bound(program: &Path) -> Command {
    static SETPRIV: OnceLock<bool> = OnceLock::new();
    let available = *SETPRIV.get_or_init(|| {
        let probe = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "true"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        probe.is_ok_and(|status| status.success())
    });
    if !available {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL"]).arg(program);
    command
}

type Order = (Command, Sender<io::Result<Child>>);

/// Spawns from a thread that lives as long as this process.
///
/// The kernel sends the parent-death signal when the *thread* that spawned the child ends. Each test has a thread of its
/// own, so a shared cluster spawned from the first test would die with it.
pub fn spawn(command: Command) -> io::Result<Child> {
    static KEEPER: OnceLock<Sender<Order>> = OnceLock::new();
    let keeper = KEEPER.get_or_init(|| {
        let (orders, inbox) = channel::<Order>();
        thread::spawn(move || {
            for (mut command, answer) in inbox {
                // If nobody waits for the answer any more, the child is dropped and ends with this process.
                let _ = answer.send(command.spawn());
            }
        });
        orders
    });
    let (answer, result) = channel();
    keeper.send((command, answer)).map_err(io::Error::other)?;
    result.recv().map_err(io::Error::other)?
}
