//! Times in a provider's headers, and headers that no description may set.

use std::time::Duration;

use http::HeaderMap;
use http::header::{DATE, HeaderName, RETRY_AFTER};
use k8s_openapi::jiff::Timestamp;

/// The longest wait that a provider can request.
pub(crate) const MAX_RETRY_AFTER: Duration = Duration::from_hours(1);

/// `Retry-After` as seconds or as a date in any of HTTP's three forms (RFC 9110 §5.6.7, §10.2.3), at most
/// [`MAX_RETRY_AFTER`]. Anything else counts as absent; a date in the past is a wait of zero.
pub(crate) fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let value = text(headers, &RETRY_AFTER)?;
    let wait = if let Some(seconds) = seconds(value) {
        Duration::from_secs(seconds)
    } else {
        // Relative to the provider's own clock, if it sends its time.
        let from = date(headers).unwrap_or(now);
        let wait = instant(value)?.duration_since(from);
        Duration::try_from(wait).unwrap_or(Duration::ZERO)
    };
    Some(wait.min(MAX_RETRY_AFTER))
}

/// When the server answered, by its own clock (RFC 9110 §6.6.1).
pub(crate) fn date(headers: &HeaderMap) -> Option<Timestamp> {
    text(headers, &DATE).and_then(instant)
}

/// Whether a header is ours alone to set: it says where a request goes, who sends it, or how it is framed.
pub(crate) fn is_ours(name: &str) -> bool {
    const OURS: [&str; 14] = [
        "host",
        "authorization",
        "proxy-authorization",
        "proxy-connection",
        "cookie",
        "content-length",
        "content-type",
        "transfer-encoding",
        "te",
        "trailer",
        "connection",
        "keep-alive",
        "upgrade",
        "expect",
    ];
    name.starts_with(':') || OURS.iter().any(|ours| name.eq_ignore_ascii_case(ours))
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

/// Digits only. A number that is too large to store is a long wait, not an error.
fn seconds(value: &str) -> Option<u64> {
    let digits = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| value.parse().unwrap_or(u64::MAX))
}

fn instant(value: &str) -> Option<Timestamp> {
    httpdate::parse_http_date(value).ok()?.try_into().ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    const NOW: &str = "2026-11-21T04:00:00Z";

    fn wait(retry_after_value: &[u8], date: Option<&str>) -> Option<u64> {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, HeaderValue::from_bytes(retry_after_value).unwrap());
        if let Some(date) = date {
            headers.insert(DATE, HeaderValue::from_str(date).unwrap());
        }
        retry_after(&headers, NOW.parse().unwrap()).map(|wait| wait.as_secs())
    }

    #[test]
    fn retry_after_is_read_as_seconds_or_date_and_capped() {
        let rows: [(&str, Option<u64>); 13] = [
            ("0", Some(0)),
            ("120", Some(120)),
            (" 7 ", Some(7)),
            ("3601", Some(3600)),
            ("99999999999999999999999", Some(3600)),
            ("-1", None),
            ("1.5", None),
            ("soon", None),
            ("", None),
            ("Sat, 21 Nov 2026 04:01:30 GMT", Some(90)),
            ("Sat, 21 Nov 2026 03:00:00 GMT", Some(0)),
            ("Saturday, 21-Nov-26 04:00:07 GMT", Some(7)),
            ("Sat Nov 21 04:00:08 2026", Some(8)),
        ];
        for (value, want) in rows {
            assert_eq!(wait(value.as_bytes(), None), want, "{value:?}");
        }
    }

    #[test]
    fn a_date_is_counted_from_the_providers_own_clock() {
        let late = "Sat, 21 Nov 2026 05:00:30 GMT";
        assert_eq!(wait(late.as_bytes(), Some("Sat, 21 Nov 2026 05:00:00 GMT")), Some(30));
        assert_eq!(wait(late.as_bytes(), Some("yesterday")), Some(3600));
    }

    proptest! {
        #[test]
        fn no_header_makes_it_panic_or_wait_longer_than_an_hour(
            value in proptest::collection::vec(any::<u8>(), 0..40),
            words in "[A-Za-z]{3}, [0-9]{1,3} [A-Z][a-z]{2} [0-9]{1,6} [0-9:]{1,9} [A-Z+0-9]{0,5}",
        ) {
            for bytes in [value.as_slice(), words.as_bytes()] {
                if HeaderValue::from_bytes(bytes).is_ok() {
                    prop_assert!(wait(bytes, None).is_none_or(|seconds| seconds <= 3600));
                }
            }
        }
    }
}
