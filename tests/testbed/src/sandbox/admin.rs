//! The admin API: what [`RealmHandle`] offers, over HTTP, for tests that run in another process. It has no protection.

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use super::config::RealmConfig;
use super::faults::Fault;
use super::ledger::Ledger;
use super::realm::{MintRequest, Minted, RealmError, RealmHandle, Realms};

type Server = State<Arc<Realms>>;

pub(super) fn routes() -> Router<Arc<Realms>> {
    let realm = Router::new()
        .route("/", get(show).put(put).delete(remove))
        .route("/ledger", get(ledger))
        .route("/faults", get(faults).post(add_faults).delete(clear_faults))
        .route("/grants", post(mint))
        .route("/grants/{grant}", delete(revoke))
        .route("/introspect", post(introspect))
        .route("/device/{user_code}", post(decide_device));
    Router::new().route("/admin/realms", get(list)).nest("/admin/realms/{realm}", realm)
}

struct Refused(StatusCode, String);

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        (self.0, Json(json!({ "error": self.1 }))).into_response()
    }
}

impl From<RealmError> for Refused {
    fn from(error: RealmError) -> Self {
        Self(StatusCode::UNPROCESSABLE_ENTITY, error.to_string())
    }
}

#[derive(Deserialize)]
struct InRealm {
    realm: String,
}

fn find(realms: &Realms, path: &InRealm) -> Result<RealmHandle, Refused> {
    let found = realms.find(&path.realm).map(RealmHandle);
    found.ok_or_else(|| Refused(StatusCode::NOT_FOUND, "no such realm".into()))
}

async fn list(State(realms): Server) -> Json<Value> {
    Json(json!({ "realms": realms.names() }))
}

async fn show(State(realms): Server, Path(path): Path<InRealm>) -> Result<Json<RealmConfig>, Refused> {
    Ok(Json(find(&realms, &path)?.config()))
}

/// Creates a realm from the server's defaults, or changes the given members of an existing one.
async fn put(
    State(realms): Server,
    Path(path): Path<InRealm>,
    Json(changes): Json<Value>,
) -> Result<Json<Value>, Refused> {
    let is_name = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if path.realm.is_empty() || !path.realm.bytes().all(is_name) {
        let text = "a realm's name is made of a-z, 0-9 and hyphens";
        return Err(Refused(StatusCode::UNPROCESSABLE_ENTITY, text.into()));
    }
    let known = realms.find(&path.realm).map(|realm| RealmHandle(realm).config());
    let config = known
        .as_ref()
        .unwrap_or(&realms.defaults)
        .with(changes)
        .map_err(|error| Refused(StatusCode::UNPROCESSABLE_ENTITY, error.to_string()))?;
    let realm = RealmHandle(realms.put(&path.realm, config));
    Ok(Json(json!({ "issuer": realm.issuer() })))
}

async fn remove(State(realms): Server, Path(path): Path<InRealm>) -> Result<StatusCode, Refused> {
    find(&realms, &path)?;
    realms.remove(&path.realm);
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize)]
struct After {
    #[serde(default)]
    after: u64,
}

/// The ledger, or with `?after=SEQUENCE` its newer part.
async fn ledger(
    State(realms): Server,
    Path(path): Path<InRealm>,
    Query(query): Query<After>,
) -> Result<Json<Ledger>, Refused> {
    Ok(Json(find(&realms, &path)?.ledger().after(query.after)))
}

async fn faults(State(realms): Server, Path(path): Path<InRealm>) -> Result<Json<Vec<Fault>>, Refused> {
    Ok(Json(find(&realms, &path)?.remaining_faults()))
}

async fn add_faults(
    State(realms): Server,
    Path(path): Path<InRealm>,
    Json(lines): Json<Vec<Fault>>,
) -> Result<StatusCode, Refused> {
    let realm = find(&realms, &path)?;
    for fault in lines {
        realm.fault(fault);
    }
    Ok(StatusCode::NO_CONTENT)
}

async fn clear_faults(State(realms): Server, Path(path): Path<InRealm>) -> Result<StatusCode, Refused> {
    find(&realms, &path)?.clear_faults();
    Ok(StatusCode::NO_CONTENT)
}

async fn mint(
    State(realms): Server,
    Path(path): Path<InRealm>,
    Json(request): Json<MintRequest>,
) -> Result<(StatusCode, Json<Minted>), Refused> {
    Ok((StatusCode::CREATED, Json(find(&realms, &path)?.mint(&request)?)))
}

async fn revoke(
    State(realms): Server,
    Path((realm, grant)): Path<(String, String)>,
) -> Result<StatusCode, Refused> {
    find(&realms, &InRealm { realm })?.revoke_grant(&grant)?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Introspect {
    token: String,
}

async fn introspect(
    State(realms): Server,
    Path(path): Path<InRealm>,
    Json(request): Json<Introspect>,
) -> Result<Json<Value>, Refused> {
    Ok(Json(find(&realms, &path)?.introspect(&request.token)))
}

/// `{"account": "alice"}` allows, `{}` denies.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DeviceDecision {
    account: Option<String>,
}

async fn decide_device(
    State(realms): Server,
    Path((realm, user_code)): Path<(String, String)>,
    Json(decision): Json<DeviceDecision>,
) -> Result<StatusCode, Refused> {
    find(&realms, &InRealm { realm })?.decide_device(&user_code, decision.account.as_deref())?;
    Ok(StatusCode::NO_CONTENT)
}
