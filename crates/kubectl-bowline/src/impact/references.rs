//! Which Secrets a pod names, and how. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use k8s_openapi::api::core::v1::{EnvVar, PodSpec, Volume, VolumeMount};
use serde::{Serialize, Serializer};

/// How a pod gets a Secret.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Via {
    /// Containers that read keys of it into variables.
    pub(crate) env: BTreeSet<String>,
    /// Containers that read all of it into variables.
    pub(crate) env_from: BTreeSet<String>,
    /// Containers that mount a part of it by `subPath`.
    pub(crate) sub_path: BTreeSet<String>,
    pub(crate) volume: bool,
}

impl Via {
    /// Containers that keep what they had when they started: variables and mounts by `subPath` never follow.
    pub(crate) fn fixed(&self) -> BTreeSet<&str> {
        [&self.env, &self.env_from, &self.sub_path].into_iter().flatten().map(String::as_str).collect()
    }

    fn ways(&self) -> Vec<&'static str> {
        let ways = [
            (!self.env.is_empty(), "env"),
            (!self.env_from.is_empty(), "envFrom"),
            (!self.sub_path.is_empty(), "subPath"),
            (self.volume, "volume"),
        ];
        ways.into_iter().filter(|(is, _)| *is).map(|(_, way)| way).collect()
    }
}

impl Serialize for Via {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.ways().serialize(serializer)
    }
}

impl fmt::Display for Via {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.ways().join(", "))
    }
}

/// The Secrets that a pod names in env, envFrom and volumes.
pub(crate) fn references(pod: &PodSpec) -> BTreeMap<String, Via> {
    let mut found: BTreeMap<String, Via> = BTreeMap::new();
    let usual = pod.containers.iter().chain(pod.init_containers.iter().flatten());
    let usual = usual.map(|it| (&it.name, &it.env, &it.env_from, &it.volume_mounts));
    let added = pod.ephemeral_containers.iter().flatten();
    let added = added.map(|it| (&it.name, &it.env, &it.env_from, &it.volume_mounts));
    for (container, env, env_from, mounts) in usual.chain(added) {
        let in_variable = |it: &EnvVar| Some(it.value_from.as_ref()?.secret_key_ref.as_ref()?.name.clone());
        for secret in env.iter().flatten().filter_map(in_variable) {
            found.entry(secret).or_default().env.insert(container.clone());
        }
        for secret in env_from.iter().flatten().filter_map(|it| it.secret_ref.as_ref()) {
            found.entry(secret.name.clone()).or_default().env_from.insert(container.clone());
        }
        for mount in mounts.iter().flatten().filter(|mount| is_part(mount)) {
            let volumes = pod.volumes.iter().flatten().filter(|volume| volume.name == mount.name);
            for secret in volumes.flat_map(in_volume) {
                found.entry(secret).or_default().sub_path.insert(container.clone());
            }
        }
    }
    for secret in pod.volumes.iter().flatten().flat_map(in_volume) {
        found.entry(secret).or_default().volume = true;
    }
    found.remove("");
    found
}

fn is_part(mount: &VolumeMount) -> bool {
    [&mount.sub_path, &mount.sub_path_expr].into_iter().flatten().any(|path| !path.is_empty())
}

fn in_volume(volume: &Volume) -> impl Iterator<Item = String> {
    let own = volume.secret.as_ref().and_then(|secret| secret.secret_name.clone());
    let sources = volume.projected.iter().flat_map(|projected| projected.sources.iter().flatten());
    own.into_iter().chain(sources.filter_map(|source| Some(source.secret.as_ref()?.name.clone())))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_way_to_a_secret_is_found() {
        let key = |name| json!([{"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": name, "key": "access_token"}}}]);
        let pod: PodSpec = serde_json::from_value(json!({
            "containers": [
                {"name": "app", "env": key("a"), "envFrom": [{"secretRef": {"name": "b"}}, {"configMapRef": {"name": "no"}}]},
                {"name": "side", "env": [{"name": "PLAIN", "value": "a"}], "volumeMounts": [
                    {"name": "p", "mountPath": "/t", "subPath": "access_token"},
                    {"name": "v", "mountPath": "/v", "subPath": ""}, {"name": "e", "mountPath": "/e", "subPath": "x"}]},
            ],
            "initContainers": [{"name": "init", "env": key("a")}],
            "ephemeralContainers": [{"name": "debug", "env": key("e")}],
            "volumes": [
                {"name": "v", "secret": {"secretName": "b"}},
                {"name": "p", "projected": {"sources": [{"secret": {"name": "c"}}, {"configMap": {"name": "no"}}]}},
                {"name": "e", "emptyDir": {}},
            ],
        }))
        .unwrap();
        let told: Vec<_> = references(&pod).iter().map(|(name, via)| format!("{name}: {via}")).collect();
        assert_eq!(told, ["a: env", "b: envFrom, volume", "c: subPath, volume", "e: env"]);
        assert_eq!(references(&pod)["a"].fixed(), ["app", "init"].into());
        assert_eq!(references(&pod)["c"].fixed(), ["side"].into());
    }
}
