"""Tests of the client, against a server of the contract that keeps its tasks in memory."""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import io
import json
import logging
import queue
import socket
import threading
import time
import unittest
import unittest.mock
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Callable, Optional
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

import gaia

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER_SECRET = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
PATIENCE = 20.0

QUIET = logging.getLogger("gaia.tests")
QUIET.addHandler(logging.NullHandler())
QUIET.propagate = False

Answer = tuple[int, Any]
PAGE = "<html>by a proxy</html>"
HANG_UP: Answer = (0, {})


def problem(status: int, code: str) -> Answer:
    return status, {"status": status, "code": code, "detail": "by the test"}


class Fake:
    """A server of the contract. It has no leases: a test says what is cancelled and lost."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.lease_ms = 30_000
        self.tasks: list[dict[str, Any]] = []
        self.claimed: dict[str, int] = {}
        self.states: dict[str, str] = {}
        self.ends: list[tuple[str, int, dict[str, Any]]] = []
        self.beats: dict[str, int] = {}
        self.requests: list[tuple[str, dict[str, str], str]] = []
        self.counts: list[int] = []
        self.added = 0
        self.answers: Callable[[str, Any], Optional[Answer]] = lambda path, body: None
        fake = self

        class Connection(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                text = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
                status, body = fake._answer(self.path, dict(self.headers.items()), text)
                if status == 0:
                    return  # the connection is closed without an answer
                self.send_response(status)
                if isinstance(body, str):
                    self.end_headers()
                    self.wfile.write(body.encode())
                    return
                for name, value in body.pop("headers", {}).items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(json.dumps(body).encode())

            do_GET = do_POST

            def log_message(self, *_: Any) -> None:
                pass

        class Listener(ThreadingHTTPServer):
            def handle_error(self, *_: Any) -> None:
                pass  # a client that has gone

        self.server = Listener(("127.0.0.1", 0), Connection)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    def client(self, patience: float = PATIENCE) -> gaia.Client:
        return gaia.Client(self.url + "/api/v1", "secret-token", patience, QUIET)

    def add(self, method: str = "AsyncCreateOrder", **more: Any) -> None:
        with self.changed:
            self.added += 1
            n = self.added
            task = {"token": f"t{n}", "id": n, "theme": "orders", "service": "OrderService", "method": method, "args": n, "attempt": 1}
            self.tasks.append({**task, "max_attempts": 4, "log_id": f"l{n}", "timeout_ms": None, "traceparent": None, **more})
            self.changed.notify_all()

    def wait_for(self, what: str, holds: Callable[[], bool]) -> None:
        with self.changed:
            if not self.changed.wait_for(holds, PATIENCE):
                raise AssertionError(f"waited for {what}; ends {self.ends}, requests {len(self.requests)}")

    def _answer(self, path: str, headers: dict[str, str], text: str) -> Answer:
        path = path[len("/api/v1") :]
        with self.changed:
            try:
                self.requests.append((path, headers, text))
                if headers.get("Authorization") != "Bearer secret-token":
                    return problem(401, "no_access")
                body = json.loads(text) if text and headers.get("Content-Type") == "application/json" else text
                return self.answers(path, body) or self._by_contract(path, body)
            finally:
                self.changed.notify_all()

    def _by_contract(self, path: str, body: Any) -> Answer:
        if path == "/claims":
            self.changed.wait_for(lambda: self.tasks, body["wait_ms"] / 1000)
            given, self.tasks = self.tasks[: body["count"]], self.tasks[body["count"] :]
            self.claimed.update({task["token"]: task["id"] for task in given})
            self.counts.append(len(given))
            return 200, {"worker": "remote:w", "lease_ms": self.lease_ms, "tasks": given}
        runs = [self._state(path, run) for run in body["runs"]]
        if all(run["state"] == "lost" for run in runs):
            return problem(409, "run_lost")
        return 200, {"runs": runs}

    def _state(self, path: str, run: dict[str, Any]) -> dict[str, Any]:
        token = run["token"]
        number = self.claimed.get(token, 0)
        state = self.states.get(token, "held")
        if token not in self.claimed or state == "lost":
            return {"id": number, "state": "lost"}
        if path == "/claims/beat":
            self.beats[token] = self.beats.get(token, 0) + 1
        elif path not in ("/claims/progress", "/claims/log"):
            del self.claimed[token]
            self.ends.append((path, number, run))
            return {"id": number, "state": "written"}
        return {"id": number, "state": state}


class WithFake(unittest.TestCase):
    def setUp(self) -> None:
        self.fake = Fake()
        self.addCleanup(self.fake.close)


# ---- Service --------------------------------------------------------------------------------------------------------------------------


def call(service: gaia.Service, path: str, body: str = "null", verb: str = "POST", length: Optional[int] = None, **headers: str) -> tuple[int, dict[str, str], Any]:
    """Calls through WSGI, whose rules are checked."""
    environ: dict[str, Any] = {"REQUEST_METHOD": verb, "PATH_INFO": path, "SCRIPT_NAME": "", "QUERY_STRING": ""}
    setup_testing_defaults(environ)
    data = body.encode()
    environ["CONTENT_LENGTH"] = str(len(data) if length is None else length)
    environ["wsgi.input"] = io.BytesIO(data)
    environ.update({"HTTP_" + name.upper(): value for name, value in headers.items()})
    said: list[Any] = []
    answer = validator(service)(environ, lambda status, headers, exc=None: said.extend([status, headers]))
    text = b"".join(answer)
    answer.close()
    return int(said[0].split()[0]), dict(said[1]), json.loads(text)


class Answers(unittest.TestCase):
    def test_each_outcome_has_its_answer(self) -> None:
        def fails(error: BaseException) -> gaia.Handler:
            def handler(_: gaia.Call) -> None:
                raise error

            return handler

        for name, handler, token, status, body in [
            ("a result", lambda _: {"order_id": 17}, "t", 200, {"order_id": 17}),
            ("no result", lambda _: None, "t", 200, None),
            ("an error", fails(ValueError("no stock")), "t", 500, {"error": "ValueError: no stock"}),
            ("an exit", fails(SystemExit(3)), "t", 500, {"error": "SystemExit: 3"}),
            ("a discard", fails(gaia.Discard("no item")), "t", 422, {"error": "no item", "discard": True}),
            ("a snooze", fails(gaia.Snooze(1.5)), "t", 503, {"error": "run again in 1.5 s"}),
            ("a snooze for ever", fails(gaia.Snooze(float("inf"))), "t", 503, {"error": "run again in inf s"}),
            ("parked", fails(gaia.Park(60)), "t", 202, {"lease_ms": 60000}),
            ("parked without a lease", fails(gaia.Park()), "t", 202, {}),
            ("a parked job", fails(gaia.Park(60)), None, 500, {"error": "the call has no gaia-run-token: only a task can be parked, not the run of a job"}),
            ("not JSON", lambda _: object(), "t", 422,
             {"error": "the result of M cannot be written as JSON: Object of type object is not JSON serializable", "discard": True}),
            ("text that is no UTF-8", fails(gaia.Discard("a\udcffb")), "t", 422, {"error": "a?b", "discard": True}),
        ]:
            with self.subTest(name):
                service = gaia.Service(logger=QUIET)
                service.handle("M", handler)
                headers = {"gaia_run_token": token} if token else {}
                got = call(service, "/orders/M", **headers)
                self.assertEqual((got[0], got[2]), (status, body))
                self.assertEqual(got[1].get("Retry-After"), {"a snooze": "2", "a snooze for ever": "3153600000"}.get(name))

    def test_a_call_has_what_the_headers_say(self) -> None:
        service = gaia.Service(logger=QUIET)
        calls: list[gaia.Call] = []
        service.method("M ü")(calls.append)
        status, _, _ = call(
            service, "/orders/M \xc3\xbc", '{"item": "tea"}', gaia_task_id="17", gaia_theme="%E8%AE%A2%E5%8D%95 100%25", gaia_attempt="2", gaia_max_attempts="4",
            gaia_log_id="c1-17", gaia_deadline="2026-01-01T00:00:30Z", gaia_run_token="t1", traceparent="00-a",
        )
        got = calls[0]
        self.assertEqual((status, got.task_id, got.theme, got.attempt, got.max_attempts, got.log_id), (200, 17, "订单 100%", 2, 4, "c1-17"))
        self.assertEqual((got.args, got.token, got.traceparent, str(got.deadline)), ({"item": "tea"}, "t1", "00-a", "2026-01-01 00:00:30+00:00"))
        self.assertNotIn("t1", repr(got))
        call(service, "/M \xc3\xbc", "{no JSON", gaia_run_id="5", gaia_job="nightly", gaia_scheduled_at="2026-01-01T02:30:00Z")
        got = calls[1]
        self.assertEqual((got.run_id, got.job, str(got.scheduled_at), got.task_id), (5, "nightly", "2026-01-01 02:30:00+00:00", None))
        with self.assertRaises(gaia.Discard):
            got.args

    def test_refusals(self) -> None:
        service = gaia.Service(max_body=10, logger=QUIET)
        service.handle("M", lambda _: None)
        status, _, body = call(service, "/orders/N")
        self.assertEqual((status, "discard" in body), (404, False))
        status, _, body = call(service, "/orders/M", '"0123456789"')
        self.assertEqual((status, body["discard"]), (413, True))
        status, headers, _ = call(service, "/orders/M", verb="GET")
        self.assertEqual((status, headers["Allow"]), (405, "POST"))
        self.assertEqual(call(service, "/orders/M", "1", length=5)[0], 400)
        for bad in ("hunter2hunter2", "whsec_AAAA", "whsec_äöü"):
            with self.subTest(bad), self.assertRaisesRegex(ValueError, "whsec_ and 24"):
                gaia.Service(bad)

    def test_a_body_in_chunks(self) -> None:
        service = gaia.Service(max_body=10, logger=QUIET)
        service.handle("M", lambda call: call.args)
        for body, terminated, expected in [(b"[1]", True, "200 OK"), (b'"0123456789"', True, "413 "), (b"[1]", False, "411 ")]:
            with self.subTest(body):
                said: list[str] = []
                environ = {"REQUEST_METHOD": "POST", "PATH_INFO": "/M", "wsgi.input": io.BytesIO(body), "wsgi.input_terminated": terminated}
                service(environ, lambda status, _: said.append(status))
                self.assertEqual(said[0][: len(expected)], expected)

    def test_signatures(self) -> None:
        now = 1_800_000_000

        def sign(named: str, at: int, body: str) -> str:
            mac = hmac.new(base64.b64decode(SECRET[6:]), f"{named}.{at}.{body}".encode(), hashlib.sha256)
            return "v1," + base64.b64encode(mac.digest()).decode()

        good = sign("c1", now, "1")
        for name, signature, named, log_id, body, at, secrets, status in [
            ("a good one", good, "c1", "c1", "1", now, [SECRET], 200),
            ("one of several", "v1,AAAA v1a,BBBB garbage " + good, "c1", "c1", "1", now, [SECRET], 200),
            ("by the second secret", good, "c1", "c1", "1", now, [OTHER_SECRET, SECRET], 200),
            ("by another secret", good, "c1", "c1", "1", now, [OTHER_SECRET], 401),
            ("another body", good, "c1", "c1", "2", now, [SECRET], 401),
            ("another id", good, "c2", "c2", "1", now, [SECRET], 401),
            ("another log id", good, "c1", "c2", "1", now, [SECRET], 401),
            ("another version", good.replace("v1", "v2"), "c1", "c1", "1", now, [SECRET], 401),
            ("no ASCII", "v1,\xfc", "c1", "c1", "1", now, [SECRET], 401),
            ("none", "", "c1", "c1", "1", now, [SECRET], 401),
            ("at the limit", sign("c1", now - 300, "1"), "c1", "c1", "1", now - 300, [SECRET], 200),
            ("too old", sign("c1", now - 301, "1"), "c1", "c1", "1", now - 301, [SECRET], 401),
            ("from the future", sign("c1", now + 301, "1"), "c1", "c1", "1", now + 301, [SECRET], 401),
            ("no secret is set", "", "", "c1", "1", now, [], 200),
        ]:
            with self.subTest(name):
                service = gaia.Service(*secrets, logger=QUIET)
                service._now = lambda: float(now)
                ran: list[gaia.Call] = []
                service.handle("M", ran.append)
                headers = {"webhook_id": named, "webhook_timestamp": str(at), "webhook_signature": signature, "gaia_log_id": log_id}
                self.assertEqual(call(service, "/M", body, **headers)[0], status)
                self.assertEqual(len(ran), 1 if status == 200 else 0)


class Serving(unittest.TestCase):
    def serve(self, service: gaia.Service, grace: float = PATIENCE) -> gaia.Server:
        server = gaia.Server(service, port=0, grace=grace)
        thread = threading.Thread(target=server.run)
        thread.start()
        self.addCleanup(thread.join, PATIENCE)
        self.addCleanup(server.stop)
        self.thread = thread
        return server

    def test_connections_are_kept_and_names_are_decoded(self) -> None:
        service = gaia.Service(max_body=1 << 20, logger=QUIET)
        service.handle("a/b", lambda call: call.args)
        connection = http.client.HTTPConnection(*self.serve(service).address)
        for body in ("1", '"two"'):
            connection.request("POST", "/orders/a%2Fb", body)
            answer = connection.getresponse()
            self.assertEqual((answer.status, answer.read().decode(), answer.will_close), (200, body, False))
        connection.request("POST", "/orders/a%2Fb", b" " * (8 << 20))
        answer = connection.getresponse()
        self.assertEqual((answer.status, json.loads(answer.read())["discard"], answer.will_close), (413, True, True))
        connection.putrequest("POST", "/orders/a%2Fb")
        connection.putheader("Transfer-Encoding", "chunked")
        connection.endheaders()
        self.assertEqual(connection.getresponse().status, 411)
        connection.close()

    def test_a_closed_connection_cancels_the_call(self) -> None:
        started: queue.Queue[gaia.Call] = queue.Queue()

        def handler(call: gaia.Call) -> None:
            started.put(call)
            call.cancelled.wait(PATIENCE)

        service = gaia.Service(logger=QUIET)
        service.handle("M", handler)
        connection = http.client.HTTPConnection(*self.serve(service).address)
        connection.request("POST", "/M", "null")
        call = started.get(timeout=PATIENCE)
        self.assertFalse(call.cancelled.is_set())
        connection.close()
        self.assertTrue(call.cancelled.wait(PATIENCE))

    def test_a_look_at_a_connection_does_not_wait(self) -> None:
        ours, theirs = socket.socketpair()
        self.addCleanup(ours.close)
        ours.settimeout(PATIENCE)
        peer = ours.dup()
        self.addCleanup(peer.close)
        peer.settimeout(0)
        began = time.monotonic()
        self.assertFalse(gaia._is_closed(peer))
        theirs.send(b"P")
        self.assertFalse(gaia._is_closed(peer))
        self.assertEqual(ours.recv(1), b"P")
        theirs.close()
        self.assertTrue(gaia._is_closed(peer))
        self.assertLess(time.monotonic() - began, PATIENCE / 2)

    def test_the_next_request_on_a_connection_waits_for_the_answer(self) -> None:
        calls: queue.Queue[gaia.Call] = queue.Queue()
        finish = threading.Event()

        def handler(call: gaia.Call) -> bool:
            calls.put(call)
            finish.wait(PATIENCE)
            return call.cancelled.is_set()

        service = gaia.Service(logger=QUIET)
        service.handle("M", handler)
        request = b"POST /M HTTP/1.1\r\nContent-Length: 4\r\n\r\nnull"
        with socket.create_connection(self.serve(service).address, PATIENCE) as connection:
            connection.sendall(request)
            call = calls.get(timeout=PATIENCE)
            connection.sendall(request)
            self.assertFalse(call.cancelled.wait(3 * gaia._WATCH_INTERVAL))
            finish.set()
            answers = b""
            while answers.count(b"false") < 2:
                part = connection.recv(4096)
                self.assertNotEqual(part, b"", answers)
                answers += part

    def test_a_stop_lets_calls_end(self) -> None:
        started, finish = threading.Event(), threading.Event()

        def handler(_: gaia.Call) -> str:
            started.set()
            finish.wait(PATIENCE)
            return "done"

        service = gaia.Service(logger=QUIET)
        service.handle("M", handler)
        service.handle("N", lambda _: None)
        server = self.serve(service)
        kept = http.client.HTTPConnection(*server.address)
        kept.request("POST", "/N", "null")
        kept.getresponse().read()
        connection = http.client.HTTPConnection(*server.address)
        connection.request("POST", "/M", "null")
        self.assertTrue(started.wait(PATIENCE))
        server.stop()
        kept.request("POST", "/N", "null")
        answer = kept.getresponse()
        self.assertEqual((answer.status, answer.headers["Retry-After"], answer.will_close), (503, "1", True))
        answer.read()
        finish.set()
        self.assertEqual(connection.getresponse().read(), b'"done"')
        self.thread.join(PATIENCE)
        self.assertFalse(self.thread.is_alive())
        connection.close()

    def test_a_stop_cancels_what_does_not_end_and_sends_its_answer(self) -> None:
        calls: queue.Queue[gaia.Call] = queue.Queue()

        def handler(call: gaia.Call) -> str:
            calls.put(call)
            call.cancelled.wait(PATIENCE)
            if call.args == "fail":
                raise InterruptedError
            return "late"

        service = gaia.Service(logger=QUIET)
        service.handle("M", handler)
        server = self.serve(service, grace=0.01)
        sent = []
        for args, headers in (("late", {}), ("fail", {"gaia-run-token": "t"}), ("fail", {})):
            connection = http.client.HTTPConnection(*server.address, timeout=PATIENCE)
            self.addCleanup(connection.close)
            connection.request("POST", "/M", json.dumps(args), headers)
            calls.get(timeout=PATIENCE)
            sent.append(connection)
        server.stop()
        answers = [connection.getresponse() for connection in sent]
        self.assertEqual(
            [(answer.status, answer.headers["Retry-After"], json.loads(answer.read())) for answer in answers],
            [(200, None, "late"), (503, "1", {"error": "InterruptedError"}), (500, None, {"error": "InterruptedError"})],
        )


# ---- Client and Run -------------------------------------------------------------------------------------------------------------------


class Requests(WithFake):
    def test_a_task_is_added_once_although_answers_are_lost(self) -> None:
        answers = [HANG_UP, problem(503, "busy"), problem(409, "idempotency_key_busy")]
        done = (201, {"id": 17, "duplicate": False, "headers": {"Idempotency-Replayed": "true"}})
        self.fake.answers = lambda path, body: answers.pop(0) if answers else done
        added = self.fake.client().add("orders", "OrderService", "AsyncCreateOrder", {"amount": 2}, name="tea")
        self.assertEqual(added, gaia.Added(17, False, True))
        self.assertEqual(len(self.fake.requests), 4)
        keys = {headers["Idempotency-Key"] for _, headers, _ in self.fake.requests}
        bodies = {body for _, _, body in self.fake.requests}
        self.assertEqual((len(keys), len(bodies)), (1, 1))
        expected = {"theme": "orders", "service": "OrderService", "method": "AsyncCreateOrder", "args": {"amount": 2}, "name": "tea"}
        self.assertEqual(json.loads(bodies.pop()), expected)

    def test_a_batch_and_a_wait(self) -> None:
        waits: list[str] = []

        def answers(path: str, _: Any) -> Answer:
            if path == "/tasks/batch?theme=a%26b":
                return 200, {"tasks": [{"id": 1, "duplicate": False}, {"id": 2, "duplicate": True}]}
            if path.startswith("/tasks/1/wait"):
                waits.append(path)
                return (202 if len(waits) == 1 else 200), {"id": 1, "status": "Success"}
            return problem(404, "route_not_found")

        self.fake.answers = answers
        client = self.fake.client()
        task = {"service": "S", "method": "M"}
        self.assertEqual(client.add_batch("a&b", [task, task], key="k"), [gaia.Added(1, False, False), gaia.Added(2, True, False)])
        self.assertEqual(self.fake.requests[0][2], json.dumps(task) + "\n" + json.dumps(task) + "\n")
        with self.assertRaises(gaia.GaiaError):
            client.add_batch("a&b", [task])
        self.assertEqual((client.wait_for(1)["status"], len(waits)), ("Success", 2))
        with self.assertRaisesRegex(gaia.Refusal, "/api/v1"):
            client.wait_for(3)

    def test_no_redirect_is_followed_and_patience_ends(self) -> None:
        self.fake.answers = lambda path, body: (307, {"headers": {"Location": self.fake.url + "/elsewhere"}})
        with self.assertRaisesRegex(gaia.Refusal, "307"):
            self.fake.client().add("orders", "S", "M")
        self.assertEqual(len(self.fake.requests), 1)
        self.fake.answers = lambda path, body: HANG_UP
        with self.assertRaises(gaia.NoAnswer):
            self.fake.client(patience=0.3).run("t1").beat()
        for bad in ("", "jobs.example", "ftp://jobs.example", "http://"):
            with self.subTest(bad), self.assertRaises(ValueError):
                gaia.Client(bad)

    def test_a_parked_run(self) -> None:
        self.fake.claimed = {f"p{n}": n for n in range(1, 7)}
        client = self.fake.client()
        run = client.run("p1")
        run.beat()
        run.progress(40, "packing")
        run.log("one")
        self.fake.states["p1"] = "cancelled"
        with self.assertRaises(gaia.Cancelled):
            run.beat()
        run.finish({"n": 1})
        client.run("p2").fail("no stock")
        client.run("p3").fail("no item", discard=True)
        client.run("p4").snooze(1.5)
        client.run("p5").release()
        self.assertEqual(
            self.fake.ends,
            [
                ("/claims/finish", 1, {"token": "p1", "result": {"n": 1}}),
                ("/claims/fail", 2, {"token": "p2", "error": "no stock", "discard": False}),
                ("/claims/fail", 3, {"token": "p3", "error": "no item", "discard": True}),
                ("/claims/snooze", 4, {"token": "p4", "delay_ms": 1500}),
                ("/claims/release", 5, {"token": "p5", "started": True}),
            ],
        )
        with self.assertRaises(gaia.Lost) as lost:
            run.finish()
        self.assertFalse(lost.exception.resent)

    @unittest.mock.patch.object(gaia, "_FIRST_PAUSE", 0.01)
    def test_a_lost_end_may_have_been_written(self) -> None:
        def stored(what: str) -> Answer:
            return 503, {**problem(503, "database_connection_lost")[1], "stored": what}

        for first, resent in [
            (HANG_UP, True), ((502, PAGE), True), ((504, PAGE), True), ((503, PAGE), True), (stored("unknown"), True), (stored("no"), False),
            (problem(429, "too_many_requests"), False), (problem(408, "body_too_slow"), False),
        ]:
            with self.subTest(first):
                answers = [first]
                self.fake.answers = lambda path, body: answers.pop() if answers else None
                with self.assertRaises(gaia.Lost) as lost:
                    self.fake.client().run("p1").finish()
                self.assertEqual(lost.exception.resent, resent)

    def test_keep_beats_until_the_run_is_cancelled(self) -> None:
        self.fake.claimed = {"p1": 1}
        with self.fake.client().run("p1").keep(0.06) as over:
            self.fake.wait_for("two beats", lambda: self.fake.beats.get("p1", 0) >= 2)
            self.assertFalse(over.is_set())
            self.fake.states["p1"] = "cancelled"
            self.assertTrue(over.wait(PATIENCE))


    def test_keep_goes_on_after_odd_answers(self) -> None:
        self.fake.claimed = {"p1": 1}
        odd: list[Answer] = [HANG_UP, problem(500, "internal"), (404, PAGE), (200, PAGE), (200, {}), (200, {"runs": [{}]})]
        self.fake.answers = lambda path, body: odd.pop() if odd else None
        with self.fake.client().run("p1").keep(0.3) as over:
            self.fake.wait_for("a beat", lambda: self.fake.beats.get("p1", 0) >= 1)
            self.assertFalse(over.is_set())
            self.fake.answers = lambda path, body: problem(401, "no_access")
            self.assertTrue(over.wait(PATIENCE))

    def test_keep_waits_for_no_beat_longer_than_a_third_of_the_lease(self) -> None:
        self.fake.claimed = {"p1": 1}
        silent = threading.Event()
        self.addCleanup(silent.set)

        def answers(path: str, body: Any) -> Optional[Answer]:
            if len(self.fake.requests) > 1:
                return None
            self.fake.changed.wait_for(silent.is_set, PATIENCE)
            return HANG_UP

        self.fake.answers = answers
        with self.fake.client().run("p1").keep(0.3) as over:
            began = time.monotonic()
            self.fake.wait_for("the second beat", lambda: self.fake.beats.get("p1", 0) >= 1)
            self.assertLess(time.monotonic() - began, PATIENCE / 2)
            self.assertFalse(over.is_set())

    def test_nobody_beats_for_a_run_without_a_lease(self) -> None:
        self.fake.claimed = {"p1": 1}
        client = self.fake.client()
        run = client.run("p1")
        with unittest.mock.patch.object(client, "_post_runs", wraps=client._post_runs) as post, run.keep(0) as over:
            for percent in range(20):
                run.progress(percent)
            self.assertFalse(over.is_set())
            self.assertEqual({each.args[0] for each in post.call_args_list}, {"/claims/progress"})

    def test_a_fault_of_keep_ends_the_work(self) -> None:
        client = self.fake.client()
        with unittest.mock.patch.object(client, "_post_runs", side_effect=MemoryError), unittest.mock.patch.object(threading, "excepthook"):
            with client.run("p1").keep(0.03) as over:
                self.assertTrue(over.wait(PATIENCE))


# ---- Worker ---------------------------------------------------------------------------------------------------------------------------


class Working(WithFake):
    def work(self, handler: gaia.Handler, **settings: Any) -> gaia.Worker:
        worker = gaia.Worker(self.fake.client(), "w", "orders", logger=QUIET, **{"wait": 0.05, **settings})
        worker.handle("OrderService", "AsyncCreateOrder", handler)
        self.error: Optional[BaseException] = None

        def run() -> None:
            try:
                worker.run()
            except BaseException as error:
                self.error = error

        self.thread = threading.Thread(target=run)
        self.thread.start()
        self.addCleanup(self.thread.join, PATIENCE)
        self.addCleanup(worker.stop)
        return worker

    def must_stop(self, worker: gaia.Worker) -> None:
        worker.stop()
        self.thread.join(PATIENCE)
        self.assertFalse(self.thread.is_alive())
        self.assertIsNone(self.error)

    def test_tasks_run_and_ends_go_together(self) -> None:
        for _ in range(500):
            self.fake.add()
        lock, now, most = threading.Lock(), 0, 0

        def handler(call: gaia.Call) -> int:
            nonlocal now, most
            with lock:
                now += 1
                most = max(most, now)
            self.assertEqual((call.args, call.service, call.theme, call.max_attempts), (call.task_id, "OrderService", "orders", 4))
            with lock:
                now -= 1
            return call.args * 2

        worker = self.work(handler, concurrency=8, batch=100)
        self.fake.wait_for("500 ends", lambda: len(self.fake.ends) == 500)
        self.must_stop(worker)
        self.assertEqual({(path, number, end["result"]) for path, number, end in self.fake.ends}, {("/claims/finish", n, 2 * n) for n in range(1, 501)})
        self.assertLessEqual(most, 8)
        self.assertLess(sum(path == "/claims/finish" for path, _, _ in self.fake.requests), 300)
        self.assertLessEqual(max(self.fake.counts), 100)

    def test_ends(self) -> None:
        for what in ("fine", "fail", "discard", "snooze", "park", "exit", "snooze for ever", "no text"):
            self.fake.add(args=what)
        self.fake.add(args=None, args_text="{no JSON")
        self.fake.add("Unknown")

        class NoText(gaia.GaiaError):
            def __str__(self) -> str:
                raise NotImplementedError

        def handler(call: gaia.Call) -> None:
            what = call.args
            if what == "fail":
                raise ValueError("no stock")
            if what == "discard":
                raise gaia.Discard("no item")
            if what == "snooze":
                raise gaia.Snooze(2)
            if what == "park":
                raise gaia.Park(60)
            if what == "exit":
                raise SystemExit(3)
            if what == "snooze for ever":
                raise gaia.Snooze(float("inf"))
            if what == "no text":
                raise NoText
            call.run.progress(50, "half")
            call.run.log("done")

        worker = self.work(handler)
        self.fake.wait_for("10 ends", lambda: len(self.fake.ends) == 10)
        self.must_stop(worker)
        ends = {number: (path[8:], {key: value for key, value in end.items() if key != "token"}) for path, number, end in self.fake.ends}
        self.assertEqual(ends[1], ("finish", {"result": None}))
        self.assertEqual(ends[2], ("fail", {"error": "ValueError: no stock", "discard": False}))
        self.assertEqual(ends[3], ("fail", {"error": "no item", "discard": True}))
        self.assertEqual(ends[4], ("snooze", {"delay_ms": 2000}))
        self.assertRegex(ends[5][1]["error"], "cannot be parked")
        self.assertEqual(ends[6], ("fail", {"error": "SystemExit: 3", "discard": False}))
        self.assertEqual(ends[7], ("snooze", {"delay_ms": 3_153_600_000_000}))
        self.assertEqual(ends[8], ("fail", {"error": "what the handler has raised cannot be told: NotImplementedError", "discard": False}))
        self.assertEqual((ends[9][0], ends[9][1]["discard"]), ("fail", True))
        self.assertEqual(ends[10], ("fail", {"error": "this worker has no such method", "discard": False}))
        paths = [path for path, _, _ in self.fake.requests]
        self.assertEqual((paths.count("/claims/progress"), paths.count("/claims/log")), (1, 1))

    def test_a_cancelled_run_is_released_and_a_lost_one_is_dropped(self) -> None:
        self.fake.lease_ms = 300
        for _ in range(3):
            self.fake.add()
        started: queue.Queue[int] = queue.Queue()
        stopped: queue.Queue[int] = queue.Queue()
        finish = threading.Event()

        def handler(call: gaia.Call) -> str:
            started.put(call.task_id)
            if call.task_id == 3:
                finish.wait(PATIENCE)
                return "fine"
            call.cancelled.wait(PATIENCE)
            stopped.put(call.task_id)
            raise InterruptedError

        worker = self.work(handler)
        for _ in range(3):
            started.get(timeout=PATIENCE)
        self.fake.states = {"t1": "cancelled", "t2": "lost", "t3": "cancelled"}
        self.assertEqual({stopped.get(timeout=PATIENCE), stopped.get(timeout=PATIENCE)}, {1, 2})
        self.fake.wait_for("the release", lambda: len(self.fake.ends) == 1)
        self.fake.wait_for("beats of the third run", lambda: self.fake.beats["t3"] > 2)
        finish.set()
        self.fake.wait_for("the finish", lambda: len(self.fake.ends) == 2)
        self.must_stop(worker)
        self.assertEqual(
            self.fake.ends,
            [("/claims/release", 1, {"token": "t1", "started": True}), ("/claims/finish", 3, {"token": "t3", "result": "fine"})],
        )

    def test_a_run_out_of_time_is_asked_to_stop(self) -> None:
        self.fake.add(timeout_ms=50)

        def handler(call: gaia.Call) -> None:
            self.assertIsNotNone(call.deadline)
            raise TimeoutError(call.cancelled.wait(PATIENCE))

        worker = self.work(handler)
        self.fake.wait_for("the end", lambda: len(self.fake.ends) == 1)
        self.must_stop(worker)
        self.assertEqual(self.fake.ends[0][2]["error"], "TimeoutError: True")

    def test_a_huge_timeout_is_no_deadline(self) -> None:
        self.fake.add(timeout_ms=2**63 - 1)
        worker = self.work(lambda call: call.deadline is None and not call.cancelled.is_set())
        self.fake.wait_for("the end", lambda: len(self.fake.ends) == 1)
        self.must_stop(worker)
        self.assertEqual(self.fake.ends, [("/claims/finish", 1, {"token": "t1", "result": True})])

    def test_ends_are_kept_while_the_server_is_away(self) -> None:
        for _ in range(5):
            self.fake.add()
        answers = [HANG_UP, problem(503, "database_unreachable"), HANG_UP]
        self.fake.answers = lambda path, body: answers.pop() if path == "/claims/finish" and answers else None
        worker = self.work(lambda _: None)
        self.fake.wait_for("5 ends", lambda: len(self.fake.ends) == 5)
        self.must_stop(worker)
        self.assertEqual(answers, [])

    @unittest.mock.patch.object(gaia, "_FIRST_PAUSE", 0.01)
    def test_a_result_outlives_odd_answers(self) -> None:
        self.fake.add()
        answers = [problem(408, "body_too_slow"), problem(400, "body_lost"), problem(500, "database_error"), (404, PAGE), (520, PAGE), (200, PAGE), (200, {})]
        self.fake.answers = lambda path, body: answers.pop() if path == "/claims/finish" and answers else None
        worker = self.work(lambda _: "good")
        self.fake.wait_for("the end", lambda: len(self.fake.ends) == 1)
        self.must_stop(worker)
        self.assertEqual((answers, self.fake.ends), ([], [("/claims/finish", 1, {"token": "t1", "result": "good"})]))

    def test_an_end_that_always_gets_an_odd_answer_is_dropped_and_keeps_no_other_back(self) -> None:
        self.fake.lease_ms = 1000
        for _ in range(5):
            self.fake.add()
        refused: list[str] = []

        def answers(path: str, body: Any) -> Optional[Answer]:
            if path == "/claims/finish" and any(run["token"] == "t3" for run in body["runs"]):
                refused.append(path)
                return problem(500, "internal")
            return None

        self.fake.answers = answers
        worker = self.work(lambda _: "good", grace=PATIENCE)
        self.fake.wait_for("4 ends, and a refused end of task 3", lambda: len(self.fake.ends) == 4 and len(refused) > 0)
        self.must_stop(worker)
        self.assertEqual(list(self.fake.claimed), ["t3"])

    def finish_together(self, result: Any) -> None:
        for _ in range(10):
            self.fake.add()
        ready = threading.Barrier(10)

        def handler(_: gaia.Call) -> Any:
            ready.wait(PATIENCE)
            return result

        worker = self.work(handler)
        self.fake.wait_for("10 ends", lambda: len(self.fake.ends) == 10)
        self.must_stop(worker)

    @unittest.mock.patch.object(gaia, "_FIRST_PAUSE", 0.01)
    def test_ends_that_do_not_get_through_go_in_smaller_groups(self) -> None:
        self.fake.answers = lambda path, body: HANG_UP if path == "/claims/finish" and len(body["runs"]) > 2 else None
        self.finish_together(None)

    def test_long_ends_do_not_go_together(self) -> None:
        self.finish_together("a" * 400_000)
        sent = [len(text) for path, _, text in self.fake.requests if path == "/claims/finish"]
        self.assertLess(max(sent), (1 << 20) + 10_000)
        self.assertLess(len(sent), 10)

    def test_a_long_request_gets_more_time(self) -> None:
        def slow(path: str, body: Any) -> Answer:
            time.sleep(0.4)  # as if the body had come slowly
            return 201, {"id": 17, "duplicate": False}

        self.fake.answers = slow
        with unittest.mock.patch.object(gaia, "_REQUEST_TIMEOUT", 0.2):
            self.assertEqual(self.fake.client().add("orders", "S", "M", "a" * (32 << 10)).id, 17)
        self.assertEqual(len(self.fake.requests), 1)

    def test_runs_are_given_up_when_the_lease_is_over(self) -> None:
        self.fake.lease_ms = 300
        self.fake.add()
        self.fake.answers = lambda path, body: HANG_UP if path == "/claims/beat" else None
        over = threading.Event()

        def handler(call: gaia.Call) -> None:
            if call.cancelled.wait(PATIENCE):
                over.set()

        worker = self.work(handler)
        self.assertTrue(over.wait(PATIENCE))
        self.must_stop(worker)
        self.assertEqual(self.fake.ends, [])

    def test_a_revoked_token_stops_the_worker(self) -> None:
        self.fake.lease_ms = 300
        self.fake.add()
        started: queue.Queue[gaia.Call] = queue.Queue()

        def handler(call: gaia.Call) -> None:
            started.put(call)
            call.cancelled.wait(PATIENCE)

        self.work(handler)
        call = started.get(timeout=PATIENCE)
        self.fake.answers = lambda path, body: problem(401, "no_access")
        self.thread.join(PATIENCE)
        self.assertTrue(call.cancelled.is_set())
        self.assertIsInstance(self.error, gaia.Refusal)
        self.assertIn("Http.Access.Tokens", str(self.error))

    @unittest.mock.patch.object(gaia, "_FIRST_PAUSE", 0.01)
    def test_a_worker_goes_on_after_odd_answers(self) -> None:
        self.fake.lease_ms = 1500
        self.fake.add()
        odd: list[Answer] = [(404, PAGE), problem(500, "internal"), (520, PAGE), (200, PAGE), (200, {}), (200, []), (200, {"tasks": [{}]})]
        to_claims, to_beats = list(odd), odd[3:]
        self.fake.answers = lambda path, body: (to_claims.pop() if path == "/claims" and to_claims else to_beats.pop() if path == "/claims/beat" and to_beats else None)
        beaten = threading.Event()

        def handler(call: gaia.Call) -> bool:
            beaten.wait(PATIENCE)
            return call.cancelled.is_set()

        worker = self.work(handler)
        self.fake.wait_for("a beat", lambda: not to_beats and self.fake.beats.get("t1", 0) > 0)
        beaten.set()
        self.fake.wait_for("the end", lambda: len(self.fake.ends) == 1)
        self.must_stop(worker)
        self.assertEqual((to_claims, self.fake.ends), ([], [("/claims/finish", 1, {"token": "t1", "result": False})]))

    def test_a_worker_whose_question_is_refused_ends_its_runs(self) -> None:
        self.fake.add()
        self.fake.add()
        started, finish = threading.Event(), threading.Event()

        def handler(_: gaia.Call) -> str:
            started.set()
            finish.wait(PATIENCE)
            return "done"

        self.work(handler, concurrency=1, batch=3)
        self.assertTrue(started.wait(PATIENCE))
        self.fake.answers = lambda path, body: problem(422, "invalid") if path == "/claims" else None
        self.fake.wait_for("the one that has not begun", lambda: len(self.fake.ends) == 1)
        finish.set()
        self.thread.join(PATIENCE)
        self.assertIsInstance(self.error, gaia.Refusal)
        self.assertEqual([path for path, _, _ in self.fake.ends], ["/claims/release", "/claims/finish"])

    def test_a_stop_lets_running_tasks_end(self) -> None:
        for _ in range(3):
            self.fake.add()
        started, finish = threading.Event(), threading.Event()

        def handler(_: gaia.Call) -> str:
            started.set()
            finish.wait(PATIENCE)
            return "done"

        worker = self.work(handler, concurrency=1, batch=3)
        self.assertTrue(started.wait(PATIENCE))
        worker.stop()
        self.fake.wait_for("the two that have not begun", lambda: len(self.fake.ends) == 2)
        finish.set()
        self.thread.join(PATIENCE)
        self.assertIsNone(self.error)
        self.assertEqual([(path, end.get("started"), end.get("result")) for path, _, end in self.fake.ends], [
            ("/claims/release", False, None), ("/claims/release", False, None), ("/claims/finish", None, "done")])

    def test_a_stop_hands_back_what_does_not_end_within_the_grace(self) -> None:
        for _ in range(3):
            self.fake.add()
        started: queue.Queue[int] = queue.Queue()
        never = threading.Event()
        self.addCleanup(never.set)

        def handler(call: gaia.Call) -> None:
            started.put(call.task_id)
            call.cancelled.wait(PATIENCE)
            if call.task_id == 1:
                never.wait(PATIENCE)  # a handler that does not listen
            if call.task_id == 2:
                raise gaia.Discard("no item")
            raise InterruptedError

        worker = self.work(handler, grace=0.01)
        for _ in range(3):
            started.get(timeout=PATIENCE)
        self.must_stop(worker)
        self.assertEqual({number: (path, end.get("started")) for path, number, end in self.fake.ends}, {
            1: ("/claims/release", True), 2: ("/claims/fail", None), 3: ("/claims/release", True)})

    def test_a_result_that_the_server_refuses_fails_its_task_alone(self) -> None:
        for _ in range(5):
            self.fake.add()

        def answers(path: str, body: Any) -> Optional[Answer]:
            if path == "/claims/finish" and any(run["result"] == "bad" for run in body["runs"]):
                return problem(413, "body_too_long")
            return None

        self.fake.answers = answers
        ready = threading.Barrier(5)

        def handler(call: gaia.Call) -> str:
            ready.wait(PATIENCE)
            return "bad" if call.task_id == 3 else "good"

        worker = self.work(handler)
        self.fake.wait_for("5 ends", lambda: len(self.fake.ends) == 5)
        self.must_stop(worker)
        self.assertEqual({number: path for path, number, _ in self.fake.ends if path != "/claims/finish"}, {3: "/claims/fail"})

    def test_settings_are_checked(self) -> None:
        client = self.fake.client()
        for settings in ({"name": ""}, {"theme": ""}, {"lease": 0.5}, {"concurrency": 0}, {"wait": -1}, {"batch": 0}):
            with self.subTest(settings), self.assertRaises(ValueError):
                gaia.Worker(client, **{"name": "w", "theme": "t", **settings})
        with self.assertRaises(ValueError):
            gaia.Worker(client, "w", "t").run()


if __name__ == "__main__":
    unittest.main()
