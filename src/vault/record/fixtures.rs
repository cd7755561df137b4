#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use k8s_openapi::jiff::{SignedDuration, Timestamp};

use super::{Account, Binding, Credential, Grant, IntentId, Opened, Record, Slot};
use crate::vault::keyring::fixtures::{FIRST, march, shared};
use crate::vault::seal::{Place, Sealer};

pub(crate) fn place() -> Place {
    Place {
        cluster: "c1".into(),
        namespace: "team-a".into(),
        name: "github-work".into(),
        uid: "u1".into(),
        provider: "github".into(),
    }
}

pub(crate) fn sealer() -> Sealer {
    Sealer::new(shared(&[FIRST]))
}

/// A grant whose refresh token is `token`, of a known account.
pub(crate) fn grant(token: &str) -> Grant {
    Grant {
        credential: Credential::OAuth {
            refresh_token: Some(token.into()),
            access_token: Some(format!("access-{token}").into()),
            token_type: "Bearer".into(),
        },
        claims: [("sub".to_owned(), "583231".to_owned())].into(),
        scopes: Some(vec!["repo".into()]),
        obtained_at: march(),
        expires_at: Some(minutes(60)),
        refresh_expires_at: None,
        refresh_end_moves: None,
        refresh_issued_at: None,
        published_extras: [("instance_url".to_owned(), "extra-secret".into())].into(),
        bound_to: binding(),
        source: None,
        consent: crate::vault::Consent::default(),
    }
}

pub(crate) fn binding() -> Binding {
    Binding {
        owner: "alice@example.com".into(),
        authority: "https://github.com".into(),
        addresses: addresses(),
        client_id: Some("client-1".into()),
        account: Some(Account { id: "583231".into(), name: Some("octocat".into()), email: None }),
    }
}

pub(crate) fn addresses() -> BTreeMap<String, String> {
    let token = "https://github.com/login/oauth/access_token";
    let revocation = "https://api.github.com/applications";
    let entry = |(place, address): (&str, &str)| (place.to_owned(), address.to_owned());
    [("/endpoints/token", token), ("/revoke/url", revocation)].map(entry).into()
}

pub(crate) fn minutes(minutes: i64) -> Timestamp {
    march() + SignedDuration::from_mins(minutes)
}

pub(crate) fn intent(number: u8) -> IntentId {
    IntentId::from_bytes([number; 16])
}

pub(crate) fn opened(record: &Record, slot: Slot) -> Opened {
    record.open(&sealer(), slot).unwrap().unwrap()
}

/// A record in use: revision 2, grant `r1`, nothing else.
pub(crate) fn authorized() -> Record {
    authorized_as("u1")
}

/// The same for the connection with this UID.
pub(crate) fn authorized_as(uid: &str) -> Record {
    let sealer = sealer();
    let place = Place { uid: uid.to_owned(), ..place() };
    let record = Record::new(place).with_candidate(&sealer, &grant("r1")).unwrap();
    let judged = opened(&record, Slot::Candidate);
    record.promoted(&sealer, &judged, None).unwrap()
}

/// The same with [`intent`]`(1)`.
pub(crate) fn about_to_refresh() -> Record {
    authorized().with_intent(Slot::InUse, None, intent(1), "pod-a", march()).unwrap()
}
