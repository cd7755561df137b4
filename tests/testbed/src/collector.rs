//! An OpenTelemetry collector on OpenTelemetry's own code, whose spans a test reads. `collector/main.go` has it.

use std::{fs, path::Path};

use serde_json::Value;

use crate::{
    assets::{Module, Program},
    error::Error,
    process::Process,
    scratch::Scratch,
};

const PROGRAM: Program = Program { name: "collector", built_as: "collector", package: "." };

/// A collector that runs until it is dropped.
pub struct Collector {
    files: Scratch,
    process: Process,
}

impl Collector {
    /// Starts one. The first call builds the program, which blocks for seconds.
    ///
    /// # Errors
    /// When Go is missing, the build fails, or the program cannot be started.
    pub fn start() -> Result<Self, Error> {
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("collector");
        let module = Module::read(sources, "go.opentelemetry.io/proto/otlp")?;
        let built = module.provide("collector", &[PROGRAM], "main.version", "")?;
        let files = Scratch::create()?;
        let log = files.path().join("log");
        let directory = files.path().to_owned();
        let process = Process::start(&built.join(PROGRAM.name), |it| _ = it.arg(directory), log)?;
        Ok(Self { files, process })
    }

    /// Where it listens, once it does.
    ///
    /// # Errors
    /// When it has ended.
    pub fn endpoint(&mut self) -> Result<Option<String>, Error> {
        self.process.check_running()?;
        let address = fs::read_to_string(self.files.path().join("address"));
        Ok(address.ok().map(|address| format!("http://{address}")))
    }

    /// The spans that it has received, each with the resource that it belongs to, as `ResourceSpans` in JSON.
    ///
    /// # Errors
    /// When its file is no JSON.
    pub fn spans(&self) -> Result<Vec<Value>, Error> {
        let path = self.files.path().join("spans");
        let text = fs::read_to_string(&path).unwrap_or_default();
        // The last line may be half there.
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        let parsed = whole.lines().map(serde_json::from_str);
        parsed.collect::<Result<_, _>>().map_err(|source| Error::Parse { path, source })
    }
}
