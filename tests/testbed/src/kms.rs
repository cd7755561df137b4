//! A KMS plug-in on Kubernetes' own server code (`k8s.io/kms`), which a test rotates, spoils and stops. `kms/main.go` has it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use crate::{
    assets::{Module, Program},
    error::Error,
    process::Process,
    scratch::Scratch,
};

const PROGRAM: Program = Program { name: "kms", built_as: "kms", package: "." };
const START_DEADLINE: Duration = Duration::from_mins(5);

/// A plug-in: its keys, its socket, and the process while it runs.
pub struct KmsServer {
    program: PathBuf,
    files: Scratch,
    process: Option<Process>,
}

impl KmsServer {
    /// Starts one whose first key is `key`. Two with one `seed` have the same keys. The first call builds the program, which
    /// blocks for seconds.
    ///
    /// # Errors
    /// When Go is missing, the build fails, or the program ends.
    pub fn start(seed: &str, key: &str) -> Result<Self, Error> {
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("kms");
        let module = Module::read(sources, "k8s.io/kms")?;
        let built = module.provide("kms", &[PROGRAM], "main.version", "")?;
        let files = Scratch::create()?;
        let mut server = Self { program: built.join(PROGRAM.name), files, process: None };
        server.write("seed", seed)?;
        server.rotate(key)?;
        server.resume()?;
        Ok(server)
    }

    /// Where it listens, as `--kms-socket` has it.
    pub fn url(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    /// Encrypts with another key from now on; it still decrypts with the former ones.
    pub fn rotate(&self, key: &str) -> Result<(), Error> {
        self.write("key", key)
    }

    /// Has this fault from now on (`kms/main.go` lists them), or none.
    pub fn spoil(&self, fault: Option<&str>) -> Result<(), Error> {
        self.write("fault", fault.unwrap_or_default())
    }

    /// Loses all its keys, and has others by the same names.
    pub fn forget(&self, seed: &str) -> Result<(), Error> {
        self.write("seed", seed)
    }

    /// SIGKILL: nobody listens.
    pub fn stop(&mut self) {
        self.process = None;
    }

    /// Starts it again, and waits until it listens.
    pub fn resume(&mut self) -> Result<(), Error> {
        let (socket, files) = (self.socket(), self.files.path().to_owned());
        let log = files.join("log");
        // One that was killed leaves its socket behind.
        let _ = fs::remove_file(&socket);
        let arguments = |command: &mut Command| {
            command.arg(&socket).arg(&files);
        };
        let mut process = Process::start(&self.program, arguments, log)?;
        let start = Instant::now();
        while !socket.exists() {
            process.check_running()?;
            if start.elapsed() > START_DEADLINE {
                return Err(process.not_ready(START_DEADLINE, "no socket".to_owned()));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        self.process = Some(process);
        Ok(())
    }

    fn socket(&self) -> PathBuf {
        self.files.path().join("kms.sock")
    }

    /// At once: the program reads these files at each request.
    fn write(&self, name: &str, content: &str) -> Result<(), Error> {
        let (fresh, path) = (self.files.path().join("fresh"), self.files.path().join(name));
        fs::write(&fresh, content).map_err(Error::io("write", &fresh))?;
        fs::rename(&fresh, &path).map_err(Error::io("move", path))
    }
}
