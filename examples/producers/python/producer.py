#!/usr/bin/env python3
"""Adds tasks through the HTTP API of gaia-actors, and waits for one of them.

The program adds one task and a list of tasks, each of them once: a request whose answer was lost is sent again with the same
Idempotency-Key, and the server answers with the tasks that it has added already. At the end the program sends both requests once more on
purpose, to show that.

    cargo run --example embedded --features web
    curl -H 'content-type: application/json' -d '{"item": "tea", "amount": 2}' localhost:8080/orders
    python3 examples/producers/python/producer.py

GAIA_URL says where the API is (default http://localhost:8080/gaia/api/v1). GAIA_TOKEN is a token with the permissions enqueue and view
(a producer that waits for no result needs enqueue alone); a server that gives access to its own machine needs none.
The exit status is 0 only if every task was added once and the first of them has succeeded.
"""

from __future__ import annotations

import http.client
import json
import os
import random
import sys
import time
import urllib.error
import urllib.request
import uuid
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

THEME = "order-task"

# All times are in seconds.
# How long the server may be silent, before its answer counts as lost.
REQUEST_TIMEOUT = 10.0
# How long one request waits for the end of a task. The server allows 60 s.
WAIT_PER_REQUEST = 20.0
# How long this program waits for the end of a task.
PATIENCE = 120.0
# How often a request is sent at most, and the pauses between: they double, from the first to the longest.
MAX_ATTEMPTS = 8
FIRST_PAUSE = 0.2
LONGEST_PAUSE = 10.0


class ProducerError(Exception):
    """Something is wrong that another try does not mend."""


class TemporaryError(Exception):
    """The same request may be answered otherwise a little later."""

    def __init__(self, text: str, retry_after: float | None = None) -> None:
        super().__init__(text)
        self.retry_after = retry_after


@dataclass(frozen=True)
class Answer:
    """An answer with a status below 400."""

    status: int
    replayed: bool
    """Whether an earlier request with the same key has added the tasks."""
    body: Any


