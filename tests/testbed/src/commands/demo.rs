//! `bowline-testbed demo`

use std::{env, io::IsTerminal as _, process::ExitCode};

use bowline_testbed::{
    cluster::Cluster,
    demo::{self, Board},
    error::Error,
    stage::{Binaries, Profile, Stage},
};

use super::stop::StopSignals;

/// Ends 0 only if every step was seen. On a terminal everything then stays up until Ctrl-C.
pub async fn demo() -> Result<ExitCode, Error> {
    // Builds may take minutes: until they are done, signals end us as they end any program.
    let binaries = Binaries::build(Profile::Dev)?;
    Cluster::prepare()?;
    let live = std::io::stdout().is_terminal() && !is_ci();
    let mut signals = StopSignals::listen()?;
    let mut board = Board::new(live);
    let mut stage = tokio::select! {
        stage = demo::set(&mut board, &binaries) => match stage {
            Ok(stage) => stage,
            Err(error) => {
                demo::explain(&error, None).await;
                return Ok(ExitCode::FAILURE);
            }
        },
        _ = signals.next() => return Ok(ExitCode::FAILURE),
    };
    let code = tokio::select! {
        told = tell(&mut board, &mut stage, &binaries, live) => told?,
        _ = signals.next() => ExitCode::FAILURE,
    };
    if live && code == ExitCode::SUCCESS {
        println!("{}", demo::hints(&stage, &binaries)?);
        signals.next().await;
    }
    demo::clear(&stage).await?;
    stage.end()?;
    Ok(code)
}

async fn tell(
    board: &mut Board,
    stage: &mut Stage,
    binaries: &Binaries,
    live: bool,
) -> Result<ExitCode, Error> {
    if let Err(error) = demo::tell(board, stage, binaries).await {
        demo::explain(&error, Some(stage)).await;
        return Ok(ExitCode::FAILURE);
    }
    if !live {
        println!("\n{}", board.table());
    }
    Ok(ExitCode::SUCCESS)
}

/// As CI systems set it: `CI=true`.
fn is_ci() -> bool {
    env::var("CI").is_ok_and(|value| !value.is_empty() && value != "false")
}
