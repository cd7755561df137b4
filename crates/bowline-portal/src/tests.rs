//! Requests to the whole portal, with an API server that knows two connections, one of which cannot be read.

use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::ConnectInfo;
use axum::http::{Request, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use bowline_runtime::clock::ManualClock;
use clap::Parser;
use futures::stream;
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use k8s_openapi::jiff::SignedDuration;
use serde_json::{Value, json};

use super::*;
use crate::session::{Groups, Session};
use crate::settings::PortalFlags;
use crate::sign_in::token;

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    flags: PortalFlags,
}

fn object(name: &str, owner: &Value) -> Value {
    json!({"apiVersion": "bowline.dev/v1alpha1", "kind": "IntegrationConnection",
        "metadata": {"name": name, "namespace": "team-a", "uid": name, "resourceVersion": "1"},
        "spec": {"provider": "p", "owner": owner}})
}

fn mail() -> Value {
    object("mail", &json!(7))
}

fn chat() -> Value {
    let mut chat = object("chat", &json!("alice"));
    let time = "2026-05-03T14:20:00Z";
    chat["status"] = json!({"phase": "Active", "connectedAt": time, "connectedBy": "alice",
        "secret": {"name": "chat"}, "account": {"id": "7", "name": "Alice at work"},
        "token": {"expiresAt": time, "lastFailure": {"reason": "Unreachable", "message": "It was away.", "at": time}}});
    chat
}

/// `alice` may do everything, `reader` may get and list everything, `getter` may get `mail`, and `editor` may get and change
/// it.
fn is_allowed(spec: &Value) -> bool {
    let asked = &spec["resourceAttributes"];
    match (spec["user"].as_str().unwrap(), asked["verb"].as_str().unwrap()) {
        ("alice", _) | ("reader", "get" | "list") => true,
        ("getter", "get") | ("editor", _) => asked["name"] == "mail",
        _ => false,
    }
}

async fn api_server(uri: Uri, body: Body) -> Response {
    let path = uri.path();
    if path.ends_with("/subjectaccessreviews") {
        let mut review: Value = serde_json::from_slice(&to_bytes(body, 1 << 20).await.unwrap()).unwrap();
        review["status"] = json!({"allowed": is_allowed(&review["spec"])});
        return review.to_string().into_response();
    }
    if uri.query().is_some_and(|query| query.contains("watch=true")) {
        return Body::from_stream(stream::pending::<Result<String, std::io::Error>>()).into_response();
    }
    match path.rsplit_once("/team-a/integrationconnections/") {
        Some((_, "mail")) => return mail().to_string().into_response(),
        Some((_, "chat")) => return chat().to_string().into_response(),
        _ => {}
    }
    if path.contains("/integrationconnections/") {
        let missing = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 404,
            "reason": "NotFound", "message": "not found"});
        return (StatusCode::NOT_FOUND, missing.to_string()).into_response();
    }
    let is_connections = path.ends_with("/integrationconnections");
    let items = if is_connections { vec![chat(), mail()] } else { Vec::new() };
    json!({"kind": "List", "apiVersion": "v1", "metadata": {"resourceVersion": "1"}, "items": items})
        .to_string()
        .into_response()
}

async fn app() -> Portal {
    app_with(Router::new().fallback(api_server), &[], Clock::default()).await
}

async fn app_with(api_server: Router, more: &[&str], clock: Clock) -> Portal {
    let usual =
        ["bowline", "--url", "https://bowline.example.com", "--sign-in-with-token", "--trusted-proxies=none"];
    let (settings, _) = Cli::parse_from(usual.iter().chain(more)).flags.into_settings().unwrap();
    let client = Client::new(api_server, "default");
    let keys = Arc::new(SessionKeys::new(&[7; 32]).unwrap());
    let app = portal(settings, client, keys, clock, &Tasks::default()).unwrap();
    tokio::time::timeout(Duration::from_secs(10), app.cluster.wait_ready()).await.unwrap();
    app
}

/// The status and the text of a page.
async fn page(app: &Portal, user: &str, path: &str) -> (StatusCode, String) {
    let session = Session::begin(user, Groups::Claimed(Vec::new()), app.clock.now()).unwrap();
    page_of(app, &session, path).await
}

