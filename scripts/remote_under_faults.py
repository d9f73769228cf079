"""Runs gaia serve with the services of examples/remote, and kills each part in turn. Called by check-clients."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

GAIA, ORDERS, EXAMPLES = (Path(argument).resolve() for argument in sys.argv[1:])
SECRET = "whsec_b3JkZXJzIG9mIHRoZSBleGFtcGxlLCBub3Qgc2VjcmV0"
TOKEN = "orders-of-the-example"
# Seconds.
PATIENCE = 150
# How many tasks of each kind a theme gets before a part is killed.
TASKS = 100

# What runs the tasks of each theme: the service that the tasks name, and the program.
THEMES = {
    "order-task": ("OrderService", "go"),
    "python-task": ("PythonOrderService", "python"),
    "order-pull": ("OrderService", "go-pull"),
    "python-pull": ("OrderService", "python-pull"),
}


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [each.getsockname()[1] for each in sockets]


class Parts:
    """The programs that run, by name. Each writes to a log of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port, self.go_port, self.python_port = free_ports(3)
        self.api = f"http://127.0.0.1:{self.port}/api/v1"
        environment = {"GAIA_URL": self.api, "GAIA_TOKEN": TOKEN, "ORDERS_SECRET": SECRET, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
        self.environment = {**os.environ, **environment}
        python = [sys.executable, "-B", str(EXAMPLES / "python" / "orders.py")]
        self.commands = {
            "serve": [str(GAIA), "serve", "--config", str(folder / "config.json")],
            "go": [str(ORDERS), "-listen", f"127.0.0.1:{self.go_port}", "-orders", str(folder / "go.jsonl")],
            "go-pull": [str(ORDERS), "-pull", "order-pull", "-orders", str(folder / "go-pull.jsonl")],
            "python": [*python, "--port", str(self.python_port), "--orders", str(folder / "python.jsonl")],
            "python-pull": [*python, "--pull", "python-pull", "--orders", str(folder / "python-pull.jsonl")],
        }
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        self._configure()

    def _configure(self) -> None:
        """The example's configuration, with places of this test, a second service, and jobs that do not let anybody wait for a minute."""
        config = json.loads((EXAMPLES / "config.json").read_text())
        config["Databases"]["default"] = f"sqlite:{self.folder}/remote.db"
        config["Http"]["Listen"] = f"127.0.0.1:{self.port}"
        config["Http"]["Access"]["Tokens"]["order service"]["Themes"] = list(THEMES)
        config["Node"] = {"Lease": 3}
        service = config["Services"]["OrderService"]
        config["Services"] = {
            "OrderService": {**service, "Url": f"http://127.0.0.1:{self.go_port}/orders"},
            "PythonOrderService": {**service, "Url": f"http://127.0.0.1:{self.python_port}/orders"},
        }
        config["Themes"]["python-task"] = config["Themes"]["order-task"]
        (job,) = config["Jobs"]["Declared"]
        config["Jobs"]["Declared"] = [
            {**job, "job_name": f"close the day of {service}", "cron_expr": "*/2 * * * * *", "service_name": service}
            for service in config["Services"]
        ]
        (self.folder / "config.json").write_text(json.dumps(config))

    def start(self, name: str) -> None:
        with (self.folder / f"{name}.log").open("ab") as log:
            self.running[name] = subprocess.Popen(self.commands[name], stdout=log, stderr=log, env=self.environment, cwd=self.folder)

    def kill(self, name: str) -> None:
        part = self.running.pop(name)
        part.send_signal(signal.SIGKILL)
        part.wait()

    def stop(self, *names: str) -> None:
        """Stops parts gracefully, and expects that they end well."""
        stopping = {name: self.running.pop(name) for name in names}
        for part in stopping.values():
            part.terminate()
        for name, part in stopping.items():
            status = part.wait(timeout=60)
            if status != 0:
                fail(f"{name} has ended with status {status} after SIGTERM")

    def end(self) -> None:
        for part in self.running.values():
            part.kill()
            part.wait()

    def show(self) -> None:
        for name in self.commands:
            path = self.folder / f"{name}.log"
            if path.exists():
                print(f"-- the end of the log of {name}:", *path.read_text(errors="replace").splitlines()[-25:], sep="\n", file=sys.stderr)


def fail(text: str) -> None:
    raise SystemExit(f"check-clients: {text}")


parts: Parts


def ask(path: str, body: object = None, method: str | None = None) -> dict:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(parts.api + path, data, {"content-type": "application/json"}, method=method)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.loads(answer.read() or "null")


def until(what: str, look):
    """What `look` finds, once it finds something. While the server is away it is asked again."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        for name, part in parts.running.items():
            if part.poll() is not None:
                fail(f"{name} has ended by itself with status {part.returncode}")
        with contextlib.suppress(urllib.error.URLError, ConnectionError, TimeoutError):
            found = look()
            if found:
                return found
        time.sleep(0.1)
    fail(f"waited {PATIENCE} s for {what}")


def add(theme: str, method: str, args: object, **more: object) -> int:
    service, _ = THEMES[theme]
    return ask("/tasks", {"theme": theme, "service": service, "method": method, "args": args, **more})["id"]


def ended(task: int) -> dict:
    def look() -> dict | None:
        found = ask(f"/tasks/{task}")
        return found if found["status"] in ("Success", "Failed", "Cancelled") else None

    return until(f"the end of task {task}", look)


def expect(what: str, got: object, expected: object) -> None:
    if got != expected:
        fail(f"{what}: {got!r}, expected {expected!r}")


def check_outcomes(theme: str) -> None:
    """Each way in which a run can end."""
    tea = add(theme, "AsyncCreateOrder", {"item": "tea", "amount": 2})
    nothing = add(theme, "AsyncCreateOrder", {"item": "", "amount": 2})
    misfit = add(theme, "AsyncCreateOrder", "no order", max_retry=0)
    truffles = add(theme, "AsyncCreateOrder", {"item": "truffles", "amount": 1}, max_retry=0)
    boxes = add(theme, "AsyncPackOrder", {"boxes": 3})
    endless = add(theme, "AsyncPackOrder", {"boxes": 100_000})
    late = add(theme, "AsyncPackOrder", {"boxes": 100_000}, timeout_ms=1500, max_retry=0)

    task = ended(tea)
    expect("tea", (task["status"], list(task["last_result"])), ("Success", ["order_id"]))
    task = ended(nothing)
    expect("a discard", (task["status"], task["retry_time"], task["max_retry_time"]), ("Failed", 0, 3))
    if "an order needs an item" not in task["last_error"]:
        fail(f"the error of a discarded task is {task['last_error']!r}")
    expect("arguments that do not fit", ended(misfit)["status"], "Failed")
    # Its only attempt is left after the snooze.
    expect("a snooze", ended(truffles)["status"], "Success")
    task = ended(boxes)
    expect("a long run", (task["status"], task["last_result"], task["progress"]), ("Success", {"boxes": 3}, 100))
    lines = [line["message"] for line in ask(f"/tasks/{boxes}/log")["lines"]]
    expect("the lines of a long run", [line for line in lines if line.startswith("box")], [f"box {n} is packed" for n in (1, 2, 3)])
    task = ended(late)
    expect("a run out of time", task["status"], "Failed")

    until("progress of the endless task", lambda: ask(f"/tasks/{endless}")["progress"] is not None)
    ask(f"/tasks/{endless}/cancel", {}, "POST")
    expect("a cancelled run", ended(endless)["status"], "Cancelled")
    print(f"{theme}: success, discard, snooze, a long run with progress and lines, a timeout and a cancelled run")


def check_documented() -> None:
    """The commands of docs/remote.md by which a worker without a client works, with each end once. Nobody else asks for tasks yet."""
    text = (EXAMPLES.parents[1] / "docs" / "remote.md").read_text()
    blocks = [block.removeprefix("sh\n") for block in text.split("```")[1::2] if "$GAIA/claims" in block]
    lines = "".join(blocks).replace("http://localhost:8080/api/v1", parts.api).splitlines()
    is_end = [any(f"/claims/{end} " in line for end in ("finish", "fail", "snooze", "release")) for line in lines]
    expect("the ends in docs/remote.md", sum(is_end), 4)
    common = [line for line, ends in zip(lines, is_end) if not ends]
    curl = "set -euo pipefail; curl() { command curl --silent --show-error --fail-with-body --max-time 60 \"$@\"; }"
    for end in (line for line, ends in zip(lines, is_end) if ends):
        add("order-pull", "AsyncCreateOrder", {"item": "tea", "amount": 2})
        commands = "\n".join([curl, *common, end])
        run = subprocess.run(["bash", "-c", commands], capture_output=True, text=True, env=parts.environment, cwd=parts.folder)
        if run.returncode != 0 or '"written"' not in run.stdout:
            fail(f"a command of docs/remote.md has failed, up to {end}:\n{run.stdout}\n{run.stderr}")
    print(f"{len(common)} lines of docs/remote.md and {sum(is_end)} ends do what they should")


def check_stops() -> None:
    """A stop hands back what does not end within the grace, and uses no attempt: each task here has one alone."""
    programs = [program for _, program in THEMES.values()]
    tasks = [add(theme, "AsyncPackOrder", {"boxes": 75}, max_retry=0) for theme in THEMES]
    for task in tasks:
        until(f"progress of task {task}", lambda: ask(f"/tasks/{task}")["progress"] is not None)
    parts.stop(*programs)
    for program in programs:
        parts.start(program)
    for task in map(ended, tasks):
        expect(f"task {task['id']} of {task['theme']}, which a stop has handed back", (task["status"], task["retry_time"]), ("Success", 0))
    parts.stop(*programs)
    print("each program has stopped gracefully, and has used no attempt for it")


def check_jobs() -> None:
    for job in ask("/jobs")["jobs"]:
        def succeeded() -> bool:
            runs = ask(f"/jobs/{job['id']}/runs?state=ended")["runs"]
            return any(run["job_result_flag"] == "success" and run["run_result"]["job"] == job["job_name"] for run in runs)

        until(f"a run of {job['job_name']!r}", succeeded)
    print("the jobs of both services have run")


# The tasks of the second part of this test: of each theme the ids of the orders and of the long runs.
added: dict[str, dict[str, list[int]]] = {theme: {"orders": [], "packs": []} for theme in THEMES}


def add_many(theme: str) -> None:
    """Orders, which are quick, and long runs, which a called service parks."""
    task = {"service": THEMES[theme][0], "max_retry": 30, "retry_delay_ms": 100}
    orders = [{**task, "method": "AsyncCreateOrder", "args": {"item": f"tea {n}", "amount": 1}} for n in range(TASKS)]
    packs = [{**task, "method": "AsyncPackOrder", "args": {"boxes": 10}} for _ in range(TASKS)]
    ids = [each["id"] for each in ask(f"/tasks/batch?theme={theme}", orders + packs)["tasks"]]
    added[theme]["orders"] += ids[:TASKS]
    added[theme]["packs"] += ids[TASKS:]


def count(theme: str, statuses: str) -> int:
    """How many tasks of the second part of this test have one of these statuses."""
    return ask(f"/tasks?theme={theme}&status={statuses}&created_from={began}&limit=1&count=exact")["count"]["tasks"]


def has_progress(theme: str) -> bool:
    """Whether a long run is under way."""
    running = ask(f"/tasks?theme={theme}&status=Running&method=AsyncPackOrder&created_from={began}")["tasks"]
    return any(task["progress"] for task in running)


def kill_while_busy(name: str, *themes: str) -> None:
    """Adds tasks, and kills a part while some of them have ended and others have not."""
    for theme in themes:
        before = count(theme, "Success")
        add_many(theme)
        until(f"ends in {theme}", lambda: count(theme, "Success") > before)
        until(f"long runs of {theme}", lambda: has_progress(theme))
    left = {theme: count(theme, "Wait,Running,Retry") for theme in themes}
    if 0 in left.values():
        fail(f"all tasks of a theme ended before {name} was killed: {left}; raise TASKS")
    parts.kill(name)
    print(f"{name} was killed, and so many tasks were left: {left}")
    time.sleep(1)  # for a moment nobody is there
    parts.start(name)
    if name == "serve":
        until("the server", lambda: ask("/readyz"))


def orders_of(name: str) -> list[int]:
    return [json.loads(line)["task_id"] for line in (parts.folder / f"{name}.jsonl").read_text().splitlines()]


def exported(theme: str) -> dict[int, dict]:
    """The tasks of the second part of this test, whole, by id."""
    request = urllib.request.Request(f"{parts.api}/tasks/export?theme={theme}&created_from={began}&format=jsonl")
    with urllib.request.urlopen(request, timeout=60) as answer:
        return {task["id"]: task for task in map(json.loads, answer)}


def check_nothing_is_lost() -> None:
    for theme, (_, program) in THEMES.items():
        until(f"the end of all tasks of {theme}", lambda: count(theme, "Wait,Running,Retry") == 0)
        tasks = exported(theme)
        expect(f"the tasks of {theme}", set(tasks), {id for ids in added[theme].values() for id in ids})
        expect(f"the statuses in {theme}", {task["status"] for task in tasks.values()}, {"Success"})
        results = [tasks[id]["last_result"] for id in added[theme]["packs"]]
        expect(f"the results in {theme}", [result for result in results if result != {"boxes": 10}], [])
        orders = orders_of(program)
        expect(f"orders of {theme} that exist twice", len(orders) - len(set(orders)), 0)
        expect(f"tasks of {theme} without an order", set(added[theme]["orders"]) - set(orders), set())
        again = sum(task["retry_time"] for task in tasks.values())
        if again == 0:
            fail(f"no run of {theme} was lost, so the kills have hit nothing")
        print(f"{theme}: {len(tasks)} tasks are Success, {again} runs were lost with a part; each order exists once")


with tempfile.TemporaryDirectory() as temporary:
    parts = Parts(Path(temporary))
    try:
        parts.start("serve")
        until("the server", lambda: ask("/readyz"))
        check_documented()
        for name in parts.commands:
            if name != "serve":
                parts.start(name)
        for theme in THEMES:
            check_outcomes(theme)
        check_jobs()

        began = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        for theme, (_, program) in THEMES.items():
            kill_while_busy(program, theme)
        kill_while_busy("serve", *THEMES)
        check_nothing_is_lost()
        check_stops()
        parts.stop("serve")
    except BaseException:
        parts.show()
        raise
    finally:
        parts.end()
