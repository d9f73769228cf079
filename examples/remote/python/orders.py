#!/usr/bin/env python3
"""A service whose methods are tasks and jobs of a server of gaia-actors: the OrderService of the guide.

``gaia serve`` calls it, as examples/remote/config.json says. Or it asks for tasks of a theme, so that nobody needs to reach it. From the
root of the repository:

    export ORDERS_SECRET=whsec_b3JkZXJzIG9mIHRoZSBleGFtcGxlLCBub3Qgc2VjcmV0
    export GAIA_TOKEN=orders-of-the-example
    cargo run --features cli -- serve --config examples/remote/config.json
    python3 examples/remote/python/orders.py                      # called: tasks of the theme order-task
    python3 examples/remote/python/orders.py --pull order-pull    # asking: tasks of the theme order-pull

A task runs at least once, and perhaps again. So an order belongs to the id of its task, and the second run finds the order of the first:
--orders names the file that keeps them.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "clients" / "python"))
import gaia  # noqa: E402

# How often a parked run is heard of at least, and how long the supplier takes to bring what is not in stock, in seconds.
PACKING_LEASE = 15.0
DELIVERY = 2.0


class Orders:
    """Creates and packs orders."""

    def __init__(self, path: Path, client: gaia.Client) -> None:
        self._client = client
        self._lock = threading.Lock()
        self._arrivals: dict[str, float] = {}
        self._file = path.open("a+")
        self._file.seek(0)
        self._orders: dict[int, dict[str, Any]] = {order["task_id"]: order for order in map(json.loads, self._file)}
        self._parked: list[threading.Thread] = []
        self.stopping = threading.Event()

    def create(self, call: gaia.Call) -> dict[str, int]:
        """AsyncCreateOrder of the guide."""
        item, amount = call.args.get("item"), call.args.get("amount", 0)
        if not item or amount < 1:
            raise gaia.Discard("an order needs an item, and an amount of at least 1")
        with self._lock:
            wait = self._missing(item)
            if wait > 0:
                raise gaia.Snooze(wait)
            order = self._orders.get(call.task_id)
            if order is None:
                order = {"task_id": call.task_id, "order_id": len(self._orders) + 1, "log_id": call.log_id, "item": item, "amount": amount}
                self._file.write(json.dumps(order) + "\n")
                self._file.flush()
                self._orders[call.task_id] = order
            return {"order_id": order["order_id"]}

    def _missing(self, item: str) -> float:
        """How long it takes until an item is in stock. Truffles have to be ordered first."""
        if item != "truffles":
            return 0.0
        return self._arrivals.setdefault(item, time.monotonic() + DELIVERY) - time.monotonic()

    def pack(self, call: gaia.Call) -> dict[str, int]:
        """Takes minutes in a real shop. A called service parks the run and goes on by itself; a worker just works."""
        boxes = int(call.args["boxes"])
        if call.run is not None:
            return self._pack(call.run, boxes, call.cancelled)
        thread = threading.Thread(target=self._pack_parked, args=(self._client.run(call.token), boxes))
        with self._lock:
            self._parked = [each for each in self._parked if each.is_alive()] + [thread]
        thread.start()
        raise gaia.Park(PACKING_LEASE)

    def _pack_parked(self, run: gaia.Run, boxes: int) -> None:
        try:
            with run.keep(PACKING_LEASE) as over:
                result = self._pack(run, boxes, over)
            run.finish(result)
        except (gaia.Cancelled, InterruptedError):
            run.release()
        except gaia.Lost as lost:
            logging.warning("the end of a parked run: %s", lost)
        except Exception as error:
            run.fail(str(error))

    def _pack(self, run: gaia.Run, boxes: int, over: threading.Event) -> dict[str, int]:
        for box in range(1, boxes + 1):
            if over.wait(0.2) or self.stopping.is_set():
                raise InterruptedError
            run.progress(100 * box // boxes, f"box {box} of {boxes}")
            run.log(f"box {box} is packed")
        return {"boxes": boxes}

    def close_day(self, call: gaia.Call) -> dict[str, Any]:
        """The method of a job."""
        with self._lock:
            return {"job": call.job, "orders": len(self._orders)}

    def wait_for_parked(self) -> None:
        for thread in self._parked:
            thread.join()


def main() -> None:
    parser = argparse.ArgumentParser(description="The OrderService of the guide.")
    parser.add_argument("--port", type=int, default=9000, help="where the service is called, on this machine")
    parser.add_argument("--pull", metavar="THEME", help="ask for tasks of this theme, and listen nowhere")
    parser.add_argument("--name", default="orders-python", help="the name of the worker that asks")
    parser.add_argument("--orders", type=Path, default=Path("orders-python.jsonl"), help="the file that keeps the orders")
    asked = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    client = gaia.Client(os.environ.get("GAIA_URL", "http://127.0.0.1:8080/api/v1"), os.environ.get("GAIA_TOKEN"))
    orders = Orders(asked.orders, client)

    if asked.pull:
        worker = gaia.Worker(client, asked.name, asked.pull, concurrency=20)
        worker.handle("OrderService", "AsyncCreateOrder", orders.create)
        worker.handle("OrderService", "AsyncPackOrder", orders.pack)
        gaia.stop_on_signals(worker.stop)
        logging.info("%s asks for tasks of the theme %s", asked.name, asked.pull)
        worker.run()
        return

    service = gaia.Service(os.environ.get("ORDERS_SECRET"))
    service.handle("AsyncCreateOrder", orders.create)
    service.handle("AsyncPackOrder", orders.pack)
    service.handle("CloseDay", orders.close_day)
    logging.info("OrderService is at http://127.0.0.1:%d/orders", asked.port)
    gaia.serve(service, port=asked.port)
    orders.stopping.set()
    orders.wait_for_parked()


if __name__ == "__main__":
    main()
