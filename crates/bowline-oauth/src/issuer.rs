//! Comparing issuer identifiers (RFC 8414 §3.3, RFC 9207 §2.4).

use url::Url;

/// The placeholder for the tenant in Microsoft's metadata.
const PLACEHOLDER: &str = "{tenantid}";

/// Microsoft's tenants that stand for many, and so are never a real issuer.
const SHARED_TENANTS: [&str; 2] = ["common", "organizations"];

/// Issuer identifiers as people write them: without the slash that [`Url`] adds to a bare host.
pub(crate) fn text(issuer: &Url) -> &str {
    let text = issuer.as_str();
    if issuer.path() == "/" && issuer.query().is_none() { text.trim_end_matches('/') } else { text }
}

/// Whether metadata that names `found` belongs to `asked`: equal character by character. A bare host may be written with or
/// without its slash, which [`Url`] cannot distinguish. Microsoft's shared tenants name a placeholder.
pub(crate) fn is_metadata_of(found: &str, asked: &Url) -> bool {
    let bare = asked.path() == "/" && found.strip_suffix('/') == Some(text(asked));
    found == text(asked) || bare || tenant_form(asked, PLACEHOLDER).is_some_and(|form| found == form)
}

/// Whether the `iss` of a callback is the issuer `expected`, as plain strings. For Microsoft's shared tenants any tenant
/// counts: which one it is becomes known only later.
pub(crate) fn is_callback_of(iss: &str, expected: &Url) -> bool {
    let tenant =
        iss.strip_prefix("https://login.microsoftonline.com/").and_then(|rest| rest.strip_suffix("/v2.0"));
    is_of(iss, expected, tenant) && iss != "accounts.google.com"
}

/// Whether an `iss` claim belongs to the issuer `expected`. For Microsoft's shared tenants the claim names the tenant of its
/// `tid`. Google omits the scheme in some tokens.
pub(crate) fn is_of(iss: &str, expected: &Url, tid: Option<&str>) -> bool {
    let google = text(expected) == "https://accounts.google.com" && iss == "accounts.google.com";
    let tenant = tid.filter(|tid| is_tenant(tid)).and_then(|tid| tenant_form(expected, tid));
    is_metadata_of(iss, expected) && !iss.contains(PLACEHOLDER)
        || google
        || tenant.is_some_and(|form| iss == form)
}

/// The issuer of one tenant, if `asked` is a shared tenant of Microsoft.
fn tenant_form(asked: &Url, tenant: &str) -> Option<String> {
    let shared = SHARED_TENANTS.iter().find(|shared| asked.path() == format!("/{shared}/v2.0"))?;
    let microsoft = asked.host_str()? == "login.microsoftonline.com";
    microsoft.then(|| asked.as_str().replacen(&format!("/{shared}/"), &format!("/{tenant}/"), 1))
}

fn is_tenant(tid: &str) -> bool {
    tid.len() == 36 && tid.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-')
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn issuers_are_compared_character_by_character() {
        let rows = [
            ("https://a.example.com", "https://a.example.com", true),
            ("https://a.example.com", "https://a.example.com/", true),
            ("https://a.example.com/", "https://a.example.com", true),
            ("https://a.example.com/x", "https://a.example.com/x", true),
            ("https://a.example.com/x", "https://a.example.com/x/", false),
            ("https://a.example.com", "https://A.example.com", false),
            ("https://a.example.com", "http://a.example.com", false),
            ("https://a.example.com", "https://a.example.com:443", false),
            ("https://a.example.com/common/v2.0", "https://a.example.com/{tenantid}/v2.0", false),
            (
                "https://login.microsoftonline.com/common/v2.0",
                "https://login.microsoftonline.com/{tenantid}/v2.0",
                true,
            ),
            (
                "https://login.microsoftonline.com/consumers/v2.0",
                "https://login.microsoftonline.com/{tenantid}/v2.0",
                false,
            ),
        ];
        for (asked, found, want) in rows {
            assert_eq!(is_metadata_of(found, &asked.parse().unwrap()), want, "{asked} {found}");
        }
    }

    #[test]
    fn a_shared_tenants_claim_names_its_own_tenant() {
        let tid = "72f988bf-86f1-41af-91ab-2d7cd011db47";
        let common: Url = "https://login.microsoftonline.com/common/v2.0".parse().unwrap();
        let iss = format!("https://login.microsoftonline.com/{tid}/v2.0");
        assert!(is_of(&iss, &common, Some(tid)));
        assert!(!is_of(&iss, &common, Some("72f988bf-86f1-41af-91ab-000000000000")));
        assert!(!is_of(&iss, &common, None));
        assert!(!is_of("https://login.microsoftonline.com/{tenantid}/v2.0", &common, None));
        assert!(is_of("accounts.google.com", &"https://accounts.google.com".parse().unwrap(), None));
    }
}
