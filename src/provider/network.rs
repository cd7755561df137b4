//! The network that a provider object requests, checked against what the operator allows. Pure.

use bowline_api::provider::NetworkPolicy;
use bowline_oauth::guard::{AddressRefused, AddressRule};
use bowline_oauth::http::HttpClientError;
use bowline_oauth::network::{Network, NetworkBounds, OutOfBounds};
use bowline_runtime::telemetry::chain;
use ipnet::IpNet;
use k8s_openapi::api::core::v1::Secret;
use url::Url;

/// Key of the certificate authorities in the Secret that `caSecretName` names.
const CA_KEY: &str = "ca.crt";

/// The network of a provider object; the error is a sentence with the field, and the flag if the operator can allow it.
pub(super) fn network(
    asked: Option<&NetworkPolicy>,
    ca_secret: Option<&Secret>,
    bounds: &NetworkBounds,
) -> Result<Network, String> {
    let NetworkPolicy { allow_http, allowed_cidrs, ca_secret_name, proxy } =
        asked.cloned().unwrap_or_default();
    let cidr = |text: &String| {
        let unread = |_| format!("spec.network.allowedCIDRs: {text} is not a CIDR, such as 10.20.0.0/16.");
        text.parse::<IpNet>().map_err(unread)
    };
    let unread =
        |_| "spec.network.proxy is not an address, such as http://proxy.example.com:3128.".to_owned();
    let network = Network {
        allow_http: allow_http.unwrap_or_default(),
        allowed_cidrs: allowed_cidrs.iter().map(cidr).collect::<Result<_, _>>()?,
        ca_certificates: ca_secret_name.map(|name| certificates(&name, ca_secret)).transpose()?,
        proxy: proxy.as_deref().map(Url::parse).transpose().map_err(unread)?,
    };
    bounds.check(&network).map_err(|error| beyond(&error))?;
    Ok(network)
}

fn certificates(name: &str, secret: Option<&Secret>) -> Result<Vec<u8>, String> {
    let secret = secret.ok_or_else(|| {
        format!(
            "spec.network.caSecretName: there is no Secret {name} in the operator's namespace. Create it with the key {CA_KEY}."
        )
    })?;
    let found = secret.data.as_ref().and_then(|data| data.get(CA_KEY));
    found.map(|certificates| certificates.0.clone()).ok_or_else(|| {
        format!("spec.network.caSecretName: Secret {name} in the operator's namespace has no key {CA_KEY}.")
    })
}

fn beyond(error: &OutOfBounds) -> String {
    match error {
        OutOfBounds::Http => {
            "spec.network.allowHTTP needs the operator's flag --allow-http-providers: remove the field or add the flag.".to_owned()
        }
        OutOfBounds::Cidr(cidr) => format!(
            "spec.network.allowedCIDRs: {cidr} is not within the operator's --provider-networks: remove it, or add the network there."
        ),
        OutOfBounds::Proxy => {
            "spec.network.proxy is not among the operator's --provider-proxy: remove it, or add the proxy there.".to_owned()
        }
    }
}

/// Why no client can be built for a network, as a sentence.
pub(super) fn unusable(error: &HttpClientError) -> String {
    match error {
        HttpClientError::NoCertificate => {
            format!("spec.network.caSecretName: the key {CA_KEY} of that Secret holds no certificate in PEM.")
        }
        error => format!("spec.network cannot be used: {}.", chain(error)),
    }
}

/// What is needed for a refused address, as a sentence.
pub(super) fn remedy(refused: &AddressRefused) -> &'static str {
    use AddressRule::{
        Benchmarking, CarrierNat, ClusterName, Documentation, LocalName, Loopback, NotHttps, Private,
        Reserved,
    };
    match refused.rule {
        NotHttps => "http:// needs spec.network.allowHTTP, and the operator's flag --allow-http-providers.",
        LocalName | ClusterName | Loopback | Private | CarrierNat | Documentation | Benchmarking
        | Reserved => {
            "Such addresses need spec.network.allowedCIDRs, within the operator's --provider-networks."
        }
        _ => "Use another address: no setting allows this one.",
    }
}
