//! What you can try after the demo, while everything still runs.

use super::{CONNECTION, OWNER, SECOND, TEAM};
use crate::{
    access::ADMIN,
    error::Error,
    stage::{Binaries, Stage},
};

/// Complete commands to copy.
// long: one text, to be read as a whole.
pub fn hints(stage: &Stage, binaries: &Binaries) -> Result<String, Error> {
    let cluster = stage.cluster();
    let admin = cluster.kubeconfig_for(ADMIN)?;
    let alice = cluster.kubeconfig_for(OWNER)?;
    let [tools, plugin] = [cluster.kubectl_path(), binaries.plugin.as_path()]
        .map(|program| program.parent().map(|path| path.display().to_string()).unwrap_or_default());
    let issuer = stage.realm()?.issuer();
    Ok(format!(
        "
It all still runs. In another terminal first:

  export PATH={tools}:$PATH
  export PATH={plugin}:$PATH

{browser}
As administrator:

  export KUBECONFIG={admin}
  kubectl get ic -A
  kubectl describe ic {SECOND} -n {TEAM}
  kubectl bowline list -A
  kubectl bowline providers

Connect {CONNECTION} again, as {OWNER}: in the browser, or so. The
sandbox stands for a provider. Its test users, to choose from:

  {people}

  export KUBECONFIG={alice}
  kubectl patch ic {CONNECTION} -n {TEAM} --type merge \\
    -p '{{\"spec\":{{\"disconnect\":false}}}}'
  kubectl bowline connect {CONNECTION} -n {TEAM} --device
  kubectl get secret {CONNECTION} -n {TEAM} --watch

What the provider saw:

  curl -s {issuer}/admin/realms/default/ledger

Ctrl-C ends it and removes everything.",
        browser = in_browser(stage)?,
        people = people(stage)?,
        admin = admin.display(),
        alice = alice.display(),
    ))
}

/// The portal's address and how to sign in.
pub fn in_browser(stage: &Stage) -> Result<String, Error> {
    let Some(portal) = stage.portal() else { return Ok(String::new()) };
    let page = portal.page("/");
    if !portal.takes_tokens() {
        return Ok(format!(
            "The portal at {page} lets nobody in but the demo:\nplain users of this cluster have no tokens."
        ));
    }
    let alice = stage.cluster().kubeconfig_for(OWNER)?;
    Ok(format!(
        "In a browser: {page}
To sign in there as {OWNER}, paste the token that this prints:

  kubectl config view --raw -o jsonpath='{{.users[0].user.token}}' \\
    --kubeconfig {alice}
",
        alice = alice.display(),
    ))
}

/// The sandbox's test users.
pub fn people(stage: &Stage) -> Result<String, Error> {
    let accounts = stage.realm()?.config().accounts;
    let names = accounts.iter().map(|account| format!("{} ({})", account.sub, account.email));
    Ok(names.collect::<Vec<_>>().join(", "))
}
