//! YAML that mounts a published Secret: ready to paste.

pub(crate) fn environment(secret: &str) -> String {
    format!("envFrom:\n  - secretRef:\n      name: {secret}\n")
}

/// Files are updated with each refresh; environment variables are not.
pub(crate) fn files(secret: &str) -> String {
    format!(
        "volumes:\n  - name: connection\n    secret:\n      secretName: {secret}\ncontainers:\n  - name: app\n    volumeMounts:\n      - name: connection\n        mountPath: /var/run/connection\n        readOnly: true\n"
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn snippets_are_yaml_and_name_the_secret() {
        for text in [environment("team-a.github"), files("team-a.github")] {
            let value: serde_json::Value = serde_yaml::from_str(&text).unwrap();
            assert!(value.to_string().contains("team-a.github"));
        }
    }
}
