"""Lets programs in Python work for a server of gaia-actors, such as ``gaia serve``, and add tasks to it.

A program works in one of two ways, with the same handlers:

- It is called: a `Service` is a WSGI application to which the server posts each call. The configuration of the server names its URL.
- It asks: a `Worker` claims tasks through the HTTP API. Nobody needs to reach it, so it may stand behind a firewall.

A handler is a function of one `Call`; its result becomes the result of the task, as JSON. An exception is a failed attempt, and the server
tries the task again while attempts are left. `Discard`, `Snooze` and `Park` are exceptions that mean something else.

A task runs at least once. If a process dies after a handler's work and before its end is stored, the task runs again: a handler must do no
harm the second time. ``call.log_id`` names the run, ``call.task_id`` the task.

The module needs Python 3.9 and the standard library alone, and is one file: copy it. Times are in seconds.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import hmac
import http.client
import json
import logging
import random
import signal
import socket
import threading
import time
import traceback
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from email.utils import parsedate_to_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Callable, Optional

__all__ = [
    "Added", "Call", "Cancelled", "Client", "Discard", "GaiaError", "Lost", "NoAnswer", "Park", "Refusal", "Run", "Server", "Service",
    "Snooze", "Worker", "serve", "stop_on_signals",
]

# How far the clocks of the server and of a service may differ, by the rules of Standard Webhooks.
_CLOCK_TOLERANCE = 300.0
# How long the server may be silent, before its answer counts as lost.
_REQUEST_TIMEOUT = 15.0
# The pauses between two sendings of one request: they double, from the first to the longest.
_FIRST_PAUSE = 0.2
_LONGEST_PAUSE = 30.0
# A request gets more time by its length: a link may be so slow, in bytes per second.
_SLOWEST_LINK = 32 << 10
# How many ends of runs, and of about how many bytes, and how many beats, go into one request.
_ENDS_PER_REQUEST = 100
_END_BYTES_PER_REQUEST = 1 << 20
_BEATS_PER_REQUEST = 1000
# How long handlers that were asked to stop at the end of the grace may take to return.
_LAST_CALL = 1.0
# How often a server looks whether the connections of running calls are closed.
_WATCH_INTERVAL = 0.25
# A connection on which nothing comes for so long is closed. The server of gaia-actors keeps one for 60 s.
_IDLE_TIMEOUT = 90.0
# How much of a body that is too long is read away, in bytes.
_MOST_SKIPPED = 64 << 20
# A longer snooze counts as this one: 100 years.
_LONGEST_DELAY = 100 * 365 * 86_400.0
# The longest text of an error that is sent, in characters.
_MAX_ERROR_TEXT = 8000


class GaiaError(Exception):
    """The errors of this module."""


class Discard(GaiaError):
    """Raised by a handler: the task is not tried again, it is Failed."""


class Snooze(GaiaError):
    """Raised by a handler: the task runs again later, and no attempt is used.

    A `Service` can only say whole seconds, and rounds up. The run of a job cannot be put off: for a job it is a failed attempt.
    """

    def __init__(self, seconds: float) -> None:
        super().__init__(f"run again in {seconds:g} s")
        self.seconds = min(max(0.0, seconds), _LONGEST_DELAY)


class Park(GaiaError):
    """Raised by the handler of a `Service`: it goes on with the task after its answer, and will end it by ``client.run(call.token)``.

    The connection is free, and the run survives a restart of the server and of the service. The service beats at least once in each lease
    (1 s to 24 h), else the run is lost. Without a lease nobody has to beat: the run is kept until its deadline, or for 24 hours. Neither jobs
    nor a `Worker` can park: the handler of a worker may take as long as it likes.
    """

    def __init__(self, lease: Optional[float] = None) -> None:
        super().__init__("parked")
        self.lease = lease


class Lost(GaiaError):
    """The run belongs to this program no longer: its lease or its time is over, or it has an end. Nothing that is sent for it counts.

    ``resent``: an earlier sending of the same end has got no answer, or an error of the server, so the end may well have been written.
    """

    def __init__(self, task_id: int, resent: bool) -> None:
        either = "the run has an end already, which may be the one that was sent before, or it is lost"
        super().__init__(either if resent else "the run is lost: its lease or its time is over, or it has an end already")
        self.task_id = task_id
        self.resent = resent


class Cancelled(GaiaError):
    """A caller has asked to cancel the task. Stop, and then `Run.release` it. A `Run.finish` still counts."""


class NoAnswer(GaiaError):
    """The server has not answered within the client's patience, or could not answer at the moment."""


class Refusal(GaiaError):
    """The server has said no.

    ``code`` is a word that stays the same from version to version; it is empty if a proxy has answered. ``stored`` is "no" if the server says that
    nothing has been changed, "unknown" if it does not know, and empty in other answers.
    """

    _HELP = {
        401: "; the server knows no such token: see that Http.Access.Tokens of its configuration has the token's SHA-256, and that the client "
        "has the token itself",
        403: "; see that the token has the permission (work for workers, enqueue for producers) and the theme, in Http.Access.Tokens",
    }

    def __init__(self, status: int, code: str, detail: str, retry_after: Optional[float] = None, stored: str = "") -> None:
        advice = self._HELP.get(status, "")
        if status == 404 and code in ("", "route_not_found"):
            advice = "; see that the URL of the client ends with /api/v1"
        super().__init__(f"the server refuses with {status} {code}: {detail}{advice}")
        self.status = status
        self.code = code
        self.detail = detail
        self.retry_after = retry_after
        self.stored = stored
        self._resent = False

    @property
    def temporary(self) -> bool:
        """Whether the same request may be answered otherwise a little later."""
        # body_lost: on its way to the server. idempotency_key_busy: the first request with this key is still under way.
        return self.status in (408, 429, 502, 503, 504) or self.code in ("body_lost", "idempotency_key_busy")

    @property
    def _may_be_done(self) -> bool:
        """Whether the server may have done what was asked for: the answer says nothing of it, such as the page of a proxy."""
        return self.status >= 500 and self.stored != "no"


class _LostAnswer(GaiaError):
    """The server may have done what was asked for, or not."""

    retry_after = None
    temporary = True
    _may_be_done = True


class _OddAnswer(_LostAnswer):
    """An answer of another form than expected, such as the page of a proxy."""

    temporary = False


