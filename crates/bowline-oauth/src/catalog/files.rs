//! The files of the catalogue, compiled in.

/// The parent of every entry.
pub(super) const DEFAULTS: &str = include_str!("defaults.yaml");

/// Name and text of each file in `providers/`, in the order of their names.
pub(super) const FILES: &[(&str, &str)] = &[
    ("atlassian", include_str!("providers/atlassian.yaml")),
    ("discord", include_str!("providers/discord.yaml")),
    ("dropbox", include_str!("providers/dropbox.yaml")),
    ("entra-app", include_str!("providers/entra-app.yaml")),
    ("figma", include_str!("providers/figma.yaml")),
    ("generic-api-key", include_str!("providers/generic-api-key.yaml")),
    ("generic-basic-auth", include_str!("providers/generic-basic-auth.yaml")),
    ("generic-issued-key", include_str!("providers/generic-issued-key.yaml")),
    ("generic-oauth2-client-credentials", include_str!("providers/generic-oauth2-client-credentials.yaml")),
    ("generic-oauth2-jwt-bearer", include_str!("providers/generic-oauth2-jwt-bearer.yaml")),
    ("generic-oauth2-refresh", include_str!("providers/generic-oauth2-refresh.yaml")),
    ("generic-oauth2-token-exchange", include_str!("providers/generic-oauth2-token-exchange.yaml")),
    ("generic-oauth2", include_str!("providers/generic-oauth2.yaml")),
    ("github-app-installation", include_str!("providers/github-app-installation.yaml")),
    ("github-app-user", include_str!("providers/github-app-user.yaml")),
    ("github-pat", include_str!("providers/github-pat.yaml")),
    ("github", include_str!("providers/github.yaml")),
    ("gitlab", include_str!("providers/gitlab.yaml")),
    ("gmail", include_str!("providers/gmail.yaml")),
    ("google-calendar", include_str!("providers/google-calendar.yaml")),
    ("google-service-account", include_str!("providers/google-service-account.yaml")),
    ("google", include_str!("providers/google.yaml")),
    ("hubspot", include_str!("providers/hubspot.yaml")),
    ("linear-key", include_str!("providers/linear-key.yaml")),
    ("linear", include_str!("providers/linear.yaml")),
    ("mcp", include_str!("providers/mcp.yaml")),
    ("microsoft", include_str!("providers/microsoft.yaml")),
    ("notion-key", include_str!("providers/notion-key.yaml")),
    ("notion", include_str!("providers/notion.yaml")),
    ("openai", include_str!("providers/openai.yaml")),
    ("outlook", include_str!("providers/outlook.yaml")),
    ("plaid", include_str!("providers/plaid.yaml")),
    ("ponto", include_str!("providers/ponto.yaml")),
    ("quickbooks", include_str!("providers/quickbooks.yaml")),
    ("salt-edge", include_str!("providers/salt-edge.yaml")),
    ("salesforce", include_str!("providers/salesforce.yaml")),
    ("sandbox-grace", include_str!("providers/sandbox-grace.yaml")),
    ("sandbox-none", include_str!("providers/sandbox-none.yaml")),
    ("sandbox-optional", include_str!("providers/sandbox-optional.yaml")),
    ("sandbox-sliding", include_str!("providers/sandbox-sliding.yaml")),
    ("sandbox-token", include_str!("providers/sandbox-token.yaml")),
    ("sandbox", include_str!("providers/sandbox.yaml")),
    ("sentry", include_str!("providers/sentry.yaml")),
    ("slack", include_str!("providers/slack.yaml")),
    ("stripe-connect", include_str!("providers/stripe-connect.yaml")),
    ("stripe", include_str!("providers/stripe.yaml")),
    ("tink", include_str!("providers/tink.yaml")),
    ("trello", include_str!("providers/trello.yaml")),
    ("zapier-key", include_str!("providers/zapier-key.yaml")),
    ("zapier", include_str!("providers/zapier.yaml")),
    ("zoho", include_str!("providers/zoho.yaml")),
];

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_the_folder_is_compiled_in() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/catalog/providers");
        let mut on_disk: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|file| file.unwrap().file_name().into_string().unwrap())
            .collect();
        on_disk.sort();
        let compiled_in: Vec<String> = FILES.iter().map(|(name, _)| format!("{name}.yaml")).collect();
        let mut sorted = compiled_in.clone();
        sorted.sort();
        assert_eq!(sorted, on_disk);
    }
}
