//! A server behind TLS.

use std::sync::Arc;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{PrivateKeyDer, pem::PemObject},
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    task::JoinHandle,
};
use tokio_rustls::TlsAcceptor;

use crate::program::Way;

struct Server {
    folder: TempDir,
    port: u16,
    /// The request, or why the handshake failed.
    served: JoinHandle<std::io::Result<String>>,
}

/// Serves one request with a certificate for localhost that no browser trusts.
async fn serving(answer: &'static str) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let port = listener.local_addr().expect("has one").port();
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(vec!["localhost".to_owned()]).expect("is made");
    let folder = tempfile::tempdir().expect("is made");
    std::fs::write(folder.path().join("ca.pem"), cert.pem()).expect("is written");
    let key = PrivateKeyDer::from_pem_slice(signing_key.serialize_pem().as_bytes()).expect("is a key");
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("are there")
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .expect("fit");
    let served = tokio::spawn(async move {
        let (stream, _) = listener.accept().await?;
        let mut stream = TlsAcceptor::from(Arc::new(config)).accept(stream).await?;
        let mut request = vec![0; 4_096];
        let read = stream.read(&mut request).await?;
        request.truncate(read);
        stream.write_all(answer.as_bytes()).await?;
        stream.shutdown().await?;
        Ok(String::from_utf8_lossy(&request).into_owned())
    });
    Server { folder, port, served }
}

impl Server {
    fn way(&self, ca_file: Option<&str>) -> Way {
        let url = format!("https://localhost:{}/gaia", self.port);
        let ca_file = ca_file.map(|name| self.folder.path().join(name).display().to_string());
        let mut options = vec!["--server".to_owned(), url];
        options.extend(ca_file.into_iter().flat_map(|file| ["--ca-file".to_owned(), file]));
        Way {
            options,
            ..Way::default()
        }
    }
}

const THEMES: &str = "HTTP/1.1 200 OK\r\ncontent-length: 14\r\n\r\n{\"themes\": []}";

#[actix_rt::test]
async fn an_authority_of_a_file_is_trusted() {
    let server = serving(THEMES).await;
    let done = server
        .way(Some("ca.pem"))
        .ends(0, &["theme", "list", "-o", "json"])
        .await;
    assert_eq!(done.stdout, "[]\n");
    let request = server.served.await.expect("ends").expect("is asked").to_lowercase();
    assert!(request.starts_with("get /gaia/api/v1/themes http/1.1\r\n"), "{request}");
    assert!(
        request.contains(&format!("\r\nhost: localhost:{}\r\n", server.port)),
        "{request}"
    );
}

#[actix_rt::test]
async fn an_unknown_authority_is_refused_before_the_token_is_sent() {
    let server = serving(THEMES).await;
    let refused = server.way(None).ends(8, &["theme", "list"]).await;
    assert!(refused.stderr.contains("certificate"), "{refused:?}");
    assert!(server.served.await.expect("ends").is_err());
    let server = serving(THEMES).await;
    server.way(Some("no-such-file.pem")).ends(2, &["theme", "list"]).await;
}

/// The closing message of TLS says that the connection has ended, and not that the answer has.
#[actix_rt::test]
async fn an_answer_that_is_cut_off_is_no_answer() {
    for cut in [
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n9\r\n{\"id\": 1}\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"id\": 1}\n",
    ] {
        let server = serving(cut).await;
        let done = server.way(Some("ca.pem")).ends(8, &["task", "export", "--all"]).await;
        assert!(done.stderr.contains("broke off"), "{done:?}");
    }
}