@dataclass
class Call:
    """One call of a method: an attempt of a task, or of the run of a job."""

    method: str
    body: str
    """The arguments as text. `args` has them decoded."""
    service: str = ""
    """The name of the service. It is empty in a call to a `Service`, whose URL stands for the name."""
    attempt: int = 1
    """Counts from 1. A snooze uses no attempt."""
    max_attempts: int = 1
    log_id: str = ""
    """Names this run, and no other."""
    deadline: Optional[datetime] = None
    """When the server ends the run, by the server's clock in a `Service`; None if the run may take any time."""
    traceparent: str = ""
    """The trace of the W3C's Trace Context to which the call belongs, or empty."""
    task_id: Optional[int] = None
    theme: Optional[str] = None
    token: Optional[str] = field(default=None, repr=False)
    """The right to end the run of a task: keep it secret, and store it if the run is parked."""
    run_id: Optional[int] = None
    """Of the run of a job, as `job` and `scheduled_at`."""
    job: Optional[str] = None
    scheduled_at: Optional[datetime] = None
    run: Optional[Run] = field(default=None, repr=False)
    """In a `Worker`: for reporting progress and log lines. None in a call to a `Service`, whose run must be parked first."""
    cancelled: threading.Event = field(default_factory=threading.Event, repr=False)
    """Set when the run has been cancelled, is out of time, or belongs to another worker: the handler should return soon.

    In a `Service` it is set when the connection is closed, and only below `Server`: a WSGI server does not tell of it.
    """

    @property
    def args(self) -> Any:
        """The arguments. Text that is no JSON is the same at every attempt, and discards the task."""
        try:
            return json.loads(self.body)
        except ValueError as error:
            raise Discard(f"the arguments of {self.method} are no JSON: {error}") from error


Handler = Callable[[Call], Any]


