//! Every address of the portal, and what strangers get there: one table for all tests that use them. A test compares it with
//! the sources of the router, so that nobody adds an address or a method that no stranger has tested.

use std::path::Path;

use bowline_portal::testing::OIDC_CALLBACK;

/// What a user without rights gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gets {
    /// An answer with this status.
    Status(u16),
    /// A redirect to this address.
    To(&'static str),
    /// A page on which an administrator sees other users' objects, and this user does not.
    Empty,
    /// Exactly what a connection that does not exist returns.
    Nothing,
}

/// One method of one address.
#[derive(Clone, Copy, Debug)]
pub struct Route {
    pub method: &'static str,
    pub path: &'static str,
    /// For users who are not signed in.
    pub nobody: Gets,
    /// For mallory, who is signed in and has no rights in the cluster.
    pub mallory: Gets,
}

use Gets::{Empty, Nothing, Status, To};

const fn open(path: &'static str, nobody: Gets, mallory: Gets) -> Route {
    Route { method: "GET", path, nobody, mallory }
}

const fn page(path: &'static str, mallory: Gets) -> Route {
    open(path, To("/sign-in"), mallory)
}

const fn change(path: &'static str, mallory: Gets) -> Route {
    Route { method: "POST", path, nobody: Status(401), mallory }
}

/// A form for users who are not signed in.
const fn entry(path: &'static str) -> Route {
    Route { method: "POST", path, nobody: Status(403), mallory: Status(403) }
}

/// All of them.
pub const ROUTES: &[Route] = &[
    open("/livez", Status(200), Status(200)),
    open("/readyz", Status(200), Status(200)),
    open("/static/portal.css", Status(200), Status(200)),
    open("/static/live.js", Status(200), Status(200)),
    open("/static/icon.svg", Status(200), Status(200)),
    open("/sign-in", Status(200), To("/connections")),
    entry("/sign-in/token"),
    entry("/sign-in/oidc"),
    open(OIDC_CALLBACK, Status(403), Status(403)),
    open("/", To("/connections"), To("/connections")),
    page("/connections", Empty),
    page("/connections/{namespace}/{name}", Nothing),
    open("/connections/{namespace}/{name}/live", Status(401), Nothing),
    page("/connections/{namespace}/{name}/connect", Nothing),
    page("/connections/{namespace}/{name}/disconnect", Nothing),
    page("/connections/{namespace}/{name}/delete", Nothing),
    page("/connections/{namespace}/{name}/approve", Nothing),
    page("/connections/{namespace}/{name}/transfer", Nothing),
    change("/connections/{namespace}/{name}/transfer", Nothing),
    page("/connections/{namespace}/{name}/unshare", Nothing),
    change("/connections/{namespace}/{name}/edit", Nothing),
    change("/connections/{namespace}/{name}/share", Nothing),
    change("/connections/{namespace}/{name}/unshare", Nothing),
    change("/connections/{namespace}/{name}/refresh", Nothing),
    change("/connections/{namespace}/{name}/device", Nothing),
    change("/connections/{namespace}/{name}/confirm", Nothing),
    change("/connections/{namespace}/{name}/again", Nothing),
    change("/connections/{namespace}/{name}/pause", Nothing),
    change("/connections/{namespace}/{name}/resume", Nothing),
    change("/connections/{namespace}/{name}/agree", Nothing),
    change("/connections/{namespace}/{name}/approve", Nothing),
    change("/connections/{namespace}/{name}/start", Nothing),
    page("/connections/{namespace}/{name}/credential", Nothing),
    change("/connections/{namespace}/{name}/credential", Nothing),
    change("/connections/{namespace}/{name}/keys", Nothing),
    change("/connections/{namespace}/{name}/keys/revoke", Nothing),
    change("/connections/{namespace}/{name}/disconnect", Nothing),
    change("/connections/{namespace}/{name}/delete", Nothing),
    page("/leave/{attempt}", Nothing),
    page("/leave/{attempt}/go", Nothing),
    open("/callback/{provider}", Status(400), Status(400)),
    page("/new", Status(200)),
    page("/new/{provider}", Status(200)),
    // The form again, with the reason why nothing was created.
    change("/new/{provider}", Status(200)),
    // No provider has a webhook here.
    Route { method: "POST", path: "/webhooks/{provider}", nobody: Status(404), mallory: Status(404) },
    page("/offboard", Empty),
    change("/offboard", Status(400)),
    page("/use", Empty),
    page("/workspaces", Empty),
    page("/workspaces/{name}", Nothing),
    page("/providers", Status(403)),
    change("/sign-out", To("/sign-in")),
];

