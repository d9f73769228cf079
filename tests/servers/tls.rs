//! Encrypted connections, against private servers with a certificate of an authority of our own.

use std::{
    fs,
    path::{Path, PathBuf},
};

use gaia_actors::prelude::*;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tempfile::TempDir;

use crate::{
    kinds,
    private::Private,
    support::{Kind, execute, refusal},
};

/// An authority, and a server's certificate for `localhost` from it.
struct Certificates(TempDir);

impl Certificates {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut authority = CertificateParams::new(Vec::new()).expect("is good");
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority_key = KeyPair::generate().expect("is made");
        let ca = authority.self_signed(&authority_key).expect("is signed");
        let issuer = Issuer::new(authority, authority_key);
        let server = CertificateParams::new(vec!["localhost".to_owned()]).expect("is good");
        let server_key = KeyPair::generate().expect("is made");
        let certificate = server.signed_by(&server_key, &issuer).expect("is signed");
        for (name, text) in [
            ("ca.crt", ca.pem()),
            ("server.crt", certificate.pem()),
            ("server.key", server_key.serialize_pem()),
        ] {
            fs::write(folder.path().join(name), text).expect("writes");
        }
        Self(folder)
    }

    fn authority(&self) -> PathBuf {
        self.0.path().join("ca.crt")
    }
}

#[actix_rt::test]
async fn connections_are_encrypted_and_certificates_checked_as_asked() {
    let (ours, others) = (Certificates::new(), Certificates::new());
    for kind in kinds() {
        let server = Private::server(kind, &["--tls".as_ref(), ours.0.path()]);
        // One whom the server lets in over an encrypted connection only.
        let url = only_encrypted(kind, &server.url);
        let (by_number, by_name) = (url.clone(), url.replace("127.0.0.1", "localhost"));
        let (ours, others) = (ours.authority(), others.authority());
        let connect = async |url: &str, mode: &str, ca: Option<&Path>| {
            let ca = ca.map_or_else(String::new, |ca| format!("&sslrootcert={}", ca.display()));
            let gaia = Gaia::builder()
                .database(format!("{url}?sslmode={mode}{ca}"))
                .start()
                .await?;
            gaia.stop().await.map(drop)
        };

        refusal(connect(&by_number, "disable", None).await);
        connect(&by_number, "require", None).await.expect("any certificate");
        // The driver for MySQL checks the name whenever it checks anything.
        let any_host = if is_mysql(kind) { &by_name } else { &by_number };
        connect(any_host, "require", Some(&ours))
            .await
            .expect("of ours, for any host");
        connect(&by_name, "verify-full", Some(&ours))
            .await
            .expect("of ours, for this host");
        for (what, refused) in [
            ("another authority", connect(&by_number, "require", Some(&others)).await),
            ("another host", connect(&by_number, "verify-full", Some(&ours)).await),
            (
                "another authority, checked fully",
                connect(&by_name, "verify-full", Some(&others)).await,
            ),
            ("no known authority", connect(&by_name, "verify-full", None).await),
        ] {
            assert!(refused.is_err(), "{kind:?}: {what} was accepted");
            let text = refusal(refused);
            assert!(
                text.contains("ertificate") || text.contains("UnknownIssuer"),
                "{kind:?}, {what}: {text}"
            );
            assert!(!text.contains("gaia-secret"), "{text}");
        }
        let text = refusal(connect(&by_name, "verify-full", Some(Path::new("/no/such/file"))).await);
        assert!(
            text.contains("/no/such/file") || text.contains("No such file"),
            "{kind:?}: {text}"
        );
    }
}

fn is_mysql(kind: Kind) -> bool {
    match kind {
        #[cfg(feature = "mysql")]
        Kind::Mysql => true,
        #[cfg(any(feature = "sqlite", feature = "postgres"))]
        _ => false,
    }
}

/// The same URL for a user who must connect encrypted.
fn only_encrypted(kind: Kind, url: &str) -> String {
    let sql = match kind {
        #[cfg(feature = "sqlite")]
        Kind::Sqlite => panic!("a file is not connected to"),
        #[cfg(feature = "postgres")]
        Kind::Postgres => {
            "CREATE ROLE tls LOGIN SUPERUSER PASSWORD 'gaia-secret'; \
             CREATE TABLE hba AS SELECT unnest(string_to_array('hostnossl all tls all reject' || chr(10) || \
               pg_read_file(current_setting('hba_file')), chr(10))) AS line; \
             DO $$ BEGIN EXECUTE format('COPY hba TO %L', current_setting('hba_file')); END $$; \
             DROP TABLE hba; SELECT pg_reload_conf(); SELECT pg_sleep(1)"
        }
        #[cfg(feature = "mysql")]
        Kind::Mysql => "CREATE USER tls IDENTIFIED BY 'gaia-secret' REQUIRE SSL; GRANT ALL ON *.* TO tls",
    };
    execute(kind, url, sql);
    url.replace("//gaia:", "//tls:")
}