async fn page_of(app: &Portal, session: &Session, path: &str) -> (StatusCode, String) {
    let cookie = session.to_cookie(&app.keys).unwrap();
    let cookie = cookie.split(';').next().unwrap();
    let peer: SocketAddr = "192.0.2.1:1".parse().unwrap();
    let request = Request::get(path).header(header::COOKIE, cookie).extension(ConnectInfo(peer));
    let service = TowerToHyperService::new(router::router(Arc::clone(app)));
    let response = service.call(request.body(Body::empty()).unwrap()).await.unwrap();
    let status = response.status();
    let text = to_bytes(response.into_body(), 1 << 20).await.unwrap();
    (status, String::from_utf8(text.to_vec()).unwrap())
}

#[tokio::test]
async fn a_connection_that_cannot_be_read_says_which_field_to_correct() {
    let app = app().await;
    for user in ["reader", "getter", "editor"] {
        let (status, text) = page(&app, user, "/connections/team-a/mail").await;
        assert_eq!(status, StatusCode::CONFLICT, "{user}");
        for part in ["This connection cannot be read", "spec.owner", "kubectl edit", "mail -n team-a"] {
            assert!(text.contains(part), "{user}: {part}: {text}");
        }
    }
}

#[tokio::test]
async fn a_page_that_reloads_because_its_connection_is_gone_does_so_once() {
    let app = app().await;
    for (path, status, follows) in [
        ("chat", StatusCode::OK, true),
        ("mail", StatusCode::CONFLICT, false),
        ("nothing", StatusCode::NOT_FOUND, false),
    ] {
        let (got, text) = page(&app, "reader", &format!("/connections/team-a/{path}")).await;
        assert_eq!((got, text.contains("data-live")), (status, follows), "{path}");
        assert!(follows || !text.contains("data-again"), "{path}");
    }
}

