//! TLS to others, the same for all that dial: rustls on ring, and whom it trusts. Knows no protocol above it.

use std::path::Path;
use std::sync::Arc;

use hyper_rustls::ConfigBuilderExt;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, ConfigBuilder, RootCertStore, WantsVerifier};

/// Certificates in a file of authorities; a house has one or two.
const AUTHORITIES_MAX: usize = 256;

/// Why a file of authorities is of no use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthorityError {
    #[error("it cannot be read: {0}")]
    Unreadable(String),
    #[error("there is no certificate in it; it begins with -----BEGIN CERTIFICATE-----")]
    Empty,
    #[error("a certificate in it is none of an authority: {0}")]
    Unusable(String),
}

/// Trusts the public authorities.
pub fn public() -> ClientConfig {
    builder().with_webpki_roots().with_no_client_auth()
}

/// Trusts the authorities in this file (PEM), and nobody else.
pub fn of_authorities(file: &Path) -> Result<ClientConfig, AuthorityError> {
    let certificates =
        CertificateDer::pem_file_iter(file).map_err(|error| AuthorityError::Unreadable(error.to_string()))?;
    let mut roots = RootCertStore::empty();
    for certificate in certificates.take(AUTHORITIES_MAX) {
        let certificate = certificate.map_err(|error| AuthorityError::Unreadable(error.to_string()))?;
        roots.add(certificate).map_err(|error| AuthorityError::Unusable(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(AuthorityError::Empty);
    }
    Ok(builder().with_root_certificates(roots).with_no_client_auth())
}

fn builder() -> ConfigBuilder<ClientConfig, WantsVerifier> {
    ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring speaks TLS 1.2 and 1.3")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_names_nobody_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ca.pem");
        assert!(matches!(of_authorities(&file), Err(AuthorityError::Unreadable(_))));
        std::fs::write(&file, "no certificate\n").unwrap();
        assert_eq!(of_authorities(&file).unwrap_err(), AuthorityError::Empty);
        std::fs::write(&file, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap();
        assert!(matches!(of_authorities(&file), Err(AuthorityError::Unusable(_))));
    }
}
