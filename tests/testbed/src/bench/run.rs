//! The run, from a fresh control plane to a report.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use super::{
    Options, Report, TOKEN_SECONDS,
    cost::{self, Names},
    fleet::{Fleet, Habit},
    idle, machine,
    machine::Usage,
    raw,
    reader::{Reader, Samples},
    report::{Machine, Measured},
    schedule::Calls,
};
use crate::{
    access::ADMIN,
    audit::Mark,
    cluster::Cluster,
    control_plane,
    error::Error,
    sandbox::{GrantType, RealmConfig, Request},
    stage::{Binaries, OPERATOR_USER, Stage},
    wait::wait_for,
};

/// Half a second for each connection of the largest fleet that we measured.
const ACTIVE_WITHIN: Duration = Duration::from_mins(5);
const FIRST_REFRESH_WITHIN: Duration = Duration::from_secs(2 * TOKEN_SECONDS);

/// Measures on a separate control plane: we cannot read the audit log of another one.
pub async fn run(options: &Options, binaries: &Binaries) -> Result<Report, Error> {
    let load_before = machine::load();
    let mut stage = set_up(binaries, TOKEN_SECONDS).await?;
    say(&format!("making and authorizing {} connections", options.connections));
    let fleet = Fleet::create(&stage, options.connections).await?;
    let reader = Reader::start(stage.cluster().client_for(ADMIN).await?);
    let (window, samples) = measure(options, &stage, &fleet, &reader).await.inspect_err(|_| {
        let log = stage.operator().logs().unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        eprintln!("# the operator's last lines\n{}", lines[lines.len().saturating_sub(40)..].join("\n"));
    })?;
    say("suspending all, and watching what is written in the minute after");
    let names = Names::of(&fleet);
    let idle = idle::requests(&stage, &fleet, &reader).await?;
    stage.end()?;
    say("measuring the raw limit of the same API server");
    let raw = raw::measure(&stage, &fleet).await?;
    let measured = Measured {
        connections: fleet.members.len(),
        profile: options.profile,
        seconds: window.seconds(),
        strict: window.calls(&fleet, |habit| habit == Habit::SingleUse),
        lenient: window.calls(&fleet, |habit| habit != Habit::SingleUse),
        lateness_ms: window.lateness(&fleet, &reader),
        spent_twice: fleet.realms().map(|(_, realm)| realm.ledger().spent_twice().len()).sum(),
        samples,
        broken_watches: reader.broken(),
        costs: cost::count(&window.requests, &names),
        idle_writes: idle.clone().writes().that(|request| request.resource != "leases").count(),
        lease_writes: idle.clone().writes().on("leases").count(),
        idle_reads: idle.count() - idle.writes().count(),
        operator: window.operator,
        others: window.others,
        raw,
        machine: Machine::here(load_before),
    };
    Ok(Report::new(measured))
}

/// A fresh control plane with the operator; access tokens live this many seconds.
pub(super) async fn set_up(binaries: &Binaries, lifetime: u64) -> Result<Stage, Error> {
    say("booting a control plane, installing deploy/");
    let cluster = Cluster::fresh(control_plane::Options::default()).await?;
    Stage::install(&cluster).await?;
    let realm = RealmConfig { access_lifetime_seconds: lifetime, ..RealmConfig::default() };
    let sandbox = Stage::sandbox(realm).await?;
    Stage::start(cluster, sandbox, binaries, &[]).await
}