def _invoke(handler: Handler, call: Call, logger: logging.Logger) -> str:
    """The result of a handler, as JSON."""
    try:
        result = handler(call)
    except (Discard, Snooze, Park, Cancelled, Lost):
        raise
    except BaseException:
        logger.info("%s has raised an error", call.method, exc_info=True)
        raise
    try:
        return json.dumps(result, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise Discard(f"the result of {call.method} cannot be written as JSON: {error}") from error


def _error_text(error: BaseException) -> str:
    """A text that the server takes: the exception with its type, unless it is one of ours."""
    said = str(error) if isinstance(error, GaiaError) else "".join(traceback.format_exception_only(type(error), error)).strip()
    said = said.encode("utf-8", "replace").decode()
    return said if len(said) <= _MAX_ERROR_TEXT else said[:_MAX_ERROR_TEXT] + " …"


def _moment(text: Optional[str]) -> Optional[datetime]:
    if not text:
        return None
    try:
        return datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        return None


def _number(text: Optional[str]) -> Optional[int]:
    return int(text) if text and text.isascii() and text.isdigit() else None


def _in_future(milliseconds: Optional[int]) -> Optional[datetime]:
    """None for a time that is later than Python can count, too."""
    try:
        return datetime.now(timezone.utc) + timedelta(milliseconds=milliseconds) if milliseconds else None
    except OverflowError:
        return None


def _name(text: Optional[str]) -> Optional[str]:
    """A name is percent-encoded in a header, which is ASCII."""
    return None if text is None else urllib.parse.unquote(text)


# ---- Service: a program that is called ------------------------------------------------------------------------------------------------


@dataclass
class _Answer:
    status: int
    body: str
    headers: dict[str, str] = field(default_factory=dict)

    @staticmethod
    def error(status: int, text: str, discard: bool = False, **headers: str) -> _Answer:
        body: dict[str, Any] = {"error": text}
        if discard:
            body["discard"] = True
        return _Answer(status, json.dumps(body), {name.replace("_", "-"): value for name, value in headers.items()})


class Service:
    """Answers the calls that the server posts to its URL: a WSGI application. Mount it at the path that the configuration names.

        service = gaia.Service(os.environ["ORDERS_SECRET"])

        @service.method("AsyncCreateOrder")
        def create_order(call):
            return {"order_id": create(call.args)}

        gaia.serve(service, port=9000)  # "Services": {"OrderService": {"Url": "http://…:9000/orders", "Secret": "whsec_…"}}

    The secrets have the form ``whsec_<base64>`` of Standard Webhooks; a call must be signed with one of them. Two are for the time in which
    one takes the place of the other. Without any, or with empty ones, signatures are not checked: then let nobody else reach the service.
    A body longer than ``max_body`` bytes is discarded.
    """

    def __init__(self, *secrets: Optional[str], max_body: int = 16 << 20, logger: Optional[logging.Logger] = None) -> None:
        self._keys = [_key_of(secret) for secret in secrets if secret]
        self._max_body = max_body
        self._logger = logger or logging.getLogger("gaia")
        self._handlers: dict[str, Handler] = {}
        self._now = time.time

    def handle(self, method: str, handler: Handler) -> None:
        """Sets the handler of a method."""
        self._handlers[method] = handler

    def method(self, name: str) -> Callable[[Handler], Handler]:
        """A decorator that sets the handler of a method."""

        def register(handler: Handler) -> Handler:
            self.handle(name, handler)
            return handler

        return register

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answers a request of WSGI.

        WSGI gives the path decoded, unless the server adds REQUEST_URI or RAW_URI, so a name of a method with a slash may need `Server`.
        """
        raw = environ.get("REQUEST_URI") or environ.get("RAW_URI")
        path = raw if raw else urllib.parse.quote(environ.get("PATH_INFO", ""), encoding="latin-1")
        headers = {name[5:].replace("_", "-").lower(): value for name, value in environ.items() if name.startswith("HTTP_")}
        length = _number(environ.get("CONTENT_LENGTH"))
        read = environ["wsgi.input"].read
        if length is None and environ.get("wsgi.input_terminated"):  # of a body in chunks, which the WSGI server puts together
            whole = read(self._max_body + 1)
            length, read = len(whole), lambda _: whole
        answer = self._answer(environ["REQUEST_METHOD"], path, headers, length, read, threading.Event())
        body = answer.body.encode()
        reason = http.client.responses.get(answer.status, "")
        fixed = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
        start_response(f"{answer.status} {reason}", fixed + list(answer.headers.items()))
        return [body]

    def _answer(
        self,
        verb: str,
        path: str,
        headers: Mapping[str, str],
        length: Optional[int],
        read: Callable[[int], bytes],
        cancelled: threading.Event,
    ) -> _Answer:
        if verb != "POST":
            return _Answer.error(405, "calls are POST requests", Allow="POST")
        if length is None:
            return _Answer.error(411, "the call has no Content-Length")
        if length > self._max_body:
            return _Answer.error(413, f"the arguments are longer than {self._max_body} bytes, which the service allows", discard=True)
        body = read(length)
        if len(body) < length:
            return _Answer.error(400, "the body has been cut off")
        fault = self._verify(headers, body)
        if fault:
            self._logger.warning("a call was refused: %s", fault)
            return _Answer.error(401, fault)
        method = urllib.parse.unquote(path.partition("?")[0].rpartition("/")[2])
        handler = self._handlers.get(method)
        if handler is None:
            # The server tries it again: a newer version of the service may know the method.
            return _Answer.error(404, f"this service has no method {method!r}")
        call = _pushed_call(method, headers, body, cancelled)
        try:
            return _Answer(200, _invoke(handler, call, self._logger))
        except Park as park:
            if call.token is None:
                return _Answer.error(500, "the call has no gaia-run-token: only a task can be parked, not the run of a job")
            return _Answer(202, json.dumps({"lease_ms": round(park.lease * 1000)} if park.lease else {}))
        except Snooze as snooze:
            return _Answer.error(503, str(snooze), Retry_After=str(-int(-snooze.seconds // 1)))
        except Discard as discard:
            return _Answer.error(422, _error_text(discard), discard=True)
        except BaseException as error:
            return _Answer.error(500, _error_text(error))

    def _verify(self, headers: Mapping[str, str], body: bytes) -> Optional[str]:
        """What is wrong with the signature, if anything."""
        if not self._keys:
            return None
        named, timestamp, signatures = (headers.get(f"webhook-{name}", "") for name in ("id", "timestamp", "signature"))
        if not (named and timestamp and signatures):
            return (
                "the call is not signed: expected webhook-id, webhook-timestamp and webhook-signature; set the Secret of the service in the "
                "server's configuration"
            )
        seconds = _number(timestamp)
        if seconds is None:
            return "webhook-timestamp is no number of seconds"
        if abs(self._now() - seconds) > _CLOCK_TOLERANCE:
            return f"webhook-timestamp is more than {_CLOCK_TOLERANCE:g} s away from this machine's clock: set the clocks right"
        if headers.get("gaia-log-id", named) != named:
            return "gaia-log-id is not the id that was signed"
        message = f"{named}.{timestamp}.".encode("utf-8", "replace") + body
        expected = [base64.b64encode(hmac.new(key, message, hashlib.sha256).digest()) for key in self._keys]
        for signature in signatures.split():
            version, _, given = signature.partition(",")
            # Each pair is compared, and each in constant time.
            if version == "v1" and any([hmac.compare_digest(each, given.encode("utf-8", "replace")) for each in expected]):
                return None
        return "no signature of the call fits: the server and the service have different secrets, or the call was changed on its way"


def _key_of(secret: str) -> bytes:
    text = secret[6:] if secret.startswith("whsec_") else secret
    text = text.rstrip("=")
    try:
        key = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not 24 <= len(key) <= 64:
        raise ValueError("a secret is not as expected: whsec_ and 24 to 64 random bytes in base64")
    return key


def _pushed_call(method: str, headers: Mapping[str, str], body: bytes, cancelled: threading.Event) -> Call:
    return Call(
        method=method,
        body=body.decode("utf-8", "replace"),
        attempt=_number(headers.get("gaia-attempt")) or 1,
        max_attempts=_number(headers.get("gaia-max-attempts")) or 1,
        log_id=headers.get("gaia-log-id", ""),
        deadline=_moment(headers.get("gaia-deadline")),
        traceparent=headers.get("traceparent", ""),
        task_id=_number(headers.get("gaia-task-id")),
        theme=_name(headers.get("gaia-theme")),
        token=headers.get("gaia-run-token"),
        run_id=_number(headers.get("gaia-run-id")),
        job=_name(headers.get("gaia-job")),
        scheduled_at=_moment(headers.get("gaia-scheduled-at")),
        cancelled=cancelled,
    )


@dataclass(eq=False)
class _ServedCall:
    """A call that runs in a `Server`."""

    cancelled: threading.Event = field(default_factory=threading.Event)
    peer: Optional[socket.socket] = None
    """The connection, for a look that does not wait. None while the body is read: only the thread of the call reads then."""
    gone: bool = False
    """The other side has closed the connection."""
    stopped: bool = False
    """The server has asked the call to stop."""


def _is_closed(peer: socket.socket) -> bool:
    """Whether the other side has closed the connection. What it has sent, such as the next request, stays to be read."""
    try:
        return peer.recv(1, socket.MSG_PEEK) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


class Server:
    """Serves a `Service` with a thread for each connection, keeps connections open, and notices when they are closed during a call.

    ``address`` has the host and the port. TLS is for a proxy in front.
    """

    def __init__(self, service: Service, host: str = "127.0.0.1", port: int = 9000, grace: float = 10.0) -> None:
        self._service = service
        self._grace = grace
        self._changed = threading.Condition()
        self._calls: set[_ServedCall] = set()
        self._stopping = False
        outer = self

        class Connection(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            server_version = "gaia"
            sys_version = ""
            timeout = _IDLE_TIMEOUT
            # An answer goes out in one packet, and is not kept back for a second one.
            wbufsize = -1
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                outer._serve(self)

            do_GET = do_PUT = do_DELETE = do_PATCH = do_POST

            def log_message(self, form: str, *args: Any) -> None:
                service._logger.debug(form, *args)

        class Listener(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

            def handle_error(self, request: Any, client_address: Any) -> None:
                service._logger.debug("a connection broke", exc_info=True)

        self._listener = Listener((host, port), Connection)
        self.address: tuple[str, int] = self._listener.server_address[:2]  # type: ignore[assignment]

    def run(self) -> None:
        """Serves until `stop` is called: then takes no new calls, and lets the running ones end within the grace."""
        accepting = threading.Thread(target=self._listener.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True)
        watching = threading.Thread(target=self._watch, daemon=True)
        accepting.start()
        watching.start()
        with self._changed:
            self._changed.wait_for(lambda: self._stopping)
        self._listener.shutdown()
        self._listener.server_close()
        with self._changed:
            if not self._changed.wait_for(lambda: not self._calls, self._grace):
                for call in self._calls:
                    call.stopped = True
                    call.cancelled.set()
                self._changed.wait_for(lambda: not self._calls, _LAST_CALL)

    def stop(self) -> None:
        """Ends `run`. It may be called from a signal handler."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()

    def _serve(self, connection: BaseHTTPRequestHandler) -> None:
        call = _ServedCall()
        length = _number(connection.headers.get("Content-Length"))

        def read(length: int) -> bytes:
            body = connection.rfile.read(length)
            self._watch_peer(call, connection.connection)
            return body

        with self._changed:
            stopping = self._stopping
            if not stopping:
                self._calls.add(call)
                self._changed.notify_all()
        try:
            if stopping:
                # No attempt is used, and the connection is not used again.
                answer = _Answer.error(503, "the service stops", Retry_After="1", Connection="close")
            else:
                headers = {name.lower(): value for name, value in connection.headers.items()}
                answer = self._service._answer(connection.command, connection.path, headers, length, read, call.cancelled)
                if call.stopped and answer.status == 500 and "gaia-run-token" in headers:
                    # The task runs again, and no attempt is used.
                    answer = _Answer(503, answer.body, {"Retry-After": "1"})
                if answer.status in (405, 411, 413):  # its body was not read
                    answer.headers["Connection"] = "close"
                    self._skip(connection, length or 0)
            if call.gone:
                connection.close_connection = True
            else:
                self._send(connection, answer)
        finally:
            with self._changed:
                self._calls.discard(call)
                if call.peer is not None:
                    call.peer.close()
                self._changed.notify_all()

    def _watch_peer(self, call: _ServedCall, connection: socket.socket) -> None:
        with contextlib.suppress(OSError):  # there are no more descriptors: then the call is not watched
            peer = connection.dup()
            peer.settimeout(0)
            with self._changed:
                call.peer = peer

    @staticmethod
    def _skip(connection: BaseHTTPRequestHandler, length: int) -> None:
        """Reads a body away: a caller that still sends when the connection is closed does not get the answer."""
        left = min(length, _MOST_SKIPPED)
        while left > 0:
            part = connection.rfile.read(min(left, 1 << 16))
            left = left - len(part) if part else 0

    @staticmethod
    def _send(connection: BaseHTTPRequestHandler, answer: _Answer) -> None:
        body = answer.body.encode()
        connection.send_response(answer.status)
        connection.send_header("Content-Type", "application/json")
        connection.send_header("Content-Length", str(len(body)))
        for name, value in answer.headers.items():
            connection.send_header(name, value)
        connection.end_headers()
        connection.wfile.write(body)
        connection.wfile.flush()

    def _watch(self) -> None:
        """Cancels each call whose connection the other side has closed."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._calls or self._stopping)
                if not self._calls:
                    return
                for call in self._calls:
                    if call.peer is not None and not call.gone and _is_closed(call.peer):
                        call.gone = True
                        call.cancelled.set()
            time.sleep(_WATCH_INTERVAL)


def stop_on_signals(stop: Callable[[], None]) -> None:
    """Calls ``stop`` at SIGTERM and SIGINT. A second signal ends the process at once. Only the main thread may ask for it."""

    def once(number: int, _: Any) -> None:
        signal.signal(number, signal.SIG_DFL)
        stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, once)


def serve(service: Service, host: str = "127.0.0.1", port: int = 9000, grace: float = 10.0) -> None:
    """Serves until SIGTERM or SIGINT, and then stops gracefully."""
    server = Server(service, host, port, grace)
    stop_on_signals(server.stop)
    server.run()


# ---- Client: requests to the HTTP API -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Added:
    """What became of the addition of a task."""

    id: int
    duplicate: bool
    """An unfinished task has the same unique key, and ``id`` is the id of that task."""
    replayed: bool
    """An earlier request with the same idempotency key has added the task."""


@dataclass(frozen=True)
class _Reply:
    """An answer with a status below 300."""

    status: int
    replayed: bool
    body: Any
    resent: bool = False


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A redirect would send a POST as a GET, or the token elsewhere."""

    def redirect_request(self, *_: Any) -> None:
        return None


class _Backoff:
    """The pauses between tries. They are random, so that many clients do not come back all at once."""

    def __init__(self) -> None:
        self._longest = 0.0

    def next(self, asked: Optional[float]) -> float:
        self._longest = min(max(2 * self._longest, _FIRST_PAUSE), _LONGEST_PAUSE)
        if asked:
            return min(asked, _LONGEST_PAUSE)  # a clock may be wrong
        return random.uniform(self._longest / 2, self._longest)


class Client:
    """Asks the HTTP API of the server, at a URL such as ``https://jobs.example/gaia/api/v1``. Many threads may use it.

    A request whose answer is lost, or that the server cannot answer at the moment (408, 429, 502, 503, 504), is sent again, after the time
    that the server names or after growing pauses of up to 30 s. After ``patience`` it raises `NoAnswer`. An answer that says no raises `Refusal`.
    No token is for a server that gives access to its own machine.
    """

    def __init__(self, url: str, token: Optional[str] = None, patience: float = 120.0, logger: Optional[logging.Logger] = None) -> None:
        parts = urllib.parse.urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{url!r} is no URL of an API; expected one such as https://jobs.example/api/v1")
        self._url = url.rstrip("/")
        self._token = token
        self._patience = patience
        self._logger = logger or logging.getLogger("gaia")
        self._opener = urllib.request.build_opener(_NoRedirects)

    def add(self, theme: str, service: str, method: str, args: Any = None, *, key: Optional[str] = None, **more: Any) -> Added:
        """Adds a task to a theme, once: each sending of the request has the same idempotency key.

        A program that may be restarted before it has the answer gives a key that it finds again, such as the id of the message that it
        handles. ``more`` are further fields of a task in the HTTP API: name, max_retry, priority, run_at, timeout_ms, unique_key, limit_key,
        and after, the id of a task for which this one waits, or a list of ids.
        """
        task = {"theme": theme, "service": service, "method": method, "args": args, **more}
        reply = self._send("POST", "/tasks", json.dumps(task), key=key or str(uuid.uuid4()))
        return Added(reply.body["id"], reply.body["duplicate"], reply.replayed)

    def add_batch(self, theme: str, tasks: Iterable[Mapping[str, Any]], *, key: Optional[str] = None) -> list[Added]:
        """Adds tasks to a theme, all or none of them, and once, as `add`. Each has the fields of a task in the HTTP API."""
        lines = [json.dumps(task) + "\n" for task in tasks]
        path = "/tasks/batch?" + urllib.parse.urlencode({"theme": theme})
        reply = self._send("POST", path, "".join(lines), "application/jsonl", key=key or str(uuid.uuid4()))
        added = [Added(task["id"], task["duplicate"], reply.replayed) for task in reply.body["tasks"]]
        if len(added) != len(lines):
            raise GaiaError(f"{len(lines)} tasks were sent, and the answer has {len(added)}")
        return added

    def wait_for(self, task_id: int, timeout: float = 120.0) -> dict[str, Any]:
        """The task, when it has ended. Raises TimeoutError. The token needs the permission view."""
        until = time.monotonic() + timeout
        while True:
            wait = min(20.0, max(0.0, until - time.monotonic()))
            reply = self._send("GET", f"/tasks/{task_id}/wait?wait_ms={wait * 1000:.0f}", wait=wait)
            if reply.status == 200:  # 202: it has not ended yet
                return dict(reply.body)
            if time.monotonic() >= until:
                raise TimeoutError(f"task {task_id} has not ended within {timeout:g} s")

    def run(self, token: str) -> Run:
        """The handle of a run by its token, which may come from ``call.token`` or from a database in which the service has stored it."""
        return Run(self, token)

    def _send(
        self,
        verb: str,
        path: str,
        body: Optional[str] = None,
        content_type: str = "application/json",
        key: Optional[str] = None,
        wait: float = 0.0,
    ) -> _Reply:
        """Sends the request until the server has answered it."""
        until = time.monotonic() + self._patience
        pauses = _Backoff()
        resent = False
        while True:
            try:
                reply = self._send_once(verb, path, body, content_type, key, wait + _time_for(len(body or "")))
                return _Reply(reply.status, reply.replayed, reply.body, resent)
            except _OddAnswer:
                raise
            except (_LostAnswer, Refusal) as error:
                resent = resent or error._may_be_done
                if isinstance(error, Refusal) and not error.temporary:
                    error._resent = resent
                    raise
                pause = pauses.next(error.retry_after)
                if time.monotonic() + pause > until:
                    raise NoAnswer(f"{verb} {path}: tried for {self._patience:g} s: {error}") from error
                self._logger.warning("%s %s: %s; the next try is in %.1f s", verb, path, error, pause)
                time.sleep(pause)

    def _send_once(self, verb: str, path: str, body: Optional[str], content_type: str, key: Optional[str], timeout: float) -> _Reply:
        headers = {"Accept": "application/json", "Content-Type": content_type}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        if key:
            headers["Idempotency-Key"] = key
        data = None if body is None else body.encode()
        request = urllib.request.Request(self._url + path, data, headers, method=verb)
        try:
            with self._opener.open(request, timeout=timeout) as response:
                replayed = response.headers.get("Idempotency-Replayed") == "true"
                text = response.read()
        except urllib.error.HTTPError as refusal:
            with refusal:
                raise _refusal_of(refusal) from refusal
        except (OSError, http.client.HTTPException) as lost:
            # URLError and the errors of time and of connections are OSErrors.
            raise _LostAnswer(f"no answer: {lost}") from lost
        try:
            return _Reply(response.status, replayed, json.loads(text))
        except ValueError as error:
            raise _OddAnswer(f"the answer of the server is no JSON: {error}") from error

    def _post_runs(self, path: str, runs: list[dict[str, Any]], timeout: Optional[float] = None) -> tuple[list[dict[str, Any]], bool]:
        """Asks for a change of runs: their states in the same order, and whether an earlier sending may have made it.

        With a timeout the request is sent once, else until it is answered.
        """
        body = json.dumps({"runs": runs})
        try:
            if timeout is None:
                reply = self._send("POST", path, body)
            else:
                reply = self._send_once("POST", path, body, "application/json", None, timeout)
        except Refusal as refusal:
            if refusal.code == "run_lost":  # all of them
                return [{"id": 0, "state": "lost"} for _ in runs], refusal._resent
            raise
        states = reply.body.get("runs") if isinstance(reply.body, dict) else None
        if not isinstance(states, list) or not all(isinstance(state, dict) and "state" in state for state in states):
            raise _OddAnswer("the answer of the server does not have the states of runs")
        if len(states) != len(runs):
            raise _OddAnswer(f"{len(runs)} runs were named, and the answer has {len(states)}")
        return states, reply.resent


def _time_for(length: int) -> float:
    """How long an answer may take, if the request has so many bytes."""
    return _REQUEST_TIMEOUT + length / _SLOWEST_LINK


def _refusal_of(answer: urllib.error.HTTPError) -> Exception:
    """The error for an answer from 300 on: a problem as application/problem+json, or the page of a proxy between."""
    try:
        text = answer.read().decode(errors="replace")
    except (OSError, http.client.HTTPException) as lost:
        return _LostAnswer(f"no answer: {lost}")
    try:
        problem = json.loads(text)
        code, detail, stored = str(problem["code"]), str(problem["detail"]), str(problem.get("stored", ""))
    except (ValueError, KeyError, TypeError):
        code, detail, stored = "", text.strip()[:_MAX_ERROR_TEXT], ""
    return Refusal(answer.code, code, detail, _retry_after(answer.headers.get("Retry-After")), stored)


def _retry_after(text: Optional[str]) -> Optional[float]:
    """How long the server asks to wait: it says so in seconds, or by a date."""
    if not text:
        return None
    if _number(text) is not None:
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except (TypeError, ValueError):
        return None


# ---- Run: what is sent for one run ----------------------------------------------------------------------------------------------------


class Run:
    """The handle of a run that this program holds: of a parked one, or of a worker's. Many threads may use it.

    Its methods send their requests until they are answered, or for the client's patience. They raise `Lost` if the run is lost.
    """

    def __init__(self, client: Client, token: str) -> None:
        self._client = client
        self._token = token

    def beat(self) -> None:
        """Renews the lease. Raises `Cancelled` if a caller has asked to cancel the task."""
        self._report("/claims/beat", {})

    def progress(self, percent: int, note: str = "") -> None:
        """Tells how far the work is, with a note for people. Raises `Cancelled` as `beat` does."""
        self._report("/claims/progress", {"percent": percent, "note": note})

    def log(self, message: str, level: str = "info") -> None:
        """Keeps a line with the run. The level is error, warn, info, debug or trace. Raises `Cancelled` as `beat` does."""
        self._report("/claims/log", {"lines": [{"level": level, "message": message, "time": datetime.now(timezone.utc).isoformat()}]})

    def finish(self, result: Any = None) -> None:
        """Ends the run: the task is Success with this result."""
        self._post("/claims/finish", {"result": result})

    def fail(self, error: str, discard: bool = False) -> None:
        """Ends the run with an error. The task is tried again while attempts are left, unless it is discarded."""
        self._post("/claims/fail", {"error": error, "discard": discard})

    def snooze(self, seconds: float) -> None:
        """Ends the run; the task runs again later, and no attempt is used."""
        self._post("/claims/snooze", {"delay_ms": round(Snooze(seconds).seconds * 1000)})

    def release(self, started: bool = True) -> None:
        """Hands the task back, and no attempt is used. A task that a caller has asked to cancel becomes Cancelled."""
        self._post("/claims/release", {"started": started})

    @contextlib.contextmanager
    def keep(self, lease: float) -> Iterator[threading.Event]:
        """Beats every third of the lease in the background, and more often after a failure, as a context manager.

        Its value is an event that is set when the run is cancelled or lost, or when the server takes the token no longer: then stop the work, and
        `release` the run. With the lease 0 nobody has to beat, and `keep` does not.
        """
        over, left = threading.Event(), threading.Event()

        def beat() -> None:
            try:
                self._beat_until(left, lease)
            finally:
                if not left.is_set():
                    over.set()

        if lease > 0:
            threading.Thread(target=beat, name="gaia-keep", daemon=True).start()
        try:
            yield over
        finally:
            left.set()

    def _beat_until(self, left: threading.Event, lease: float) -> None:
        pauses = _Backoff()
        pause = lease / 3
        while not left.wait(pause):
            pause = lease / 3
            try:
                states, _ = self._client._post_runs("/claims/beat", [{"token": self._token}], lease / 3)
                if states[0]["state"] in ("cancelled", "lost"):
                    return
                pauses = _Backoff()
            except (_LostAnswer, Refusal) as error:
                if isinstance(error, Refusal) and _is_forbidden(error):
                    return
                pause = min(pause, pauses.next(error.retry_after))

    def _report(self, path: str, body: dict[str, Any]) -> None:
        if self._post(path, body) == "cancelled":
            raise Cancelled("a caller has asked to cancel the task")

    def _post(self, path: str, body: dict[str, Any]) -> str:
        states, resent = self._client._post_runs(path, [{"token": self._token, **body}])
        if states[0]["state"] == "lost":
            raise Lost(states[0].get("id", 0), resent)
        return str(states[0]["state"])


# ---- Worker: a program that asks for tasks --------------------------------------------------------------------------------------------


class Worker:
    """Claims tasks of one theme, runs them in threads, and tells the server how they end. It needs a token with the permission work.

        worker = gaia.Worker(gaia.Client("https://jobs.example/api/v1", token), name="orders-1", theme="orders", concurrency=20)
        worker.handle("OrderService", "AsyncCreateOrder", create_order)
        gaia.stop_on_signals(worker.stop)
        worker.run()

    - ``name``: what people see as the node of a task: ``remote:name``. Two workers of one name do no harm.
    - ``concurrency``: how many tasks run at the same time.
    - ``batch``: how many tasks one request claims at most, up to 1000; None: as many as ``concurrency``. With more, tasks wait in this
      process, and other workers do not get them.
    - ``lease``: after this time without a word the server takes the worker for dead: 1 s to 1 h. The worker beats every third of it.
    - ``wait``: how long the server keeps a question open while no task is due, up to 60 s. A stop waits for the answer.
    - ``grace``: how long a stop waits for the end of tasks that run.
    """

    def __init__(
        self,
        client: Client,
        name: str,
        theme: str,
        concurrency: int = 10,
        batch: Optional[int] = None,
        lease: float = 30.0,
        wait: float = 5.0,
        grace: float = 10.0,
        logger: Optional[logging.Logger] = None,
    ) -> None:
        batch = concurrency if batch is None else batch
        if not name or not theme:
            raise ValueError("the worker needs a name and a theme")
        if concurrency < 1 or batch < 1 or wait < 0 or grace < 0:
            raise ValueError("concurrency and batch of a worker are at least 1, and neither wait nor grace is negative")
        if not 1 <= lease <= 3600:
            raise ValueError(f"the lease of a worker is {lease:g} s; expected 1 to 3600")
        self._client = client
        self._name = name
        self._theme = theme
        self._concurrency = concurrency
        self._batch = min(batch, 1000)
        self._lease = lease
        self._wait = wait
        self._grace = grace
        self._logger = logger or logging.getLogger("gaia")
        self._handlers: dict[tuple[str, str], Handler] = {}
        self._stop = threading.Event()
        self._session: Optional[_Session] = None

    def handle(self, service: str, method: str, handler: Handler) -> None:
        """Sets the handler of a method, before `run`. The worker claims tasks of the methods that have handlers."""
        self._handlers[service, method] = handler

    def run(self) -> None:
        """Works until `stop` is called.

        Then it claims nothing more, waits for the running tasks as long as the grace says, asks the rest to stop, and hands back what has
        not ended. While the server is away, it waits for the server; ends of runs are kept until their lease is over. It raises what another
        try would not mend, such as `Refusal` because the token was revoked.
        """
        if not self._handlers:
            raise ValueError("the worker has no handlers; call handle before run")
        self._session = _Session(self)
        if self._stop.is_set():
            self._session.halt()
        self._session.run()

    def stop(self) -> None:
        """Ends `run`. It may be called from a signal handler."""
        self._stop.set()
        if self._session is not None:
            self._session.halt()


def _is_forbidden(error: Refusal) -> bool:
    return error.status in (401, 403)


def _is_fault_of_question(error: Refusal) -> bool:
    """Whether the server refuses a question for what it is, and so would refuse it each time.

    Whatever else comes, such as the page of a proxy, may be over soon.
    """
    return error.status in (401, 403, 413, 422) or (error.status == 400 and not error.temporary)


def _is_fault_of_end(error: Refusal) -> bool:
    """Whether the server refuses an end for what is in it, and so would refuse it each time."""
    return error.status in (413, 422) or error.code == "bad_json"


@dataclass(eq=False)
class _HeldRun:
    """A run that this worker holds, until the server has taken its end."""

    call: Call
    until: float
    """The end of the lease."""
    deadline: float
    stopped: bool = False
    """A caller has cancelled the task, or this worker stops."""
    lost: bool = False
    path: str = ""
    """Of the end, or empty."""
    end: dict[str, Any] = field(default_factory=dict)
    unsure: bool = False
    """The end may have been written."""
    alone: bool = False
    """Not with others in a request."""
    give_up: float = float("inf")
    """When an end is dropped that gets odd answers alone."""
    size: int = 0
    """Of the result, in bytes."""

    def goes_with(self, others: list[_HeldRun], most: int) -> bool:
        """Whether the end goes into the same request."""
        if not others:
            return True
        apart = self.alone or others[0].alone or self.path != others[0].path
        return not apart and len(others) < most and sum(run.size for run in others) + self.size <= _END_BYTES_PER_REQUEST


class _Session:
    """One run of a worker. Everything below `_changed` is guarded by it."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._client = worker._client
        self._logger = worker._logger
        self._capacity = max(worker._concurrency, worker._batch)
        self._changed = threading.Condition()
        self._lease = worker._lease
        self._halted = False
        self._over = False
        self._polling = True
        self._held: set[_HeldRun] = set()
        self._waiting: deque[_HeldRun] = deque()
        self._ended: list[_HeldRun] = []
        # How many ends go into one request at most.
        self._group = _ENDS_PER_REQUEST
        self._active = 0
        self._fatal: Optional[BaseException] = None
        # The server refuses whatever this worker sends, or the worker has a fault.
        self._barred = False

    def halt(self) -> None:
        with self._changed:
            self._halted = True
            self._changed.notify_all()

    def run(self) -> None:
        threads = [threading.Thread(target=self._execute_always, name="gaia-run", daemon=True) for _ in range(self._worker._concurrency)]
        for each in (self._claim_until_halted, self._beat_always, self._send_ends_always):
            threads.append(threading.Thread(target=self._guarded, args=(each,), name="gaia-worker", daemon=True))
        for thread in threads:
            thread.start()
        with self._changed:
            self._changed.wait_for(lambda: self._halted)
        self._wind_down()
        with self._changed:
            self._over = True
            self._changed.notify_all()
        if self._fatal is not None:
            raise self._fatal

    def _guarded(self, work: Callable[[], None]) -> None:
        """An error ends the worker, and not a thread in silence."""
        try:
            work()
        except Exception as error:
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        """Stops the worker because of an error that another try does not mend.

        If it may not speak to the server any more, or has a fault itself, it drops its runs.
        """
        with self._changed:
            self._fatal = self._fatal or error
            self._halted = True
            if not isinstance(error, Refusal) or _is_forbidden(error):
                self._drop_all()
            self._changed.notify_all()

    def _drop_all(self) -> None:
        self._barred = True
        for run in list(self._held):
            run.lost = True
            run.call.cancelled.set()
            if run.path or run in self._waiting:
                self._held.discard(run)
        self._waiting.clear()
        self._ended.clear()

    def _wind_down(self) -> None:
        """Waits for what runs, at first patiently."""
        with self._changed:
            while self._waiting:
                self._end(self._waiting.popleft(), "/claims/release", {"started": False})

            def idle() -> bool:
                return not self._held and (not self._polling or self._barred)

            if self._changed.wait_for(idle, self._worker._grace):
                return
            for run in self._held:
                run.stopped = True
                run.call.cancelled.set()
            if self._changed.wait_for(idle, _LAST_CALL):
                return
            for run in list(self._held):
                self._end(run, "/claims/release", {"started": True})
            self._changed.wait_for(lambda: not self._held, self._lease)

    # Claims.

    def _claim_until_halted(self) -> None:
        """A question that is under way at the stop is not broken off: its answer may have tasks."""
        pauses = _Backoff()
        try:
            while True:
                with self._changed:
                    self._changed.wait_for(lambda: self._halted or self._room() > 0)
                    if self._halted:
                        return
                    count = self._room()
                try:
                    self._claim(count)
                    pauses = _Backoff()
                except (_LostAnswer, Refusal) as error:
                    if isinstance(error, Refusal) and _is_fault_of_question(error):
                        raise
                    pause = pauses.next(error.retry_after)
                    self._logger.warning("no tasks can be claimed: %s; the next try is in %.1f s", error, pause)
                    with self._changed:
                        self._changed.wait_for(lambda: self._halted, pause)
        finally:
            with self._changed:
                self._polling = False
                self._changed.notify_all()

    def _room(self) -> int:
        """How many tasks to claim. Ends that wait for the server count, too, so that they do not pile up."""
        return min(self._worker._batch, self._capacity - self._active, 2 * self._capacity - len(self._held))

    def _claim(self, count: int) -> None:
        worker = self._worker
        question = {
            "worker": worker._name,
            "theme": worker._theme,
            "methods": [{"service": service, "method": method} for service, method in sorted(worker._handlers)],
            "count": count,
            "lease_ms": round(worker._lease * 1000),
            "wait_ms": round(worker._wait * 1000),
        }
        timeout = worker._wait + _REQUEST_TIMEOUT
        reply = self._client._send_once("POST", "/claims", json.dumps(question), "application/json", None, timeout)
        now = time.monotonic()
        try:
            lease = reply.body.get("lease_ms", self._lease * 1000) / 1000
            runs = [self._hold(task, now, lease) for task in reply.body["tasks"]]
        except (AttributeError, KeyError, TypeError) as error:
            raise _OddAnswer(f"the answer of the server does not have tasks as expected: {error!r}") from error
        with self._changed:
            self._lease = lease
            for run in runs:
                self._held.add(run)
                self._active += 1
                if self._halted:
                    self._end(run, "/claims/release", {"started": False})
                else:
                    self._waiting.append(run)
            self._changed.notify_all()

    def _hold(self, task: dict[str, Any], now: float, lease: float) -> _HeldRun:
        timeout = task.get("timeout_ms")
        call = Call(
            method=task["method"],
            body=task["args_text"] if "args_text" in task else json.dumps(task.get("args")),
            service=task["service"],
            attempt=task["attempt"],
            max_attempts=task["max_attempts"],
            log_id=task["log_id"],
            deadline=_in_future(timeout),
            traceparent=task.get("traceparent") or "",
            task_id=task["id"],
            theme=task["theme"],
            token=task["token"],
            run=self._client.run(task["token"]),
        )
        return _HeldRun(call, now + lease, now + timeout / 1000 if timeout else float("inf"))

    # Runs.

    def _execute_always(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._over)
                if not self._waiting:
                    return
                run = self._waiting.popleft()
                if run.call.cancelled.is_set():
                    self._end(run, "/claims/release", {"started": False})
                    continue
            path, end = self._execute(run)
            with self._changed:
                self._end(run, path, end)

    def _execute(self, run: _HeldRun) -> tuple[str, dict[str, Any]]:
        """How a run ends. It ends, whatever its handler raises."""
        try:
            return self._outcome(run)
        except BaseException as error:
            return "/claims/fail", {"error": f"what the handler has raised cannot be told: {type(error).__name__}", "discard": False}

    def _outcome(self, run: _HeldRun) -> tuple[str, dict[str, Any]]:
        handler = self._worker._handlers.get((run.call.service, run.call.method))
        try:
            if handler is None:
                raise GaiaError("this worker has no such method")
            # Decoded again, so that a number is written as the handler's JSON has it.
            result = _invoke(handler, run.call, self._logger)
            run.size = len(result)
            return "/claims/finish", {"result": json.loads(result)}
        except Snooze as snooze:
            return "/claims/snooze", {"delay_ms": round(snooze.seconds * 1000)}
        except Discard as discard:
            return "/claims/fail", {"error": _error_text(discard), "discard": True}
        except Park:
            text = "a pulled run cannot be parked: its handler may take as long as it likes"
            return "/claims/fail", {"error": text, "discard": False}
        except BaseException as error:
            if run.stopped or isinstance(error, Cancelled):
                return "/claims/release", {"started": True}
            return "/claims/fail", {"error": _error_text(error), "discard": False}

    def _end(self, run: _HeldRun, path: str, end: dict[str, Any]) -> None:
        """Gives a run its end, which is then sent. A second end of a run, and an end of a lost one, count for nothing."""
        if run.path:
            return
        run.path, run.end = path, {"token": run.call.token, **end}
        self._active -= 1
        if run.lost or self._barred:
            self._held.discard(run)
        else:
            self._ended.append(run)
        self._changed.notify_all()

    # Ends.

    def _send_ends_always(self) -> None:
        """Sends ends as they come. What comes during a request goes together into the next."""
        pauses = _Backoff()
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._ended or self._over)
                if self._over:
                    return
                runs = self._take_ends()
            if not runs:
                continue
            try:
                states, _ = self._client._post_runs(runs[0].path, [run.end for run in runs], _time_for(sum(run.size for run in runs)))
                self._written(runs, states)
                pauses = _Backoff()
            except (_LostAnswer, Refusal) as error:
                if isinstance(error, Refusal) and (_is_forbidden(error) or _is_fault_of_end(error)):
                    self._refused(runs, error)
                    continue
                with self._changed:
                    self._not_written(runs, error)
                    pause = pauses.next(error.retry_after)
                    self._logger.warning("%d ends cannot be sent: %s; the next try is in %.1f s", len(runs), error, pause)
                    self._changed.wait_for(lambda: self._over, pause)

    def _take_ends(self) -> list[_HeldRun]:
        """Takes ends of one kind that go into one request. Those whose lease is over are dropped."""
        taken: list[_HeldRun] = []
        rest: list[_HeldRun] = []
        for run in self._ended:
            if run.lost or time.monotonic() > min(run.until, run.give_up):
                self._held.discard(run)
                self._logger.warning("task %s: the lease is over, and its end is not written; the task runs again", run.call.task_id)
            elif run.goes_with(taken, self._group):
                taken.append(run)
            else:
                rest.append(run)
        self._ended = rest
        self._changed.notify_all()
        return taken

    def _not_written(self, runs: list[_HeldRun], error: Any) -> None:
        """Keeps ends for another try.

        After an odd answer, such as a fault of the server or the page of a proxy, each goes alone, so that an end that always gets one does not
        keep the others back; after a lease it is dropped. After none, or none in time, fewer go together.
        """
        if isinstance(error, _LostAnswer) or error.status == 408:
            self._group = (len(runs) + 1) // 2
        for run in runs:
            run.unsure = run.unsure or error._may_be_done
            if not error.temporary:
                run.alone = True
            if not error.temporary and len(runs) == 1:
                run.give_up = min(run.give_up, time.monotonic() + self._lease)
        self._keep(runs)

    def _keep(self, runs: list[_HeldRun]) -> None:
        """Puts ends back, behind the others, unless the server takes nothing from this worker."""
        if not self._barred:
            self._ended = self._ended + runs
        else:
            self._held.difference_update(runs)
        self._changed.notify_all()

    def _written(self, runs: list[_HeldRun], states: list[dict[str, Any]]) -> None:
        with self._changed:
            self._group = min(2 * self._group, _ENDS_PER_REQUEST)
            self._held.difference_update(runs)
            self._changed.notify_all()
        for run, state in zip(runs, states):
            if state["state"] == "lost" and not run.unsure:
                self._logger.warning("task %s was lost before its end came", run.call.task_id)

    def _refused(self, runs: list[_HeldRun], error: Refusal) -> None:
        """Handles ends that the server does not take as they are.

        Each goes alone, so that one fault does not keep the others back, and a result that is refused alone becomes an error.
        """
        if _is_forbidden(error):
            self._fail(error)
        with self._changed:
            if len(runs) > 1:
                for run in runs:
                    run.alone = True
                self._keep(runs)
            elif runs[0].path == "/claims/finish":
                runs[0].path = "/claims/fail"
                text = f"the server does not take the result: {error}"
                runs[0].end = {"token": runs[0].call.token, "error": text, "discard": True}
                self._keep(runs)
            else:
                self._held.discard(runs[0])
                self._logger.warning("task %s: the server does not take its end: %s", runs[0].call.task_id, error)
                self._changed.notify_all()

    # Beats.

    def _beat_always(self) -> None:
        """Beats every third of the lease, and more often after a failure. Runs out of time are asked to stop when their time comes."""
        pauses = _Backoff()
        lease = self._lease
        due = time.monotonic() + lease / 3
        while True:
            with self._changed:
                nearest = min((run.deadline for run in self._held if not run.call.cancelled.is_set()), default=due)
                known = len(self._held)
                self._changed.wait_for(
                    lambda: self._over or self._lease != lease or len(self._held) > known, max(0.0, min(nearest, due) - time.monotonic())
                )
                if self._over:
                    return
                if self._lease != lease:  # the server has given another one
                    lease = self._lease
                    due = time.monotonic() + lease / 3
                for run in self._held:
                    if time.monotonic() >= run.deadline:
                        run.call.cancelled.set()
            if time.monotonic() < due:
                continue
            pause = lease / 3
            try:
                self._beat(lease / 3)
                pauses = _Backoff()
            except (_LostAnswer, Refusal) as error:
                if isinstance(error, Refusal) and _is_forbidden(error):
                    raise
                self._logger.warning("the lease cannot be renewed: %s", error)
                pause = min(pause, pauses.next(error.retry_after))
            self._fence()
            due = time.monotonic() + pause

    def _beat(self, timeout: float) -> None:
        with self._changed:
            runs = [run for run in self._held if not run.lost]
        for start in range(0, len(runs), _BEATS_PER_REQUEST):
            some = runs[start : start + _BEATS_PER_REQUEST]
            states, _ = self._client._post_runs("/claims/beat", [{"token": run.call.token} for run in some], timeout)
            with self._changed:
                for run, state in zip(some, states):
                    if state["state"] != "lost":
                        run.until = time.monotonic() + self._lease
                        if state["state"] == "cancelled":
                            run.stopped = True
                            run.call.cancelled.set()
                    elif not run.path:  # else its end may have been written just now
                        self._lose(run, "the server says so")

    def _fence(self) -> None:
        """Gives up the runs whose lease is over: another worker may have them."""
        with self._changed:
            for run in self._held:
                if not run.path and not run.lost and time.monotonic() > run.until:
                    self._lose(run, "the server was away for the whole lease")

    def _lose(self, run: _HeldRun, why: str) -> None:
        run.lost = True
        run.call.cancelled.set()
        self._logger.warning("task %s is lost: %s", run.call.task_id, why)
