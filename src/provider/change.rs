//! Which changes of a resolution matter to connections. Pure.

use std::sync::Arc;

use bowline_api::IntegrationProviderSpec;
use bowline_oauth::app::App;
use secrecy::{ExposeSecret, SecretString};

use crate::world::{ReadyProvider, Resolution};

/// Whether two resolutions mean the same to connections. The object's status and metadata do not count.
pub(super) fn same(last: &Resolution, next: &Resolution) -> bool {
    match (last, next) {
        (Err(last), Err(next)) => last == next,
        (Ok(last), Ok(next)) => {
            let ReadyProvider { object, app, metadata, http, plain: _ } = next;
            last.object.spec == object.spec
                && same_app(last.app.as_deref(), app.as_deref())
                && last.metadata == *metadata
                && last.http.network() == http.network()
        }
        _ => false,
    }
}

/// Whether the registration is a new one: a rejection of the former one does not apply to it.
pub(super) fn app_is_new(last: Option<&Resolution>, next: &Resolution) -> bool {
    let app = app_of(Some(next));
    app.is_some() && !same_app(app_of(last).map(AsRef::as_ref), app.map(AsRef::as_ref))
}

/// Whether the object says something else about the third party: what was refused before says nothing about that.
pub(super) fn is_rewritten(last: &Resolution, next: &Resolution) -> bool {
    let (Ok(last), Ok(next)) = (last, next) else { return false };
    let said = |ready: &ReadyProvider| {
        let IntegrationProviderSpec { parameters, endpoints, scopes, overlay, network, .. } =
            ready.object.spec.clone();
        (parameters, endpoints, scopes, overlay, network)
    };
    said(last) != said(next)
}

/// The registration to use: the present one if only its Secret's version differs, so that what was noted about that version
/// stays valid.
pub(super) fn app_to_use(last: Option<&Resolution>, app: Option<Arc<App>>) -> Option<Arc<App>> {
    let last = app_of(last);
    if same_app(last.map(AsRef::as_ref), app.as_deref()) { last.cloned() } else { app }
}

fn app_of(resolution: Option<&Resolution>) -> Option<&Arc<App>> {
    resolution?.as_ref().ok()?.app.as_ref()
}

fn same_app(one: Option<&App>, other: Option<&App>) -> bool {
    let (Some(one), Some(other)) = (one, other) else { return one.is_none() && other.is_none() };
    // If only the metadata of its Secret changed, it is still the same registration.
    let App {
        client_id,
        client_secret,
        client_secret_previous,
        private_key,
        certificate,
        purpose,
        version: _,
    } = one;
    *client_id == other.client_id
        && *purpose == other.purpose
        && *private_key == other.private_key
        && *certificate == other.certificate
        && same_text(client_secret.as_ref(), other.client_secret.as_ref())
        && same_text(client_secret_previous.as_ref(), other.client_secret_previous.as_ref())
}

fn same_text(one: Option<&SecretString>, other: Option<&SecretString>) -> bool {
    one.map(ExposeSecret::expose_secret) == other.map(ExposeSecret::expose_secret)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use bowline_api::IntegrationProvider;
    use bowline_api::reason::Reason;
    use bowline_oauth::app::AppPurpose;
    use bowline_oauth::catalog::{DiscoveredEndpoints, MetadataSource};
    use serde_json::{Value, json};

    use super::*;
    use crate::discovered::IssuerMetadata;
    use crate::grant::target::tests::Offline;
    use crate::world::ProviderRefusal;

    fn ready(spec: &Value, app: Option<(&str, &str)>, issuer: Option<&str>) -> ReadyProvider {
        ready_of("s/1", spec, app, issuer)
    }

    fn ready_of(
        version: &str,
        spec: &Value,
        app: Option<(&str, &str)>,
        issuer: Option<&str>,
    ) -> ReadyProvider {
        let object = IntegrationProvider::new("p", serde_json::from_value(spec.clone()).unwrap());
        let app = app.map(|(id, secret)| {
            let client_secret = Some(SecretString::from(secret));
            Arc::new(App {
                client_id: id.to_owned(),
                client_secret,
                client_secret_previous: None,
                private_key: None,
                certificate: None,
                purpose: AppPurpose::default(),
                version: Some(version.to_owned()),
            })
        });
        let metadata = issuer.map(|issuer| {
            let endpoints = DiscoveredEndpoints::default();
            let source = MetadataSource::Issuer(issuer.parse().unwrap());
            Arc::new(IssuerMetadata { source, endpoints })
        });
        ReadyProvider::new(Arc::new(object), app, metadata, Arc::new(Offline::default()))
    }

    fn not_ready(message: &str) -> Resolution {
        Err(ProviderRefusal { reason: Reason::UnknownType, message: message.to_owned() })
    }

    #[test]
    fn connections_are_told_of_what_concerns_them() {
        let spec = json!({"type": "github"});
        let base = || Ok(ready(&spec, Some(("id", "a")), None));
        let rows = [
            ("nothing", base(), true, false),
            (
                "contact",
                Ok(ready(&json!({"type": "github", "contact": "x"}), Some(("id", "a")), None)),
                false,
                false,
            ),
            ("secret", Ok(ready(&spec, Some(("id", "b")), None)), false, true),
            ("client id", Ok(ready(&spec, Some(("other", "a")), None)), false, true),
            ("app gone", Ok(ready(&spec, None, None)), false, false),
            ("metadata", Ok(ready(&spec, Some(("id", "a")), Some("https://id.example.com"))), false, false),
            ("readiness", not_ready("No."), false, false),
        ];
        for (what, next, same_as_before, new_app) in rows {
            assert_eq!(same(&base(), &next), same_as_before, "{what}");
            assert_eq!(app_is_new(Some(&base()), &next), new_app, "{what}");
        }
        assert!(
            !same(&not_ready("No."), &not_ready("Still no.")) && same(&not_ready("No."), &not_ready("No."))
        );
        assert!(app_is_new(None, &base()) && app_is_new(Some(&not_ready("No.")), &base()));
    }

    #[test]
    fn a_secret_that_was_only_touched_keeps_the_version_it_is_known_by() {
        let spec = json!({"type": "github"});
        let app_of = |version, secret| ready_of(version, &spec, Some(("id", secret)), None).app;
        let last = Ok(ready_of("s/1", &spec, Some(("id", "a")), None));
        let version = |last, app| app_to_use(last, app).and_then(|app| app.version.clone());
        assert_eq!(version(Some(&last), app_of("s/2", "a")).as_deref(), Some("s/1"));
        assert_eq!(version(Some(&last), app_of("s/2", "b")).as_deref(), Some("s/2"));
        assert_eq!(version(None, app_of("s/2", "a")).as_deref(), Some("s/2"));
        assert_eq!(version(Some(&last), None), None);
    }
}
