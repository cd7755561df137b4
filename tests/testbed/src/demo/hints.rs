//! What to try once the demo has been told and everything still runs.

use super::{CONNECTION, OWNER, TEAM};
use crate::{
    access::ADMIN,
    error::Error,
    stage::{Binaries, Stage},
};

/// Commands to copy, with everything they need.
pub fn hints(stage: &Stage, binaries: &Binaries) -> Result<String, Error> {
    let cluster = stage.cluster();
    let admin = cluster.kubeconfig_for(ADMIN)?;
    let alice = cluster.kubeconfig_for(OWNER)?;
    let directories = [cluster.kubectl_path(), binaries.plugin.as_path()]
        .map(|program| program.parent().map(|path| path.display().to_string()).unwrap_or_default());
    let issuer = format!("http://{}", stage.sandbox_server().address());
    Ok(format!(
        "
It all still runs. In another terminal:

  export PATH={}:$PATH
  export KUBECONFIG={}
  kubectl get ic -A
  kubectl describe ic {CONNECTION} -n {TEAM}
  kubectl bowline list -A

Connect again, as {OWNER}:

  export KUBECONFIG={}
  kubectl patch ic {CONNECTION} -n {TEAM} --type merge -p '{{\"spec\":{{\"disconnect\":false}}}}'
  curl -s {issuer}/admin/realms/default/grants -H 'content-type: application/json' -d '{{\"account\":\"{OWNER}\"}}' |
    kubectl bowline import {CONNECTION} -n {TEAM}
  kubectl bowline describe {CONNECTION} -n {TEAM}
  kubectl get secret {CONNECTION} -n {TEAM} --watch

What the provider saw:

  curl -s {issuer}/admin/realms/default/ledger

Ctrl-C ends it and removes everything.",
        directories.join(":"),
        admin.display(),
        alice.display(),
    ))
}