/// Methods and paths that a source of the router names, with `nested` for what is nested in it.
fn read(source: &str) -> Vec<(String, String)> {
    let code: Vec<&str> = source.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    let code: String = code.concat().split_whitespace().collect();
    for other in ["route_service", "nest_service", "fallback_service", "MethodFilter", "any(", "on("] {
        assert!(!code.contains(&format!(".{other}")), "{other} is not read here");
    }
    let prefix =
        code.split_once(".nest(\"").map(|(_, rest)| rest.split_once("\",one)").expect("nest of `one`").0);
    assert!(code.matches(".nest(").count() <= 1, "one nested router is read here");
    let nested =
        code.split_once("letone=Router::new()").map_or("", |(_, rest)| rest.split(';').next().unwrap());
    let found = |code: &str, prefix: &str| {
        let routes = code.split(".route(").skip(1).map(inside);
        routes.flat_map(|route| methods(route, prefix)).collect::<Vec<_>>()
    };
    let mut routes = found(&code.replace(nested, ""), "");
    if !nested.is_empty() {
        routes.extend(found(nested, prefix.expect("`one` is nested")));
    }
    routes
}

/// The text up to the parenthesis that closes the one before it.
fn inside(rest: &str) -> &str {
    let mut depth = 1;
    let end = rest.find(|c| {
        depth += i32::from(c == '(') - i32::from(c == ')');
        depth == 0
    });
    &rest[..end.expect("a closing parenthesis")]
}

/// Reads `"/path",get(a).post(b)`.
fn methods(route: &str, prefix: &str) -> Vec<(String, String)> {
    let (path, mut rest) = route.split_once(',').expect("a path and what answers");
    let path = match path {
        "OIDC_CALLBACK" => OIDC_CALLBACK,
        literal => {
            literal.strip_prefix('"').and_then(|path| path.strip_suffix('"')).expect("a path in words")
        }
    };
    let path = format!("{prefix}{}", if prefix.is_empty() || path != "/" { path } else { "" });
    let mut found = Vec::new();
    while let Some((method, more)) = rest.trim_start_matches(['.', ',']).split_once('(') {
        let method = if method == "taken" { "get" } else { method };
        assert!(
            ["get", "post", "put", "patch", "delete", "head", "options"].contains(&method),
            "{method} {path}"
        );
        found.push((method.to_uppercase(), path.clone()));
        rest = &more[inside(more).len() + 1..];
    }
    assert!(!found.is_empty(), "{path} without a method");
    found
}

#[test]
fn a_route_is_read_however_it_is_written() {
    let source = r#"
        // .route("/not", get(this))
        let one = Router::new().route("/", get(a)).route("/b", post(c::d));
        Router::new()
            .route(
                "/x",
                get(async || f(1, 2)).put(g),
            )
            .nest("/n/{m}", one)
            .route(OIDC_CALLBACK, taken(h))"#;
    let mut found = read(source);
    found.sort();
    let wanted =
        [("GET", "/n/{m}"), ("GET", OIDC_CALLBACK), ("GET", "/x"), ("POST", "/n/{m}/b"), ("PUT", "/x")];
    let mut wanted = wanted.map(|(method, path)| (method.to_owned(), path.to_owned()));
    wanted.sort();
    assert_eq!(found, wanted);
}

/// Files under a folder.
fn sources(folder: &Path) -> Vec<(String, String)> {
    let entries = std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    let read = |path: std::path::PathBuf| {
        if path.is_dir() {
            return sources(&path);
        }
        vec![(path.display().to_string(), std::fs::read_to_string(&path).expect("a source"))]
    };
    entries.flat_map(read).collect()
}

#[test]
fn no_address_is_forgotten_here() {
    let mut found = read(include_str!("../../../crates/bowline-portal/src/router.rs"));
    let mut tried: Vec<_> =
        ROUTES.iter().map(|route| (route.method.to_owned(), route.path.to_owned())).collect();
    found.sort();
    tried.sort();
    assert_eq!(found, tried, "what the router has, and what strangers try");
    let portal = Path::new(env!("CARGO_MANIFEST_DIR")).join("crates/bowline-portal/src");
    for (path, source) in sources(&portal) {
        let served = source.split("#[cfg(test)]").next().unwrap_or_default();
        // That one is served on a listener of its own, which no browser reaches.
        let own = usize::from(path.ends_with("/scrape.rs"));
        assert!(
            path.ends_with("/router.rs") || served.matches(".route(").count() == own,
            "{path} has addresses of its own"
        );
    }
}
