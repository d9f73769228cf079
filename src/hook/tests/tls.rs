//! TLS handshakes, with good and bad certificates.

use std::{io::Write, sync::Arc};

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{PrivateKeyDer, pem::PemObject},
};
use tempfile::NamedTempFile;
use tokio_rustls::TlsAcceptor;

use super::*;

struct Server {
    port: u16,
    /// The certificate, in PEM.
    pem: NamedTempFile,
    /// The request and the protocol that both sides agreed on, or why the handshake failed.
    served: JoinHandle<std::io::Result<(String, Option<Vec<u8>>)>>,
}

/// Serves one request with a certificate for `name`.
async fn serving_tls(name: &str) -> Server {
    serving_tls_on("127.0.0.1:0", name, 1).await.unwrap()
}

/// Serves so many requests on one connection.
async fn serving_tls_on(address: &str, name: &str, requests: usize) -> std::io::Result<Server> {
    let listener = TcpListener::bind(address).await?;
    let port = listener.local_addr()?.port();
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(vec![name.to_owned()]).unwrap();
    let mut pem = NamedTempFile::new().unwrap();
    pem.write_all(cert.pem().as_bytes()).unwrap();
    let key = PrivateKeyDer::from_pem_slice(signing_key.serialize_pem().as_bytes()).unwrap();
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let served = spawn(async move {
        let (stream, _) = listener.accept().await?;
        let mut stream = TlsAcceptor::from(Arc::new(config)).accept(stream).await?;
        let mut last = String::new();
        for _ in 0..requests {
            last = request(&mut stream).await;
            stream.write_all(OK.as_bytes()).await?;
        }
        // The client sends TLS's closing message; without that message this read would be an error.
        assert_eq!(stream.read(&mut [0]).await?, 0);
        let protocol = stream.get_ref().1.alpn_protocol().map(<[u8]>::to_vec);
        Ok((last, protocol))
    });
    Ok(Server { port, pem, served })
}

#[actix_rt::test]
async fn an_added_authority_is_trusted_and_http_1_1_is_agreed_on() {
    let server = serving_tls("localhost").await;
    let client = client(&HookOptions::default().root_certificates(server.pem.path()));
    let url = format!("https://localhost:{}/report", server.port);
    assert_eq!(client.call(to(url)).await.unwrap().body, "hi");
    let (request, protocol) = server.served.await.unwrap().unwrap();
    assert!(request.starts_with("POST /report HTTP/1.1\r\n"), "{request}");
    assert_eq!(
        header(&request, "host"),
        Some(format!("localhost:{}", server.port).as_str())
    );
    assert_eq!(protocol.as_deref(), Some(&b"http/1.1"[..]));
}

/// After the handshake the server sends tickets for later sessions, which are no answer.
#[actix_rt::test]
async fn an_encrypted_connection_can_be_kept() {
    let server = serving_tls_on("127.0.0.1:0", "127.0.0.1", 3).await.unwrap();
    let client = client(&HookOptions::default().root_certificates(server.pem.path()));
    let kept = KeptClient::new(client, 1);
    let url = url::Url::parse(&format!("https://127.0.0.1:{}/", server.port)).unwrap();
    for _ in 0..3 {
        let answer = kept.call(&url, to(url.as_str())).await.unwrap();
        assert_eq!((answer.status, answer.body.as_str()), (200, "hi"));
    }
    drop(kept);
    soon(server.served).await.unwrap().unwrap();
}

#[actix_rt::test]
async fn a_certificate_may_be_for_an_address() {
    let server = serving_tls("127.0.0.1").await;
    let client = client(&HookOptions::default().root_certificates(server.pem.path()));
    let url = format!("https://127.0.0.1:{}/", server.port);
    assert_eq!(client.call(to(url)).await.unwrap().body, "hi");
    soon(server.served).await.unwrap().unwrap();
}

#[actix_rt::test]
async fn a_certificate_may_be_for_an_ipv6_address() {
    let Ok(server) = serving_tls_on("[::1]:0", "::1", 1).await else {
        return; // no IPv6 on this machine
    };
    let client = client(&HookOptions::default().root_certificates(server.pem.path()));
    let url = format!("https://[::1]:{}/", server.port);
    assert_eq!(client.call(to(url)).await.unwrap().body, "hi");
}

#[actix_rt::test]
async fn an_unknown_authority_is_refused() {
    let server = serving_tls("localhost").await;
    let error = call(format!("https://localhost:{}/", server.port)).await.unwrap_err();
    assert!(matches!(error, HookError::Tls { .. }), "{error}");
    assert!(error.to_string().contains("UnknownIssuer"), "{error}");
    assert!(error.to_string().contains("root_certificates"), "{error}");
    assert!(server.served.await.unwrap().is_err());
}

#[actix_rt::test]
async fn a_certificate_for_another_name_is_refused() {
    let server = serving_tls("other.example").await;
    let client = client(&HookOptions::default().root_certificates(server.pem.path()));
    let error = client
        .call(to(format!("https://localhost:{}/", server.port)))
        .await
        .unwrap_err();
    assert!(matches!(error, HookError::Tls { .. }), "{error}");
    assert!(error.to_string().contains("other.example"), "{error}");
    assert!(server.served.await.unwrap().is_err());
}

#[actix_rt::test]
async fn a_server_without_tls_is_refused() {
    let (url, _served) = serving(async |mut stream| {
        let mut hello = [0; 16];
        stream.read_exact(&mut hello).await.unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
    })
    .await;
    let error = call(url.replace("http:", "https:")).await.unwrap_err();
    assert!(matches!(error, HookError::Tls { .. }), "{error}");
}

#[test]
fn a_file_without_certificates_is_refused() {
    let empty = NamedTempFile::new().unwrap();
    for (path, words) in [
        (empty.path(), "no certificate in PEM"),
        ("/no/such/file.pem".as_ref(), "cannot read"),
    ] {
        let error = HookClient::new(&HookOptions::default().root_certificates(path))
            .err()
            .unwrap();
        assert!(error.to_string().contains(words), "{error}");
    }
}
