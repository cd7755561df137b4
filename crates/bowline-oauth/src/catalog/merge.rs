//! How one description is laid over another: a file over the one it extends, an overlay over an entry.

use serde_json::{Map, Value};

/// Lays one object over another (RFC 7396): maps merge, lists and scalars replace, `null` removes.
pub fn merge(base: &mut Map<String, Value>, over: &Map<String, Value>) {
    for (key, value) in over {
        match (base.get_mut(key), value) {
            (_, Value::Null) => {
                base.remove(key);
            }
            (Some(Value::Object(below)), Value::Object(above)) => merge(below, above),
            // A `null` in it removes what is not there.
            (_, Value::Object(above)) => {
                let mut fresh = Map::new();
                merge(&mut fresh, above);
                base.insert(key.clone(), fresh.into());
            }
            _ => {
                base.insert(key.clone(), value.clone());
            }
        }
    }
}
