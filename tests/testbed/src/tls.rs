//! The one TLS provider.

use std::sync::Once;

/// Makes ring the process's TLS provider. You may call it many times; only the first call counts.
///
/// Building a kube or reqwest client before this call panics.
pub fn install_tls() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        // An error means that the process already has one, which is just as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
}