class Client:
    """Sends requests to the API."""

    def __init__(self, url: str, token: str | None) -> None:
        self.url = url.rstrip("/")
        self.token = token

    def add(self, key: str, task: dict[str, Any]) -> Answer:
        """Adds one task. The key belongs to this addition alone."""
        return self._send("POST", "/tasks", json.dumps(task), "application/json", key)

    def add_batch(self, key: str, theme: str, tasks: list[dict[str, Any]]) -> Answer:
        """Adds tasks of one theme, all or none, as lines of JSON."""
        lines = "".join(json.dumps(task) + "\n" for task in tasks)
        answer = self._send("POST", f"/tasks/batch?theme={theme}", lines, "application/jsonl", key)
        if len(answer.body["tasks"]) != len(tasks):
            raise ProducerError(f"{len(tasks)} tasks were sent, and the answer is {answer.body}")
        return answer

    def wait(self, task_id: int) -> dict[str, Any]:
        """The task, when it has ended."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            path = f"/tasks/{task_id}/wait?wait_ms={WAIT_PER_REQUEST * 1000:.0f}"
            answer = self._send("GET", path, timeout=WAIT_PER_REQUEST + REQUEST_TIMEOUT)
            if answer.status == 200:  # 202: it has not ended yet
                return answer.body
        raise ProducerError(f"task {task_id} has not ended within {PATIENCE:.0f} s")

    def _send(
        self,
        method: str,
        path: str,
        body: str | None = None,
        content_type: str | None = None,
        key: str | None = None,
        timeout: float = REQUEST_TIMEOUT,
    ) -> Answer:
        """Sends the request until the server has answered.

        The answer is lost if the connection breaks or the time is over: then nobody knows whether the server has done what was asked for,
        and only the key makes it safe to ask again.
        """
        headers = {"Accept": "application/json"}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        if content_type:
            headers["Content-Type"] = content_type
        if key:
            headers["Idempotency-Key"] = key
        data = None if body is None else body.encode()
        pause = FIRST_PAUSE
        for attempt in range(1, MAX_ATTEMPTS + 1):
            request = urllib.request.Request(self.url + path, data, headers, method=method)
            try:
                return _send_once(request, timeout)
            except TemporaryError as error:
                if attempt == MAX_ATTEMPTS:
                    raise ProducerError(f"{method} {path}: tried {attempt} times: {error}") from error
                wait = error.retry_after
                if wait is None:
                    # A random time, so that many clients do not come back all at once.
                    wait = random.uniform(pause / 2, pause)
                    pause = min(2 * pause, LONGEST_PAUSE)
                print(f"{method} {path}: {error}; the next try is in {wait:.1f} s", file=sys.stderr)
                time.sleep(wait)
        raise AssertionError("the last try returns or raises")


def _send_once(request: urllib.request.Request, timeout: float) -> Answer:
    try:
        with urllib.request.urlopen(request, timeout=timeout) as response:
            replayed = response.headers.get("Idempotency-Replayed") == "true"
            text = response.read()
    except urllib.error.HTTPError as refusal:
        with refusal:
            raise _error_of(refusal) from refusal
    except (OSError, http.client.HTTPException) as lost:
        # URLError and the errors of time and of connections are OSErrors.
        raise TemporaryError(f"no answer: {lost}") from lost
    try:
        return Answer(response.status, replayed, json.loads(text))
    except ValueError as error:
        raise ProducerError(f"the answer is no JSON: {error}") from error


def _error_of(refusal: urllib.error.HTTPError) -> Exception:
    """The error for an answer from 400 on: a problem as application/problem+json, or the page of a proxy between."""
    text = refusal.read().decode(errors="replace")
    try:
        problem = json.loads(text)
        code, detail = problem["code"], problem["detail"]
    except (ValueError, KeyError, TypeError):
        code, detail = "", text.strip()
    said = f"the server refuses with {refusal.code} {code}: {detail}"
    # 409 with this code: the first request with this key is still under way.
    if refusal.code in (429, 502, 503, 504) or code == "idempotency_key_busy":
        return TemporaryError(said, _retry_after(refusal.headers.get("Retry-After")))
    return ProducerError(said)


def _retry_after(text: str | None) -> float | None:
    """How long the server asks to wait: it says so in seconds, or by a date."""
    if not text:
        return None
    if text.isdecimal():
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except ValueError:
        return None


def confirm(name: str) -> dict[str, Any]:
    """A task that confirms order 1: confirming it twice is the same as once."""
    return {"service": "OrderService", "method": "ConfirmOrder", "name": name, "args": 1}


def run() -> None:
    client = Client(os.environ.get("GAIA_URL", "http://localhost:8080/gaia/api/v1"), os.environ.get("GAIA_TOKEN"))
    one = {"theme": THEME, **confirm("from Python")}
    batch = [confirm(f"from Python, {n} of 3") for n in (1, 2, 3)]

    # Made before the first request. A program that may be restarted between two tries takes keys that it finds again, such as the id of the
    # message that it handles.
    one_key, batch_key = str(uuid.uuid4()), str(uuid.uuid4())
    added = client.add(one_key, one)
    print(f"added task {added.body['id']}")
    listed = client.add_batch(batch_key, THEME, batch)
    print(f"added {len(batch)} tasks, the first is {listed.body['tasks'][0]['id']}")

    # Once more, as if the answers had been lost: the same tasks, and no further ones.
    for first, again in (
        (added, client.add(one_key, one)),
        (listed, client.add_batch(batch_key, THEME, batch)),
    ):
        if again.body != first.body or not again.replayed:
            raise ProducerError(f"the repeated request has added other tasks: {first.body} and {again.body}")

    ended = client.wait(added.body["id"])
    if ended["status"] != "Success":
        raise ProducerError(f"task {ended['id']} is {ended['status']}: {ended.get('last_error')}")
    print(f"task {ended['id']} has ended: {json.dumps(ended.get('last_result'))}")


def main() -> int:
    try:
        run()
    except ProducerError as error:
        print(f"producer: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
