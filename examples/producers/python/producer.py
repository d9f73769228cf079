#!/usr/bin/env python3
"""Adds tasks through the HTTP API of gaia-actors, and waits for one of them. The module gaia (clients/python) sends the requests.

The program adds one task and a list of tasks, each of them once: a request whose answer was lost is sent again with the same
Idempotency-Key, and the server answers with the tasks that it has added already. At the end the program sends both requests once more on
purpose, to show that.

    cargo run --example service --features postgres,web
    curl -H 'content-type: application/json' -d '{"customer": "ann", "item": "tea", "amount": 2}' localhost:8080/orders
    python3 examples/producers/python/producer.py

GAIA_URL says where the API is (default http://localhost:8080/gaia/api/v1). GAIA_TOKEN is a token with the permissions enqueue and view
(a producer that waits for no result needs enqueue alone); a server that gives access to its own machine needs none.
The exit status is 0 only if every task was added once and the first of them has succeeded.
"""

from __future__ import annotations

import json
import os
import sys
import uuid
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "clients" / "python"))
import gaia  # noqa: E402

THEME = "order-task"


def confirm(name: str) -> dict[str, Any]:
    """A task that confirms order 1: confirming it twice is the same as once."""
    return {"service": "OrderService", "method": "ConfirmOrder", "name": name, "args": 1}


def run() -> None:
    client = gaia.Client(os.environ.get("GAIA_URL", "http://localhost:8080/gaia/api/v1"), os.environ.get("GAIA_TOKEN"))
    one = confirm("from Python")
    batch = [confirm(f"from Python, {n} of 3") for n in (1, 2, 3)]

    # Made before the first request. A program that may be restarted between two tries takes keys that it finds again, such as the id of the
    # message that it handles.
    one_key, batch_key = str(uuid.uuid4()), str(uuid.uuid4())
    added = client.add(THEME, **one, key=one_key)
    print(f"added task {added.id}")
    listed = client.add_batch(THEME, batch, key=batch_key)
    print(f"added {len(batch)} tasks, the first is {listed[0].id}")

    # Once more, as if the answers had been lost: the same tasks, and no further ones.
    again = [client.add(THEME, **one, key=one_key), *client.add_batch(THEME, batch, key=batch_key)]
    for first, repeated in zip([added, *listed], again):
        if repeated.id != first.id or not repeated.replayed:
            raise gaia.GaiaError(f"the repeated request has added another task: {first} and {repeated}")

    ended = client.wait_for(added.id)
    if ended["status"] != "Success":
        raise gaia.GaiaError(f"task {ended['id']} is {ended['status']}: {ended.get('last_error')}")
    print(f"task {ended['id']} has ended: {json.dumps(ended.get('last_result'))}")


def main() -> int:
    try:
        run()
    except (gaia.GaiaError, TimeoutError) as error:
        print(f"producer: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
