//! Connections to the server. TLS is done here, below awc.
//!
//! awc takes a body that was cut off for one that has ended. On this wire the end of the connection is an error: an answer of the API says
//! by itself where it ends.

use std::{
    fmt, io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use actix_rt::net::{ActixStream, Ready, TcpStream};
use actix_service::{Service, fn_service};
use actix_tls::connect::{ConnectError, ConnectInfo, Connection, Host, rustls_0_23::TlsConnector};
use awc::http::Uri;
use rustls::ClientConfig;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use url::Url;

trait Socket: AsyncRead + AsyncWrite + Unpin {}

impl<T: AsyncRead + AsyncWrite + Unpin> Socket for T {}

/// A connection, encrypted or not, whose end is an error.
pub struct Wire(Box<dyn Socket>);

/// Where connections lead.
#[derive(Clone)]
struct Place {
    host: String,
    port: u16,
    tls: Option<Arc<ClientConfig>>,
}

/// A service for awc that connects to the host of the URL; over TLS if there is a configuration for it.
pub fn connector(
    url: &Url,
    tls: Option<Arc<ClientConfig>>,
) -> impl Service<ConnectInfo<Uri>, Response = Connection<Uri, Wire>, Error = ConnectError> + Clone + use<> {
    let place = Place {
        // In the form that certificates and look-ups use: an IPv6 address has no brackets.
        host: url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned(),
        port: url.port_or_known_default().unwrap_or_default(),
        tls,
    };
    fn_service(move |info: ConnectInfo<Uri>| {
        let place = place.clone();
        async move { Ok(Connection::new(info.request().clone(), place.connect().await?)) }
    })
}

impl Place {
    async fn connect(self) -> Result<Wire, ConnectError> {
        let stream = TcpStream::connect((self.host.as_str(), self.port))
            .await
            .map_err(ConnectError::Io)?;
        // The program sends small requests one after the other. Without the option they are slower, and no worse.
        let _ = stream.set_nodelay(true);
        let Some(tls) = self.tls else {
            return Ok(Wire(Box::new(stream)));
        };
        let connection = Connection::new(ServerName(self.host), stream);
        let (stream, _) = TlsConnector::service(tls)
            .call(connection)
            .await
            .map_err(ConnectError::Io)?
            .into_parts();
        Ok(Wire(Box::new(stream)))
    }
}

struct ServerName(String);

impl Host for ServerName {
    fn hostname(&self) -> &str {
        &self.0
    }
}

impl AsyncRead for Wire {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let (before, room) = (buf.filled().len(), buf.remaining());
        ready!(Pin::new(&mut self.0).poll_read(cx, buf))?;
        match room > 0 && buf.filled().len() == before {
            true => Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
            false => Poll::Ready(Ok(())),
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// awc requires the trait and never calls it. The answer "may be ready" is always right.
impl ActixStream for Wire {
    fn poll_read_ready(&self, _: &mut Context<'_>) -> Poll<io::Result<Ready>> {
        Poll::Ready(Ok(Ready::READABLE))
    }

    fn poll_write_ready(&self, _: &mut Context<'_>) -> Poll<io::Result<Ready>> {
        Poll::Ready(Ok(Ready::WRITABLE))
    }
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wire").finish_non_exhaustive()
    }
}
