#![allow(clippy::unwrap_used)]

use super::*;
use crate::vault::record::RECORD_TYPE;
use crate::vault::record::fixtures::{authorized, place};

fn from_the_server(record: &Record) -> Secret {
    let mut secret = record.to_secret().unwrap();
    secret.metadata.uid = Some("s".into());
    secret.metadata.resource_version = Some("10".into());
    secret
}

#[test]
fn the_name_decides_whose_record_it_is_and_labels_do_not() {
    let mut copy = from_the_server(&authorized());
    copy.metadata.name = Some("copy-of-record-u1".into());
    assert!(identity::<Record>(&copy.metadata).is_none());

    let secret = from_the_server(&Record::new(place()));
    let (uid, object) = identity::<Record>(&secret.metadata).unwrap();
    assert_eq!((&*uid, &*object.uid, &*object.resource_version), ("u1", "s", "10"));
    assert_eq!(secret.type_.as_deref(), Some(RECORD_TYPE));
}