#[tokio::test]
async fn who_may_not_see_it_cannot_tell_it_from_one_that_does_not_exist() {
    let app = app().await;
    let (status, hidden) = page(&app, "stranger", "/connections/team-a/mail").await;
    let (_, absent) = page(&app, "stranger", "/connections/team-a/nothing").await;
    // The form above it has a token of its session.
    let said = |text: &str| text.split_once("<main").unwrap().1.to_owned();
    assert_eq!((status, said(&hidden)), (StatusCode::NOT_FOUND, said(&absent)));
    let (status, _) = page(&app, "reader", "/connections/team-a/nothing").await;
    assert_eq!(status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn the_list_has_it_for_those_who_may_see_it() {
    let app = app().await;
    let row = |text: &str| {
        text.contains("/connections/team-a/mail")
            && text.contains("Cannot be read")
            && text.contains("spec.owner")
    };
    let (_, text) = page(&app, "reader", "/connections").await;
    assert!(row(&text) && text.contains("/connections/team-a/chat"), "{text}");
    let (_, text) = page(&app, "getter", "/connections").await;
    assert!(row(&text) && !text.contains("/connections/team-a/chat"), "{text}");
    let (_, text) = page(&app, "stranger", "/connections").await;
    assert!(!text.contains("mail") && text.contains("Nothing connected yet"), "{text}");
    let (_, text) = page(&app, "reader", "/connections?status=Cannot+be+read").await;
    assert!(row(&text) && !text.contains("/connections/team-a/chat"), "{text}");
}

#[tokio::test]
async fn the_pages_of_a_connection_show_it() {
    let app = app().await;
    let one = "/connections/team-a/chat";
    for (path, parts) in [
        (one.to_owned(), &["team-a.chat", "Alice at work", "by alice", "It was away.", "Token expires"][..]),
        (
            format!("{one}/disconnect"),
            &["Disconnect chat", "<code>chat</code> in namespace team-a", "impact chat -n"],
        ),
        (format!("{one}/delete"), &["Delete chat", "Nothing. To have it again"]),
        ("/use?namespace=team-a".to_owned(), &["secretName: chat", "secretRef", "from this namespace"]),
        ("/connections?q=alice".to_owned(), &["Alice at work", "<option value=\"Connected\">"]),
        ("/workspaces".to_owned(), &["No workspace for you"]),
        ("/new".to_owned(), &["Choose a provider"]),
        ("/providers".to_owned(), &["No provider is set up"]),
    ] {
        let (status, text) = page(&app, "alice", &path).await;
        assert_eq!(status, StatusCode::OK, "{path}");
        for part in parts {
            assert!(text.contains(part), "{path}: {part}: {text}");
        }
    }
}

/// What the API server is asked about, and what it says of a token.
#[derive(Clone, Default)]
struct Reviewer {
    asked: Arc<Mutex<Vec<Value>>>,
    revoked: Arc<AtomicBool>,
}

impl Reviewer {
    fn router(&self) -> Router {
        let this = self.clone();
        Router::new().fallback(async move |uri: Uri, body: Body| {
            let bytes = to_bytes(body, 1 << 20).await.unwrap();
            if uri.path().ends_with("reviews") {
                this.asked.lock().unwrap().push(serde_json::from_slice(&bytes).unwrap());
            }
            if uri.path().ends_with("/tokenreviews") {
                let user = json!({"username": "alice", "uid": "u-1", "extra": {"scopes": ["user:info"]}});
                let authenticated = !this.revoked.load(Ordering::Relaxed);
                let status = json!({"authenticated": authenticated, "audiences": ["portal"], "user": user});
                return json!({"spec": {}, "status": status}).to_string().into_response();
            }
            api_server(uri, Body::from(bytes)).await
        })
    }

    /// How often it was asked whose a token is.
    fn token_reviews(&self) -> usize {
        self.asked.lock().unwrap().iter().filter(|asked| asked["spec"]["token"] == "t").count()
    }
}

#[tokio::test]
async fn class_10_what_limits_a_user_is_in_each_review() {
    let reviewer = Reviewer::default();
    let app = app_with(reviewer.router(), &[], Clock::default()).await;
    let session = token::sign_in(&app.client, None, "t".into(), &app.keys, app.clock.now()).await.unwrap();
    page_of(&app, &session, "/connections/team-a/chat").await;
    let asked = reviewer.asked.lock().unwrap();
    let of_access: Vec<_> = asked.iter().filter(|review| review["spec"]["user"] == "alice").collect();
    assert!(!of_access.is_empty());
    for review in of_access {
        assert_eq!(review["spec"]["uid"], "u-1", "{review}");
        assert_eq!(review["spec"]["extra"], json!({"scopes": ["user:info"]}), "{review}");
    }
}

#[tokio::test]
async fn class_10_a_token_that_is_revoked_ends_its_session() {
    let (reviewer, time) = (Reviewer::default(), ManualClock::at("2026-01-01T00:00:00Z".parse().unwrap()));
    let app = app_with(reviewer.router(), &["--token-audience=portal"], Clock::Manual(time.clone())).await;
    let audience = app.settings.sign_in.token_audience.as_deref();
    let session =
        token::sign_in(&app.client, audience, "t".into(), &app.keys, app.clock.now()).await.unwrap();
    let look = async || page_of(&app, &session, "/connections").await.0;
    assert_eq!((look().await, look().await, reviewer.token_reviews()), (StatusCode::OK, StatusCode::OK, 1));
    time.advance(SignedDuration::from_mins(5));
    assert_eq!((look().await, look().await, reviewer.token_reviews()), (StatusCode::OK, StatusCode::OK, 2));
    reviewer.revoked.store(true, Ordering::Relaxed);
    assert_eq!(look().await, StatusCode::OK, "it was checked a moment ago");
    time.advance(SignedDuration::from_mins(5));
    assert_eq!(look().await, StatusCode::SEE_OTHER, "to the sign-in");
    assert_eq!(look().await, StatusCode::SEE_OTHER, "and it is not asked about again");
    assert_eq!(reviewer.token_reviews(), 3);
}

/// The portal renders what nobody has cleaned before.
#[tokio::test]
async fn class_08_no_letter_on_a_page_acts_or_hides() {
    let app = app().await;
    let session = Session::begin("a\u{202e}\u{9b}b", Groups::Claimed(Vec::new()), app.clock.now()).unwrap();
    let (_, text) = page_of(&app, &session, "/workspaces").await;
    assert!(text.contains("Signed in as a\u{fffd}\u{fffd}b"), "{text}");
}

#[tokio::test]
async fn requests_that_are_too_many_are_counted_by_their_limit() {
    let time = ManualClock::at("2026-01-01T00:00:00Z".parse().unwrap());
    let app = app_with(Router::new().fallback(api_server), &[], Clock::Manual(time)).await;
    for _ in 0..limits::REQUESTS.burst {
        page(&app, "alice", "/nowhere").await;
    }
    assert_eq!(page(&app, "alice", "/nowhere").await.0, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(page(&app, "reader", "/nowhere").await.0, StatusCode::NOT_FOUND);
    let text = app.metrics.encode().unwrap();
    for line in [
        r#"bowline_portal_rate_limited_total{limit="requests"} 1"#,
        r#"bowline_portal_rate_limited_total{limit="sign_ins"} 0"#,
        r#"bowline_portal_requests_total{route="unknown",status="4xx"} 302"#,
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is missing in {text}");
    }
}
