//! The limit of the same API server: only the operator's writes for one strict refresh, repeated without any logic.
//!
//! Real objects of this run are the templates, so the sizes are right. The operator's own account writes them, so
//! authorization and admission are the same. The operator has ended by then.

use std::time::{Duration, Instant};

use futures::future::try_join_all;
use serde_json::{Value, json};

use super::fleet::{Fleet, Habit};
use crate::{
    access::{self, ADMIN},
    error::Error,
    objects::{Objects, path},
    stage::{NAMESPACE, SERVICE_ACCOUNT, Stage},
};

/// How many cycles run at once.
pub const IN_FLIGHT: usize = 16;
/// For how long.
pub const DURATION: Duration = Duration::from_secs(15);
/// Two conditional updates of the record, an apply of the Secret, an apply of the status.
pub const WRITES_PER_CYCLE: u32 = 4;

const IN: &str = "bench-0";

/// The result.
#[derive(Debug, Clone, Copy)]
pub struct Raw {
    /// Whole cycles.
    pub cycles: u32,
    /// The sum of their durations.
    pub took: Duration,
}

impl Raw {
    /// Cycles a second.
    pub fn cycles_per_second(&self) -> f64 {
        f64::from(self.cycles) / self.took.as_secs_f64()
    }

    /// Requests a second.
    pub fn requests_per_second(&self) -> f64 {
        self.cycles_per_second() * f64::from(WRITES_PER_CYCLE)
    }
}

/// Measures it; `None` if the fleet has no strict connection to copy.
pub async fn measure(stage: &Stage, fleet: &Fleet) -> Result<Option<Raw>, Error> {
    let Some(model) = fleet.members.iter().find(|member| member.habit == Habit::SingleUse) else {
        return Ok(None);
    };
    let kubeconfig = stage.cluster().service_account_kubeconfig(NAMESPACE, SERVICE_ACCOUNT).await?;
    let operator = Objects::new(access::client(&kubeconfig).await?);
    let admin = stage.objects_as(ADMIN).await?;
    let models = Models {
        connection: there(&admin, &path::connection(&model.namespace, &model.name)).await?,
        secret: there(&admin, &path::secret(&model.namespace, &model.name)).await?,
        record: there(&admin, &path::secret(NAMESPACE, &format!("record-{}", model.uid))).await?,
    };
    let made = (0..IN_FLIGHT).map(|number| Set::create(&admin, &operator, &models, number));
    let sets = try_join_all(made).await?;
    let start = Instant::now();
    let counted = try_join_all(sets.into_iter().map(|set| set.cycle(&operator, start))).await?;
    Ok(Some(Raw { cycles: counted.iter().sum(), took: start.elapsed() }))
}

struct Models {
    connection: Value,
    secret: Value,
    record: Value,
}

/// One connection's objects.
struct Set {
    name: String,
    record: Value,
    secret: Value,
    status: Value,
}

impl Set {
    async fn create(
        admin: &Objects,
        operator: &Objects,
        models: &Models,
        number: usize,
    ) -> Result<Self, Error> {
        let name = format!("raw-{number}");
        let connection = json!({"apiVersion": "bowline.dev/v1alpha1", "kind": "IntegrationConnection",
            "metadata": {"name": name, "namespace": IN}, "spec": models.connection["spec"]});
        let connection = admin.create(&path::connections(IN), &connection).await?;
        let record = copy(&models.record, &format!("record-{name}"), NAMESPACE);
        let record = operator.create(&path::secrets(NAMESPACE), &record).await?;
        let mut secret = copy(&models.secret, &name, IN);
        secret["metadata"]["annotations"] = models.secret["metadata"]["annotations"].clone();
        secret["metadata"]["ownerReferences"] = json!([{"apiVersion": "bowline.dev/v1alpha1",
            "kind": "IntegrationConnection", "name": name, "uid": connection["metadata"]["uid"],
            "controller": true}]);
        let made = operator.create(&path::secrets(IN), &secret).await?;
        secret["metadata"]["uid"] = made["metadata"]["uid"].clone();
        secret["metadata"]["resourceVersion"] = made["metadata"]["resourceVersion"].clone();
        let status = json!({"apiVersion": "bowline.dev/v1alpha1", "kind": "IntegrationConnection",
            "status": models.connection["status"]});
        Ok(Self { name, record, secret, status })
    }

    /// Writes until the time is over; returns the number of whole cycles.
    async fn cycle(mut self, operator: &Objects, start: Instant) -> Result<u32, Error> {
        let record = path::secret(NAMESPACE, &format!("record-{}", self.name));
        let secret = path::secret(IN, &self.name);
        let status = format!("{}/status", path::connection(IN, &self.name));
        let quiet = operator.metadata_only();
        let mut cycles = 0;
        while start.elapsed() < DURATION {
            for step in ["intent", "commit"] {
                self.record["metadata"]["annotations"] = json!({"bench": format!("{step} {cycles}")});
                self.record = operator.replace(&record, &self.record).await?;
            }
            self.secret["metadata"]["annotations"]["bowline.dev/revision"] = json!(cycles.to_string());
            let written = quiet.apply(&secret, "bowline", &self.secret).await?;
            self.secret["metadata"]["resourceVersion"] = written["metadata"]["resourceVersion"].clone();
            self.status["status"]["grant"]["revision"] = json!(cycles);
            operator.apply(&status, "bowline/status", &self.status).await?;
            cycles += 1;
        }
        Ok(cycles)
    }
}

/// The same Secret under another name, without what the API server adds.
fn copy(model: &Value, name: &str, namespace: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Secret", "type": model["type"], "data": model["data"],
        "metadata": {"name": name, "namespace": namespace, "labels": model["metadata"]["labels"]}})
}

async fn there(objects: &Objects, path: &str) -> Result<Value, Error> {
    let gone = || Error::Unexpected { what: path.to_owned(), seen: "not there".to_owned() };
    objects.get(path).await?.ok_or_else(gone)
}
