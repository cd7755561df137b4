//! The owner agrees to the account behind a grant that came by device flow.

use bowline_api::names;

use super::Consenting;
use crate::grant::outcome::{Origin, Outcome};
use crate::vault::Record;
use crate::vault::record::SealedField;

pub(super) async fn confirm(at: Consenting<'_>, account: &str) -> Outcome {
    let records = &at.engine.records;
    let change = |record: Record| {
        let Ok(Some(mut grant)) = record.open_grant(&records.sealer) else { return Ok(record) };
        let named = grant.bound_to.account.as_ref();
        let named = named.map_or(names::UNNAMED_ACCOUNT, |account| account.id.as_str());
        if named != account || grant.consent.confirmed {
            return Ok(record);
        }
        grant.consent.confirmed = true;
        record.agreed(&records.sealer, &grant)
    };
    match records.settle(&at.job.place.uid, change).await {
        Ok(Some(loaded)) => {
            let revision = loaded.record.grant().map_or(0, SealedField::revision);
            Outcome::Committed { revision, origin: Origin::Accepted }
        }
        Ok(None) | Err(_) => Outcome::Stale,
    }
}
