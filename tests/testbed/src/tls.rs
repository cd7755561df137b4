//! The one TLS provider.

use std::sync::Once;

/// Makes ring the process's TLS provider. Any number of calls; the first one counts.
///
/// A kube or reqwest client built before it panics.
pub fn install_tls() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        // An error says that the process already has one, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
}
