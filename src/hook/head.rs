//! The head of an answer, and where its body ends (RFC 9112, section 6.3).
//!
//! awc 3.11 finds some of these ends wrongly. It drops the body of an HTTP/1.1 answer without a length, waits for the end of the
//! connection after an HTTP/1.0 answer of length 0, and forgets the length of an answer that offers `websocket`. So this module finds
//! the end, and writes a head that awc might misread anew: an answer whose body lasts until the connection is closed becomes an answer of
//! HTTP/1.0 without a length, every other an answer of HTTP/1.1.

use httparse::{EMPTY_HEADER, Header, ParserConfig, Response, Status};

/// The most headers and the most bytes of a head. These are awc's limits: it refuses a longer head.
const MAX_HEADERS: usize = 96;
pub(super) const MAX_HEAD_BYTES: usize = 128 << 10;

/// Headers from which awc would find an end by itself. `Upgrade` only says which other protocols the service knows.
const FRAMING: [&str; 3] = ["content-length", "transfer-encoding", "upgrade"];

/// The head of an answer, read.
pub(super) struct Head {
    /// The length of the head as it came.
    pub(super) bytes: usize,
    pub(super) code: u16,
    pub(super) end: End,
    /// Whether the service keeps the connection open after the answer (RFC 9112, section 9.3).
    pub(super) stays_open: bool,
    /// The head to show to awc. `None`: the head as it came.
    pub(super) shown: Option<Vec<u8>>,
}

/// Where the body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// There is no body, even if the headers announce one; or another protocol than HTTP follows.
    None,
    Length(u64),
    /// The body ends with its last chunk.
    Chunked,
    /// The body ends when the connection does.
    Close,
    /// The headers are invalid, or name an unknown coding. awc refuses the head, and says why.
    Unknown,
}

impl Head {
    pub(super) fn parse(bytes: &[u8]) -> httparse::Result<Self> {
        let mut headers = [EMPTY_HEADER; MAX_HEADERS];
        let mut response = Response::new(&mut headers);
        let parsed = ParserConfig::default()
            .allow_spaces_after_header_name_in_responses(true) // as awc does
            .parse_response(&mut response, bytes)?;
        let Status::Complete(bytes) = parsed else {
            return Ok(Status::Partial);
        };
        let end = End::of(&response);
        Ok(Status::Complete(Self {
            bytes,
            code: response.code.unwrap_or_default(),
            end,
            stays_open: stays_open(&response),
            shown: end.shown(&response),
        }))
    }

    /// Whether another head follows. 101 is final: no HTTP comes after it (RFC 9110, section 15.2).
    pub(super) fn is_interim(&self) -> bool {
        matches!(self.code, 100 | 102..=199)
    }
}

impl End {
    fn of(response: &Response<'_, '_>) -> Self {
        if matches!(response.code, Some(100..=199 | 204 | 304)) {
            return Self::None;
        }
        // HTTP/1.0 knows no codings: in its answers a length counts even beside a coding.
        let coding = Some(response).filter(|head| head.version == Some(1)).map(coding);
        match coding.unwrap_or(Coding::None) {
            Coding::Chunked => Self::Chunked,
            Coding::Unknown => Self::Unknown,
            Coding::None => Self::by_length(response),
        }
    }

    fn by_length(response: &Response<'_, '_>) -> Self {
        let mut lengths = values(response, "content-length");
        let Some(length) = lengths.next() else {
            return Self::Close;
        };
        let length = length.filter(|length| length.bytes().all(|byte| byte.is_ascii_digit()));
        match (length.and_then(|length| length.parse().ok()), lengths.next()) {
            (Some(length), None) => Self::Length(length),
            _ => Self::Unknown,
        }
    }

    /// The head in a form that awc reads correctly; `None` if the head may stay as it came.
    fn shown(self, response: &Response<'_, '_>) -> Option<Vec<u8>> {
        let (minor_version, framing) = match self {
            Self::None | Self::Unknown => return None,
            Self::Length(_) | Self::Chunked if is_plain(response) => return None,
            Self::Length(length) => (1, format!("content-length: {length}\r\n")),
            Self::Chunked => (1, "transfer-encoding: chunked\r\n".to_owned()),
            Self::Close => (0, String::new()),
        };
        let code = response.code.unwrap_or_default();
        // The reason phrase is left out: the client uses only the code.
        let mut shown = format!("HTTP/1.{minor_version} {code} \r\n{framing}").into_bytes();
        let others = response.headers.iter().filter(|header| !is_one_of(header, &FRAMING));
        for Header { name, value } in others {
            shown.extend_from_slice(&[name.as_bytes(), b": ", value, b"\r\n"].concat());
        }
        shown.extend_from_slice(b"\r\n");
        Some(shown)
    }
}

/// Whether awc finds the end by itself: the head is of HTTP/1.1, and one header alone says where the body ends.
fn is_plain(response: &Response<'_, '_>) -> bool {
    let framing = response.headers.iter().filter(|header| is_one_of(header, &FRAMING));
    response.version == Some(1) && framing.count() == 1
}

/// The transfer coding of the body.
enum Coding {
    None,
    Chunked,
    /// A coding that is not read here, or several codings.
    Unknown,
}

fn coding(response: &Response<'_, '_>) -> Coding {
    let mut codings = values(response, "transfer-encoding");
    match (codings.next(), codings.next()) {
        (None, _) => Coding::None,
        (Some(Some(coding)), None) if coding.eq_ignore_ascii_case("identity") => Coding::None,
        (Some(Some(coding)), None) if coding.eq_ignore_ascii_case("chunked") => Coding::Chunked,
        _ => Coding::Unknown,
    }
}

