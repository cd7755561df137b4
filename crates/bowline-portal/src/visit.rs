//! What handlers take as arguments: a visit of a signed-in user, and a form that they sent from one of our pages.

use std::collections::{BTreeSet, HashMap};

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, OriginalUri, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, header};
use axum::response::{IntoResponse, Redirect, Response};
use bowline_api::IntegrationConnection;
use futures::{StreamExt, TryStreamExt, future, stream};
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;

use crate::Portal;
use crate::access::Permission;
use crate::error::PageError;
use crate::metrics::ExceededLimit;
use crate::session::{self, Session};
use crate::sign_in::{before::Before, proxy};
use crate::view::provider::Card;
use crate::view::words::Reader;

const REVIEWS_AT_ONCE: usize = 16;

/// The field with the form's token.
pub(crate) const TOKEN_FIELD: &str = "form";

/// A request of a signed-in user. Without a session, a page redirects to the sign-in, which returns to it afterwards.
#[derive(Clone)]
pub(crate) struct Visit {
    pub(crate) app: Portal,
    pub(crate) session: Session,
}

impl Visit {
    pub(crate) fn now(&self) -> Timestamp {
        self.app.clock.now()
    }

    pub(crate) fn reader(&self) -> Reader<'_> {
        Reader { user: self.session.user(), now: self.now() }
    }

    /// The card of a provider, even if it does not exist.
    pub(crate) fn card(&self, provider: &str) -> Card {
        let object = self.app.cluster.provider(provider);
        object.map_or_else(|| Card::unknown(provider), |object| Card::of(&object))
    }

    /// Whether the user may; the answer may be some seconds old.
    pub(crate) async fn allows(&self, permission: Permission<'_>) -> Result<bool, PageError> {
        self.app.access.allows(&self.session, permission).await
    }

    /// Those of `items` for which the user has the permission, in the same order.
    pub(crate) async fn filter<T>(
        &self,
        items: impl IntoIterator<Item = T>,
        permission: impl for<'a> Fn(&'a T) -> Permission<'a>,
    ) -> Result<Vec<T>, PageError> {
        filter(&self.app, &self.session, items, permission).await
    }
}

/// Those of `items` for which the user of this session has the permission, in the same order.
async fn filter<T>(
    app: &Portal,
    session: &Session,
    items: impl IntoIterator<Item = T>,
    permission: impl for<'a> Fn(&'a T) -> Permission<'a>,
) -> Result<Vec<T>, PageError> {
    let permission = &permission;
    let answers = stream::iter(items).map(async |item| {
        let allowed = app.access.allows(session, permission(&item)).await?;
        Ok::<_, PageError>(allowed.then_some(item))
    });
    answers.buffered(REVIEWS_AT_ONCE).try_filter_map(future::ok).try_collect().await
}

/// The namespaces in which the connection can be bound, or is, and whose bindings the user may list.
pub(crate) async fn bindings_readable(
    app: &Portal,
    session: &Session,
    connection: &IntegrationConnection,
) -> Result<BTreeSet<String>, PageError> {
    let shares = app.cluster.shares_of(connection);
    let bindings = app.cluster.bindings_of(&connection.id());
    let mut namespaces: BTreeSet<String> = shares.iter().filter_map(|share| share.namespace()).collect();
    namespaces.extend(bindings.iter().filter_map(|binding| binding.namespace()));
    namespaces.extend(connection.namespace());
    let allowed = filter(app, session, namespaces, |namespace| Permission::bindings(namespace)).await?;
    Ok(allowed.into_iter().collect())
}

impl FromRequestParts<Portal> for Visit {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, app: &Portal) -> Result<Self, Response> {
        if let Some(session) = session_of(&parts.headers, app) {
            return Ok(Self { app: app.clone(), session });
        }
        if parts.method != Method::GET {
            return Err(PageError::not_signed_in().into_response());
        }
        // A nested router sees only its own part of the path.
        let asked = parts.extensions.get::<OriginalUri>().map_or(&parts.uri, |OriginalUri(uri)| uri);
        let to_sign_in = || {
            let cookie = Before::new(asked.path(), app.clock.now())?.to_cookie(&app.keys)?;
            Ok::<_, PageError>(([(header::SET_COOKIE, cookie)], Redirect::to("/sign-in")))
        };
        Err(to_sign_in().into_response())
    }
}

/// The session of a request. Behind a proxy it counts only while the proxy names the same user in
/// the same groups.
pub(crate) fn session_of(headers: &HeaderMap, app: &Portal) -> Option<Session> {
    let session = Session::of(headers, &app.keys, app.clock.now()).filter(|it| app.rechecks.stands(it))?;
    match &app.settings.sign_in.proxy {
        Some(settings) => proxy::confirms(settings, headers, &session).then_some(session),
        None => Some(session),
    }
}

/// The fields of a form, each once. They may be secrets, so nothing prints them.
#[derive(Default)]
pub(crate) struct Fields(HashMap<String, String>);

