use std::sync::Arc;

use futures::future::BoxFuture;
use http::{HeaderMap, StatusCode};
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm,
    Ed25519KeyPair, KeyPair,
};
use ring::{digest, hmac};
use serde_json::{Value, json};

use super::*;
use crate::settings::OidcClaims;
use bowline_oauth::http::{Received, Request, SendError};
use bowline_oauth::network::Network;

const ISSUER: &str = "https://issuer.example.com";
const BACK: &str = "https://bowline.example.com/sign-in/oidc/callback";
const ANNOUNCED: [&str; 11] =
    ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA", "HS256", "none"];

fn now() -> Timestamp {
    at(0)
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

fn base64(bytes: impl AsRef<[u8]>) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

type Sign = Box<dyn Fn(&[u8]) -> Vec<u8>>;

/// A key pair under a key id.
struct Signer {
    algorithm: &'static str,
    public: Value,
    sign: Sign,
}

impl Signer {
    fn ecdsa(algorithm: &'static str, kid: &str) -> Self {
        let (crv, half, ring): (_, _, &'static EcdsaSigningAlgorithm) = match algorithm {
            "ES256" => ("P-256", 32, &ECDSA_P256_SHA256_FIXED_SIGNING),
            _ => ("P-384", 48, &ECDSA_P384_SHA384_FIXED_SIGNING),
        };
        let random = SystemRandom::new();
        let document = EcdsaKeyPair::generate_pkcs8(ring, &random).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(ring, document.as_ref(), &random).unwrap();
        let (x, y) = pair.public_key().as_ref()[1..].split_at(half);
        let public = json!({"kty": "EC", "crv": crv, "kid": kid, "x": base64(x), "y": base64(y)});
        let sign = Box::new(move |message: &[u8]| pair.sign(&random, message).unwrap().as_ref().to_vec());
        Self { algorithm, public, sign }
    }

    fn ed25519(kid: &str) -> Self {
        let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        let pair = Ed25519KeyPair::from_pkcs8(document.as_ref()).unwrap();
        let public = json!({"kty": "OKP", "crv": "Ed25519", "kid": kid, "x": base64(pair.public_key())});
        Self {
            algorithm: "EdDSA",
            public,
            sign: Box::new(move |message| pair.sign(message).as_ref().to_vec()),
        }
    }

    fn kid(&self) -> &str {
        self.public["kid"].as_str().unwrap()
    }

    fn token(&self, claims: &Value) -> String {
        self.token_under(&json!({"alg": self.algorithm, "kid": self.kid()}), claims)
    }

    fn token_under(&self, header: &Value, claims: &Value) -> String {
        let message = format!("{}.{}", base64(header.to_string()), base64(claims.to_string()));
        format!("{message}.{}", base64((self.sign)(message.as_bytes())))
    }
}

fn claims() -> Value {
    json!({"iss": ISSUER, "sub": "alice", "aud": "portal", "nonce": "nonce",
        "iat": now().as_second(), "exp": now().as_second() + 300})
}

/// `base` with these members; `null` takes one away.
fn with(mut base: Value, change: &Value) -> Value {
    let members = base.as_object_mut().unwrap();
    members.extend(change.as_object().unwrap().clone());
    members.retain(|_, value| !value.is_null());
    base
}

fn provider(keys: &[&Value]) -> OpenIdProvider {
    let announced = with(metadata(), &json!({"id_token_signing_alg_values_supported": ANNOUNCED}));
    let keys = keys.iter().map(|key| serde_json::from_value((*key).clone()).unwrap()).collect();
    let mut provider: OpenIdProvider = serde_json::from_value(announced).unwrap();
    provider.keys = keys;
    provider
}

fn judged(token: &str, provider: &OpenIdProvider) -> Result<(), TokenFlaw> {
    id_token::verified(token, provider, "portal", "nonce", now())
        .map(|claims| assert_eq!(claims["sub"], "alice"))
}

#[test]
fn each_asymmetric_algorithm_is_verified_and_no_change_goes_unseen() {
    let signers = [Signer::ecdsa("ES256", "a"), Signer::ecdsa("ES384", "b"), Signer::ed25519("c")];
    let mut tokens: Vec<(String, Value)> =
        signers.iter().map(|signer| (signer.token(&claims()), signer.public.clone())).collect();
    let rsa: Value = serde_json::from_str(include_str!("rsa.json")).unwrap();
    for (algorithm, signature) in rsa["signatures"].as_object().unwrap() {
        let header = base64(format!(r#"{{"alg":"{algorithm}","kid":"rsa"}}"#));
        let payload = base64(rsa["claims"].as_str().unwrap());
        tokens.push((format!("{header}.{payload}.{}", signature.as_str().unwrap()), rsa["key"].clone()));
    }
    assert_eq!(tokens.len(), 9);
    for (token, key) in tokens {
        let provider = provider(&[&key]);
        assert_eq!(judged(&token, &provider), Ok(()), "{token}");
        let (message, given) = token.rsplit_once('.').unwrap();
        let (header, _) = message.split_once('.').unwrap();
        let other = base64(with(claims(), &json!({"sub": "mallory"})).to_string());
        let mut bytes = BASE64_URL_SAFE_NO_PAD.decode(given).unwrap();
        bytes[10] ^= 1;
        for changed in [
            format!("{header}.{other}.{given}"),
            format!("{message}.{}", base64(&bytes)),
            format!("{message}.{}", base64(&bytes[1..])),
            format!("{message}."),
        ] {
            assert_eq!(judged(&changed, &provider), Err(TokenFlaw::Signature), "{changed}");
        }
    }
}

#[test]
fn a_token_that_is_not_signed_by_a_key_of_the_provider_names_nobody() {
    let (ours, theirs) = (Signer::ecdsa("ES256", "a"), Signer::ecdsa("ES256", "a"));
    let big = Signer::ecdsa("ES384", "big");
    let provider = provider(&[&ours.public, &big.public]);
    let unsigned = |algorithm: &str| {
        let header = base64(json!({"alg": algorithm, "kid": "a"}).to_string());
        format!("{header}.{}", base64(claims().to_string()))
    };
    // Everybody knows a public key: as the secret of an HMAC it would let everybody sign.
    let confused = |secret: &[u8]| {
        let (message, key) = (unsigned("HS256"), hmac::Key::new(hmac::HMAC_SHA256, secret));
        format!("{message}.{}", base64(hmac::sign(&key, message.as_bytes())))
    };
    let point =
        [&[4][..], &BASE64_URL_SAFE_NO_PAD.decode(ours.public["x"].as_str().unwrap()).unwrap()].concat();
    let rows = [
        (theirs.token(&claims()), TokenFlaw::Signature),
        (unsigned("none") + ".", TokenFlaw::Algorithm),
        (unsigned("None") + ".", TokenFlaw::Algorithm),
        (confused(&point), TokenFlaw::Algorithm),
        (confused(ours.public.to_string().as_bytes()), TokenFlaw::Algorithm),
        (confused(b"the client's secret"), TokenFlaw::Algorithm),
        (unsigned("ES256"), TokenFlaw::Malformed),
        (ours.token(&claims()) + ".more", TokenFlaw::Malformed),
        (ours.token(&claims()) + "=", TokenFlaw::Malformed),
        (String::new(), TokenFlaw::Malformed),
        (format!("{}.e30.e30", base64("[]")), TokenFlaw::Malformed),
    ];
    for (token, flaw) in rows {
        assert_eq!(judged(&token, &provider), Err(flaw), "{token}");
    }
}

#[test]
fn what_the_header_says_is_compared_with_the_key_and_never_supplies_one() {
    let (ours, theirs) = (Signer::ecdsa("ES256", "a"), Signer::ecdsa("ES256", "a"));
    let (big, mut crypt) = (Signer::ecdsa("ES384", "big"), Signer::ecdsa("ES256", "crypt"));
    crypt.public["use"] = json!("enc");
    let mut fixed = Signer::ecdsa("ES256", "fixed");
    fixed.public["alg"] = json!("ES384");
    let all = provider(&[&ours.public, &big.public, &crypt.public, &fixed.public]);
    let good = json!({"alg": "ES256", "kid": "a"});
    let foreign = json!({"jwk": theirs.public, "jku": "https://evil.example.com/keys", "x5c": ["MIIB"]});
    let rows = [
        (&ours, json!({}), Ok(())),
        (&ours, json!({"typ": "JWT"}), Ok(())),
        (&ours, json!({"typ": "jwt"}), Ok(())),
        (&ours, json!({"typ": "at+jwt"}), Err(TokenFlaw::Header)),
        (&ours, json!({"crit": ["exp"], "exp": 1}), Err(TokenFlaw::Header)),
        (&ours, json!({"crit": []}), Err(TokenFlaw::Header)),
        (&ours, json!({"alg": null}), Err(TokenFlaw::Algorithm)),
        (&ours, json!({"alg": "ES512"}), Err(TokenFlaw::Algorithm)),
        (&ours, json!({"alg": "ES384"}), Err(TokenFlaw::NoKey)),
        (&ours, json!({"alg": "RS256"}), Err(TokenFlaw::NoKey)),
        (&ours, json!({"alg": "EdDSA"}), Err(TokenFlaw::NoKey)),
        (&big, json!({"kid": "big"}), Err(TokenFlaw::NoKey)),
        (&crypt, json!({"kid": "crypt"}), Err(TokenFlaw::NoKey)),
        (&fixed, json!({"kid": "fixed"}), Err(TokenFlaw::NoKey)),
        (&ours, json!({"kid": "unknown"}), Err(TokenFlaw::NoKey)),
        (&ours, foreign.clone(), Ok(())),
        (&theirs, foreign.clone(), Err(TokenFlaw::Signature)),
        (&theirs, with(foreign, &json!({"kid": "theirs"})), Err(TokenFlaw::NoKey)),
    ];
    for (signer, change, expected) in rows {
        let token = signer.token_under(&with(good.clone(), &change), &claims());
        assert_eq!(judged(&token, &all), expected, "{change}");
    }
    let nameless = ours.token_under(&json!({"alg": "ES256"}), &claims());
    assert_eq!(judged(&nameless, &all), Ok(()), "only one fits");
    let two = provider(&[&ours.public, &theirs.public]);
    assert_eq!(judged(&nameless, &two), Err(TokenFlaw::NoKey));
    let mut few = provider(&[&ours.public]);
    few.algorithms.retain(|algorithm| algorithm != "ES256");
    assert_eq!(judged(&ours.token(&claims()), &few), Err(TokenFlaw::Algorithm), "not announced");
}

#[test]
fn a_token_counts_for_us_from_the_issuer_in_time_and_once() {
    let (signer, second) = (Signer::ecdsa("ES256", "a"), now().as_second());
    let provider = provider(&[&signer.public]);
    let rows = [
        (json!({"iss": "https://issuer.example.com/"}), Err(TokenFlaw::Issuer)),
        (json!({"iss": null}), Err(TokenFlaw::Issuer)),
        (json!({"aud": "other"}), Err(TokenFlaw::Audience)),
        (json!({"aud": null}), Err(TokenFlaw::Audience)),
        (json!({"aud": []}), Err(TokenFlaw::Audience)),
        (json!({"aud": {"portal": true}}), Err(TokenFlaw::Audience)),
        (json!({"aud": ["portal"]}), Ok(())),
        (json!({"aud": ["other", "portal"]}), Err(TokenFlaw::Audience)),
        (json!({"aud": ["other", "portal"], "azp": "portal"}), Ok(())),
        (json!({"aud": ["other", "portal"], "azp": "other"}), Err(TokenFlaw::Audience)),
        (json!({"azp": "other"}), Err(TokenFlaw::Audience)),
        (json!({"exp": second - 60}), Err(TokenFlaw::Expired)),
        (json!({"exp": second - 59}), Ok(())),
        (json!({"exp": null}), Err(TokenFlaw::Expired)),
        (json!({"exp": "never"}), Err(TokenFlaw::Expired)),
        (json!({"iat": second + 60}), Ok(())),
        (json!({"iat": second + 61}), Err(TokenFlaw::NotYet)),
        (json!({"iat": null}), Err(TokenFlaw::NotYet)),
        (json!({"nbf": second + 61}), Err(TokenFlaw::NotYet)),
        (json!({"nbf": "later"}), Err(TokenFlaw::NotYet)),
        (json!({"nbf": second}), Ok(())),
        (json!({"nonce": "other"}), Err(TokenFlaw::Nonce)),
        (json!({"nonce": null}), Err(TokenFlaw::Nonce)),
        (json!({"nonce": ["nonce"]}), Err(TokenFlaw::Nonce)),
    ];
    for (change, expected) in rows {
        assert_eq!(judged(&signer.token(&with(claims(), &change)), &provider), expected, "{change}");
    }
}

/// A provider over HTTP: its metadata, its keys, its answer to a code, and the requests it received.
#[derive(Clone, Debug, Default)]
struct Wire {
    network: Arc<Network>,
    told: Arc<Mutex<Told>>,
}

#[derive(Debug, Default)]
struct Told {
    metadata: Value,
    keys: Value,
    token: String,
    asked: Vec<Request>,
}

impl Wire {
    fn new(keys: &[&Value]) -> Self {
        let wire = Self::default();
        wire.told.lock().unwrap().metadata = metadata();
        wire.publish(keys);
        wire
    }

    fn publish(&self, keys: &[&Value]) {
        // There are also keys that nobody here knows.
        let odd = json!({"kty": "oct", "k": "AAAA", "use": 7});
        let all = [&[&odd], keys].concat();
        self.told.lock().unwrap().keys = json!({ "keys": all });
    }

    fn gives(&self, token: String) {
        self.told.lock().unwrap().token = token;
    }

    fn asked(&self, path: &str) -> Vec<Request> {
        let state = self.told.lock().unwrap();
        state.asked.iter().filter(|request| request.uri().path() == path).cloned().collect()
    }
}

impl Http for Wire {
    fn send(&self, request: Request) -> BoxFuture<'_, Result<Received, SendError>> {
        let mut state = self.told.lock().unwrap();
        let body = match request.uri().path() {
            "/.well-known/openid-configuration" => state.metadata.to_string(),
            "/keys" => state.keys.to_string(),
            _ => json!({"access_token": "a", "token_type": "Bearer", "id_token": state.token}).to_string(),
        };
        state.asked.push(request);
        let received =
            Received { status: StatusCode::OK, headers: HeaderMap::new(), body: body.into_bytes() };
        Box::pin(std::future::ready(Ok(received)))
    }

    fn network(&self) -> &Network {
        &self.network
    }
}

fn metadata() -> Value {
    let at = |path: &str| format!("{ISSUER}{path}");
    json!({"issuer": ISSUER, "authorization_endpoint": at("/authorize?a=b"), "token_endpoint": at("/token"),
        "jwks_uri": at("/keys"), "id_token_signing_alg_values_supported": ["RS256", "ES256"]})
}

fn settings(secret: Option<&str>) -> Oidc {
    Oidc {
        issuer: ISSUER.to_owned(),
        client_id: "portal".to_owned(),
        client_secret: secret.map(SecretString::from),
        claims: OidcClaims {
            username_claim: "sub".to_owned(),
            username_prefix: Some("-".to_owned()),
            groups_claim: "groups".to_owned(),
            groups_prefix: String::new(),
            scopes: vec!["openid".to_owned(), "email".to_owned()],
        },
        network: Network::default(),
    }
}

fn openid(wire: &Wire, secret: Option<&str>) -> OpenId {
    OpenId::new(settings(secret), Box::new(wire.clone()), BACK.to_owned())
}

fn kept() -> AuthRequest {
    AuthRequest { state: "state".to_owned(), nonce: "nonce".to_owned(), verifier: "verifier".to_owned() }
}

async fn finished(openid: &OpenId, now: Timestamp) -> Result<String, String> {
    let session = openid.finish(&SecretString::from("code"), &kept(), now).await;
    session.map(|session| session.user().to_owned()).map_err(|failure| failure.what)
}

#[tokio::test]
async fn a_sign_in_asks_with_state_nonce_and_a_challenge_of_its_own() {
    let openid = openid(&Wire::new(&[]), None);
    let (address, one) = openid.begin(now()).await.unwrap();
    let (_, other) = openid.begin(now()).await.unwrap();
    let challenge = digest::digest(&digest::SHA256, one.verifier.as_bytes());
    let sent: Vec<(String, String)> = address.query_pairs().into_owned().collect();
    let expected = [
        ("a", "b"),
        ("response_type", "code"),
        ("client_id", "portal"),
        ("redirect_uri", BACK),
        ("scope", "openid email"),
        ("state", &one.state),
        ("nonce", &one.nonce),
        ("code_challenge", &base64(challenge)),
        ("code_challenge_method", "S256"),
    ];
    assert_eq!(sent, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    let all = [one.state, one.nonce, one.verifier, other.state, other.nonce, other.verifier];
    assert!(all.iter().enumerate().all(|(at, text)| text.len() == 43 && !all[..at].contains(text)));
}

#[tokio::test]
async fn the_code_goes_out_once_with_its_verifier_and_the_client_proven() {
    let signer = Signer::ecdsa("ES256", "a");
    let body = |request: &Request| String::from_utf8(request.body().clone()).unwrap();
    let code = "grant_type=authorization_code&code=code\
        &redirect_uri=https%3A%2F%2Fbowline.example.com%2Fsign-in%2Foidc%2Fcallback&code_verifier=verifier";
    let rows = [
        (Some("s:e"), json!(null), Some("Basic cG9ydGFsOnMlM0Fl"), String::new()),
        (
            Some("s"),
            json!(["client_secret_post", "client_secret_basic"]),
            Some("Basic cG9ydGFsOnM="),
            String::new(),
        ),
        (
            Some("s:e"),
            json!(["client_secret_post"]),
            None,
            "&client_id=portal&client_secret=s%3Ae".to_owned(),
        ),
        (None, json!(["none"]), None, "&client_id=portal".to_owned()),
    ];
    for (secret, methods, header, rest) in rows {
        let wire = Wire::new(&[&signer.public]);
        wire.told.lock().unwrap().metadata =
            with(metadata(), &json!({"token_endpoint_auth_methods_supported": methods}));
        wire.gives(signer.token(&claims()));
        assert_eq!(finished(&openid(&wire, secret), now()).await, Ok("alice".to_owned()));
        let [request] = &wire.asked("/token")[..] else { panic!("sent more than once") };
        let sent = request.headers().get("authorization").map(|value| value.to_str().unwrap());
        assert_eq!((sent, body(request)), (header, code.to_owned() + &rest), "{methods}");
    }
}

#[tokio::test]
async fn a_new_key_is_looked_for_once_and_not_again_for_half_a_minute() {
    let (old, new) = (Signer::ecdsa("ES256", "old"), Signer::ecdsa("ES256", "new"));
    let wire = Wire::new(&[&old.public]);
    let openid = openid(&wire, None);
    let looks = || wire.asked("/keys").len();
    wire.gives(old.token(&claims()));
    assert!(finished(&openid, at(0)).await.is_ok() && finished(&openid, at(1)).await.is_ok());
    assert_eq!(looks(), 1);

    wire.gives(new.token(&claims()));
    assert!(finished(&openid, at(29)).await.is_err() && finished(&openid, at(29)).await.is_err());
    assert_eq!(looks(), 1, "so soon after the last look");
    wire.publish(&[&old.public, &new.public]);
    assert_eq!(finished(&openid, at(30)).await, Ok("alice".to_owned()));
    assert_eq!(looks(), 2);

    wire.gives(Signer::ecdsa("ES256", "new").token(&claims()));
    for second in [31, 45, 59] {
        assert!(finished(&openid, at(second)).await.is_err());
    }
    assert_eq!(looks(), 2);
    wire.gives(new.token(&with(claims(), &json!({"nonce": "other"}))));
    assert!(finished(&openid, at(90)).await.is_err());
    assert_eq!(looks(), 2, "a token that somebody else asked for says nothing about keys");
}

#[tokio::test]
async fn metadata_of_somebody_else_or_without_tls_counts_for_nothing() {
    let rows = [
        json!({"issuer": "https://issuer.example.com/"}),
        json!({"issuer": "https://evil.example.com"}),
        json!({"authorization_endpoint": "javascript:alert(1)"}),
        json!({"authorization_endpoint": "http://issuer.example.com/authorize"}),
        json!({"token_endpoint": "http://issuer.example.com/token"}),
        json!({"jwks_uri": "http://issuer.example.com/keys"}),
        json!({"jwks_uri": null}),
        json!({"id_token_signing_alg_values_supported": null}),
    ];
    for change in rows {
        let wire = Wire::new(&[]);
        wire.told.lock().unwrap().metadata = with(metadata(), &change);
        let failure = openid(&wire, None).begin(now()).await.map(|(address, _)| address).unwrap_err();
        assert_eq!(failure.status, StatusCode::SERVICE_UNAVAILABLE, "{change}");
    }
}
