//! TLS to other services, with the certificates that the system trusts.

use std::sync::{Arc, OnceLock};

use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::matrix::NotAsked;

/// Shakes hands with the service called `host`.
///
/// # Errors
/// When it is not who it should be, or speaks no TLS.
pub(super) async fn connect(
    host: &str,
    stream: TcpStream,
) -> Result<TlsStream<TcpStream>, NotAsked> {
    let name = ServerName::try_from(host.to_owned())
        .map_err(|_| NotAsked::new(format!("{host} is no name for a certificate")))?;
    let connector = TlsConnector::from(Arc::clone(config()?));
    let stream = connector.connect(name, stream).await;
    stream.map_err(|error| NotAsked::new(format!("TLS with it failed: {error}")))
}

/// The settings, which are read once: the system's certificates, or those that
/// `SSL_CERT_FILE` and `SSL_CERT_DIR` name, as OpenSSL reads them.
fn config() -> Result<&'static Arc<ClientConfig>, NotAsked> {
    static CONFIG: OnceLock<Result<Arc<ClientConfig>, NotAsked>> = OnceLock::new();
    CONFIG.get_or_init(try_config).as_ref().map_err(Clone::clone)
}

fn try_config() -> Result<Arc<ClientConfig>, NotAsked> {
    // The library would end the process.
    if !is_able() {
        return Err(NotAsked::new("this processor is too old for the TLS of this program"));
    }
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(found.certs);
    if added == 0 {
        let why = found.errors.first().map_or_else(String::new, |error| format!(": {error}"));
        let none = "no certificate is trusted here; name a file in SSL_CERT_FILE";
        return Err(NotAsked::new(format!("{none}{why}")));
    }
    let provider = Arc::new(rustls_graviola::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| NotAsked::new(error.to_string()))?;
    Ok(Arc::new(config.with_root_certificates(roots).with_no_client_auth()))
}

/// Whether this processor has the instructions that graviola has no substitute for.
#[cfg(target_arch = "x86_64")]
fn is_able() -> bool {
    std::arch::is_x86_feature_detected!("adx")
        && std::arch::is_x86_feature_detected!("aes")
        && std::arch::is_x86_feature_detected!("avx")
        && std::arch::is_x86_feature_detected!("avx2")
        && std::arch::is_x86_feature_detected!("bmi1")
        && std::arch::is_x86_feature_detected!("pclmulqdq")
}

/// The same.
#[cfg(target_arch = "aarch64")]
fn is_able() -> bool {
    std::arch::is_aarch64_feature_detected!("aes")
        && std::arch::is_aarch64_feature_detected!("neon")
        && std::arch::is_aarch64_feature_detected!("pmull")
        && std::arch::is_aarch64_feature_detected!("sha2")
}