impl Fields {
    /// Parses a form. Repeated fields are refused: two parsers could read them differently.
    pub(crate) fn read(body: &[u8]) -> Result<Self, PageError> {
        let mut fields = HashMap::new();
        for (name, value) in url::form_urlencoded::parse(body) {
            if fields.insert(name.into_owned(), value.into_owned()).is_some() {
                return Err(PageError::bad_request("A field of the form is repeated."));
            }
        }
        Ok(Self(fields))
    }

    /// A field without surrounding white space; empty if it is missing.
    pub(crate) fn text(&self, name: &str) -> &str {
        self.0.get(name).map(|value| value.trim()).unwrap_or_default()
    }

    /// As [`Fields::text`], `None` if it is empty.
    pub(crate) fn filled(&self, name: &str) -> Option<&str> {
        Some(self.text(name)).filter(|text| !text.is_empty())
    }

    /// The fields whose names begin like this: the rest of each name, and its value.
    pub(crate) fn beginning<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.0.iter().filter_map(move |(name, value)| Some((name.strip_prefix(prefix)?, value.trim())))
    }

    /// Whether the field was sent, even empty.
    pub(crate) fn ticked(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }
}

pub(crate) struct Form {
    pub(crate) visit: Visit,
    pub(crate) fields: Fields,
}

impl FromRequest<Portal> for Form {
    type Rejection = PageError;

    async fn from_request(request: Request, app: &Portal) -> Result<Self, PageError> {
        if !is_from_our_page(request.headers(), &app.settings.url.origin()) {
            return Err(PageError::stale_form());
        }
        let session = session_of(request.headers(), app).ok_or_else(PageError::not_signed_in)?;
        let fields = body(request, app).await?;
        if !session::same(fields.text(TOKEN_FIELD), &session.form_token()) {
            return Err(PageError::stale_form());
        }
        if !app.limits.actions.allows(session.user().to_owned(), app.clock.now()) {
            return Err(PageError::too_many(
                ExceededLimit::Actions,
                "You made too many changes within a minute.",
            ));
        }
        Ok(Self { visit: Visit { app: app.clone(), session }, fields })
    }
}

/// The fields of a form, without any check.
pub(crate) async fn body(request: Request, app: &Portal) -> Result<Fields, PageError> {
    let bytes = Bytes::from_request(request, app).await;
    Fields::read(&bytes.map_err(|_| PageError::bad_request("The form is too large or incomplete."))?)
}

/// Whether the browser says that the request comes from one of our pages. Under our `Referrer-Policy`, `Origin` may be `null`;
/// `Sec-Fetch-Site` counts then. A request with neither is refused.
pub(crate) fn is_from_our_page(headers: &HeaderMap, origin: &str) -> bool {
    let one = |name: &str| {
        let mut values = headers.get_all(name).iter();
        let first = values.next().map(|value| value.to_str().unwrap_or("?"));
        (first, values.next().is_some())
    };
    let ((site, sites), (from, origins)) = (one("sec-fetch-site"), one("origin"));
    if sites || origins {
        return false;
    }
    match (site, from) {
        (Some("same-origin"), None | Some("null")) => true,
        (Some("same-origin") | None, Some(from)) => from == origin,
        _ => false,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const OURS: &str = "https://bowline.example.com";

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn a_change_comes_from_our_page_or_not_at_all() {
        let rows: &[(&[(&str, &str)], bool)] = &[
            (&[("sec-fetch-site", "same-origin")], true),
            (&[("sec-fetch-site", "same-origin"), ("origin", "null")], true),
            (&[("sec-fetch-site", "same-origin"), ("origin", OURS)], true),
            (&[("origin", OURS)], true),
            (&[], false),
            (&[("origin", "null")], false),
            (&[("origin", "https://evil.example.com")], false),
            (&[("origin", "https://bowline.example.com.evil.com")], false),
            (&[("sec-fetch-site", "cross-site"), ("origin", OURS)], false),
            (&[("sec-fetch-site", "same-site"), ("origin", OURS)], false),
            (&[("sec-fetch-site", "none")], false),
            (&[("sec-fetch-site", "same-origin"), ("origin", "https://evil.example.com")], false),
            (&[("origin", OURS), ("origin", "https://evil.example.com")], false),
        ];
        for (sent, ours) in rows {
            assert_eq!(is_from_our_page(&headers(sent), OURS), *ours, "{sent:?}");
        }
    }

    #[test]
    fn a_field_that_comes_twice_spoils_the_form() {
        let fields = Fields::read(b"name=a+b%20&ticked=").unwrap();
        assert_eq!(fields.text("name"), "a b");
        assert_eq!(fields.filled("missing"), None);
        assert!(fields.ticked("ticked") && !fields.ticked("other"));
        assert!(Fields::read(b"name=a&name=b").is_err());
    }
}