/// The measured time: begins when every connection was refreshed once after its setup.
struct Window {
    from_ms: u64,
    to_ms: u64,
    requests: crate::audit::Requests,
    operator: Usage,
    others: Vec<(&'static str, Duration)>,
}

async fn measure(
    options: &Options,
    stage: &Stage,
    fleet: &Fleet,
    reader: &Reader,
) -> Result<(Window, Samples), Error> {
    wait_for("all connections are active", ACTIVE_WITHIN, async || {
        let active = reader.in_phase("Active");
        if active == fleet.members.len() { Ok(()) } else { Err(format!("{:?}", reader.phases())) }
    })
    .await?;
    say("all are active; the reader samples from now on, until all were refreshed once");
    let stop = CancellationToken::new();
    let (window, samples) = tokio::join!(
        async {
            let window = window(options, stage, fleet).await;
            stop.cancel();
            window
        },
        reader.sample(fleet, stop.clone())
    );
    Ok((window?, samples))
}

async fn window(options: &Options, stage: &Stage, fleet: &Fleet) -> Result<Window, Error> {
    wait_for("every connection was refreshed once", FIRST_REFRESH_WITHIN, async || {
        let refreshed: usize =
            fleet.realms().map(|(_, realm)| grants_refreshed(&realm.ledger().requests)).sum();
        // Copying a ledger takes time.
        tokio::time::sleep(Duration::from_millis(500)).await;
        if refreshed == fleet.members.len() { Ok(()) } else { Err(format!("{refreshed} were")) }
    })
    .await?;
    say(&format!("measuring for {} s", options.duration.as_secs()));
    let (from_ms, mark, before) = snapshot(stage)?;
    tokio::time::sleep(options.duration).await;
    let (to_ms, _, after) = snapshot(stage)?;
    let requests = stage.cluster().audit()?.requests_since(mark)?.by(OPERATOR_USER);
    let used = |index: usize| after[index].1.cpu.saturating_sub(before[index].1.cpu);
    Ok(Window {
        from_ms,
        to_ms,
        requests,
        operator: Usage { cpu: used(0), ..after[0].1 },
        others: (1..after.len()).map(|index| (after[index].0, used(index))).collect(),
    })
}

type Snapshot = (u64, Mark, Vec<(&'static str, Usage)>);

fn snapshot(stage: &Stage) -> Result<Snapshot, Error> {
    let names = ["controller manager", "API server", "etcd"];
    let mut processes = vec![("operator", stage.operator().id())];
    processes.extend(names.into_iter().zip(stage.cluster().process_ids()));
    processes.push(("testbed: sandbox and reader", std::process::id()));
    let used: Result<Vec<_>, Error> =
        processes.into_iter().map(|(name, pid)| Ok((name, machine::usage(pid)?))).collect();
    let now = u64::try_from(Timestamp::now().as_millisecond()).unwrap_or_default();
    Ok((now, stage.cluster().audit()?.mark()?, used?))
}

fn grants_refreshed(requests: &[Request]) -> usize {
    let grants: std::collections::BTreeSet<_> =
        requests.iter().filter(|request| is_refresh(request)).map(|request| &request.grant).collect();
    grants.len()
}

fn is_refresh(request: &Request) -> bool {
    request.grant_type == Some(GrantType::RefreshToken)
}

impl Window {
    fn seconds(&self) -> f64 {
        Duration::from_millis(self.to_ms - self.from_ms).as_secs_f64()
    }

    fn calls(&self, fleet: &Fleet, wanted: impl Fn(Habit) -> bool) -> Calls {
        let mut calls = Calls::default();
        for (habit, realm) in fleet.realms().filter(|(habit, _)| wanted(*habit)) {
            let ledger = realm.ledger();
            for member in fleet.members.iter().filter(|member| member.habit == habit) {
                calls.add(&ledger.refresh_attempts_of(&member.grant), self.from_ms, self.to_ms);
            }
        }
        calls
    }

    /// From the time that a connection's status named to the request's arrival at the provider, in milliseconds.
    fn lateness(&self, fleet: &Fleet, reader: &Reader) -> Vec<i64> {
        let mut late = Vec::new();
        for (habit, realm) in fleet.realms() {
            let ledger = realm.ledger();
            for member in fleet.members.iter().filter(|member| member.habit == habit) {
                for call in ledger.refresh_attempts_of(&member.grant) {
                    let Ok(at) = i64::try_from(call.at_ms).map(Timestamp::from_millisecond) else { continue };
                    let planned =
                        at.ok().and_then(|at| reader.planned_before(&member.namespace, &member.name, at));
                    if let (true, Some(planned)) = ((self.from_ms..self.to_ms).contains(&call.at_ms), planned)
                    {
                        late.push(i64::try_from(call.at_ms).unwrap_or(i64::MAX) - planned.as_millisecond());
                    }
                }
            }
        }
        late
    }
}

pub(super) fn say(what: &str) {
    eprintln!("{what} …");
}
