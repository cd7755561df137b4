//! `bowline-testbed up`

use std::process::ExitCode;

use bowline_testbed::{
    access::ADMIN,
    cluster::Cluster,
    demo,
    error::Error,
    sandbox::RealmConfig,
    stage::{Binaries, PortalAddress, Profile, Stage},
};

use super::stop::StopSignals;

/// What is started.
#[derive(clap::Args, Debug)]
pub struct Arguments {
    /// Bowline too: operator, portal, and the sandbox as a provider that is set up, as in examples/quickstart/1-platform.yaml
    #[arg(long)]
    portal: bool,
}

impl Arguments {
    /// Keeps everything up until a signal comes.
    pub async fn run(self) -> Result<ExitCode, Error> {
        // A build may take minutes: until it is done, signals end us as they end any program.
        let binaries = self.portal.then(|| Binaries::build(Profile::Dev)).transpose()?;
        Cluster::prepare()?;
        let mut signals = StopSignals::listen()?;
        let running = tokio::select! {
            running = start(binaries.as_ref()) => running?,
            _ = signals.next() => return Ok(ExitCode::FAILURE),
        };
        let cluster = running.cluster();
        println!("export KUBECONFIG={}", cluster.kubeconfig_for(ADMIN)?.display());
        println!("alias kubectl={}", cluster.kubectl_path().display());
        if let Running::Bowline(stage) = &running {
            eprintln!("{}", demo::in_browser(stage)?);
            eprintln!("The sandbox stands for a provider, at {}. Its test users:\n", stage.realm()?.issuer());
            eprintln!("  {}\n", demo::people(stage)?);
        }
        eprintln!("Logs are in {}. Ctrl-C ends it and removes everything.", cluster.directory().display());
        signals.next().await;
        if let Running::Bowline(mut stage) = running {
            demo::clear(&stage).await?;
            stage.end()?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// What is running.
enum Running {
    Cluster(Box<Cluster>),
    Bowline(Box<Stage>),
}

impl Running {
    fn cluster(&self) -> &Cluster {
        match self {
            Self::Cluster(cluster) => cluster,
            Self::Bowline(stage) => stage.cluster(),
        }
    }
}

async fn start(binaries: Option<&Binaries>) -> Result<Running, Error> {
    let cluster = Cluster::from_environment().await?;
    let Some(binaries) = binaries else { return Ok(Running::Cluster(Box::new(cluster))) };
    demo::refuse_taken(&cluster).await?;
    demo::install(&cluster).await?;
    let at = PortalAddress::choose()?;
    let mut stage = demo::start(cluster, binaries, RealmConfig::default(), &at).await?;
    stage.open_portal(&at, binaries).await?;
    stage.cluster().apply_yaml(&demo::platform(&stage.realm()?.issuer())?).await?;
    Ok(Running::Bowline(Box::new(stage)))
}