fn stays_open(response: &Response<'_, '_>) -> bool {
    let has = |option: &str| {
        let mut options = values(response, "connection")
            .flatten()
            .flat_map(|value| value.split(','));
        options.any(|found| found.trim().eq_ignore_ascii_case(option))
    };
    match response.version {
        // After 101 another protocol follows.
        Some(1) => !has("close") && response.code != Some(101),
        _ => has("keep-alive") && !has("close"),
    }
}

/// The values of the headers of this name; `None` for a value that is not UTF-8.
fn values<'a>(response: &'a Response<'_, '_>, name: &'a str) -> impl Iterator<Item = Option<&'a str>> {
    let headers = response.headers.iter().filter(move |header| is_one_of(header, &[name]));
    headers.map(|header| str::from_utf8(header.value).ok().map(str::trim))
}

fn is_one_of(header: &Header<'_>, names: &[&str]) -> bool {
    names.iter().any(|name| header.name.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where the body ends after this status line and these headers, and the head that awc is shown.
    fn of(head: &str) -> (End, Option<String>) {
        let bytes = format!("HTTP/{}\r\n\r\n", head.replace('\n', "\r\n"));
        let Ok(Status::Complete(head)) = Head::parse(bytes.as_bytes()) else {
            panic!("{bytes:?} is no head");
        };
        assert_eq!(head.bytes, bytes.len());
        let shown = head.shown.map(|shown| String::from_utf8(shown).unwrap());
        (head.end, shown)
    }

    #[test]
    fn the_end_of_a_body_is_found() {
        for (head, end) in [
            ("1.1 200 OK\ncontent-length: 2", End::Length(2)),
            ("1.0 200 OK\nContent-Length: 0", End::Length(0)),
            ("1.0 200 OK\nconnection: keep-alive\ncontent-length: 0", End::Length(0)),
            ("1.1 200 OK\ncontent-length: 0\nconnection: close", End::Length(0)),
            ("1.1 200 OK", End::Close),
            ("1.0 200 OK", End::Close),
            ("1.1 200 OK\nTransfer-Encoding: Chunked", End::Chunked),
            (
                "1.1 200 OK\ncontent-length: 5\ntransfer-encoding: chunked",
                End::Chunked,
            ),
            ("1.1 200 OK\ntransfer-encoding: identity", End::Close),
            ("1.0 200 OK\ntransfer-encoding: chunked", End::Close),
            (
                "1.0 200 OK\ncontent-length: 5\ntransfer-encoding: chunked",
                End::Length(5),
            ),
            ("1.1 200 OK\ntransfer-encoding: gzip, chunked", End::Unknown),
            (
                "1.1 200 OK\ntransfer-encoding: chunked\ntransfer-encoding: chunked",
                End::Unknown,
            ),
            ("1.1 200 OK\ncontent-length: many", End::Unknown),
            ("1.1 200 OK\ncontent-length: +1", End::Unknown),
            ("1.1 200 OK\ncontent-length:", End::Unknown),
            ("1.1 200 OK\ncontent-length: 1\ncontent-length: 2", End::Unknown),
            ("1.1 200 OK\ncontent-length: 99999999999999999999", End::Unknown),
            ("1.1 204 No Content\ncontent-length: 5", End::None),
            ("1.0 304 Not Modified", End::None),
            ("1.1 101 Switching Protocols\nupgrade: x", End::None),
        ] {
            assert_eq!(of(head).0, end, "{head}");
        }
    }

    #[test]
    fn a_service_says_whether_it_keeps_the_connection() {
        for (head, stays_open) in [
            ("1.1 200 OK", true),
            ("1.1 200 OK\nConnection: Close", false),
            ("1.1 200 OK\nconnection: x, close", false),
            ("1.0 200 OK", false),
            ("1.0 200 OK\nconnection: Keep-Alive", true),
            ("1.1 101 Switching Protocols\nupgrade: x", false),
        ] {
            let bytes = format!("HTTP/{}\r\n\r\n", head.replace('\n', "\r\n"));
            let Ok(Status::Complete(parsed)) = Head::parse(bytes.as_bytes()) else {
                panic!("{bytes:?} is no head");
            };
            assert_eq!(parsed.stays_open, stays_open, "{head}");
        }
    }

    #[test]
    fn the_head_is_shown_in_a_form_that_is_not_misread() {
        for (head, shown) in [
            (
                "1.0 200 OK\nServer: x\nContent-Length: 0",
                "HTTP/1.1 200 \r\ncontent-length: 0\r\nServer: x\r\n\r\n",
            ),
            ("1.1 200 OK\nserver: x", "HTTP/1.0 200 \r\nserver: x\r\n\r\n"),
            (
                "1.1 200 OK\nupgrade: websocket\ncontent-length: 2",
                "HTTP/1.1 200 \r\ncontent-length: 2\r\n\r\n",
            ),
            ("1.0 200 OK\ntransfer-encoding: chunked", "HTTP/1.0 200 \r\n\r\n"),
        ] {
            assert_eq!(of(head).1.as_deref(), Some(shown), "{head}");
        }
        for unchanged in [
            "1.1 204 No Content",
            "1.1 200 OK\ncontent-length: many",
            "1.1 200 OK\nserver: x\ncontent-length: 0",
            "1.1 200 OK\nTransfer-Encoding: chunked",
        ] {
            assert_eq!(of(unchanged).1, None, "{unchanged}");
        }
    }
}
