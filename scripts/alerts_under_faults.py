"""Runs two nodes, harms them, and compares the alerts that come with those that should. Called by check-alerts."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

EXAMPLES, RULES = sys.argv[1:]
# By how much the times of the rules are divided: those over which they look back, and those for which an alert must last.
SCALE, SCALE_OF_FOR = 20, 10
# The share of failures is one of five minutes, and over after three more: the short form has a limit that is not reached.
LONG = os.environ.get("LONG") == "1"
PATIENCE = 600 if LONG else 150
# What belongs to the faults: a node killed, eight tasks of eight that fail for good, a job out of time.
BY_PROMETHEUS = {"GaiaTasksRescued", "GaiaTasksFail", "GaiaJobFails"}
BY_THE_CRATE = {"node_dead", "task_failed", "job_failed"} | ({"failure_share"} if LONG else set())

messages, hook_hangs = [], threading.Event()


class Service(BaseHTTPRequestHandler):
    """Receives the messages of the crate, and is the service that a job calls."""

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        if self.path == "/alerts":
            messages.append(json.loads(body))
        elif hook_hangs.is_set():
            time.sleep(3)
        try:
            self.send_response(200)
            self.send_header("content-length", "2")
            self.end_headers()
            self.wfile.write(b"{}")
        except OSError:
            pass  # The caller did not wait.

    def log_message(self, *_):
        pass


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def ask(url, body=None, method=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, method=method, headers={"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.loads(answer.read() or "null")


def until(what, look):
    end = time.time() + PATIENCE
    while time.time() < end:
        try:
            if look():
                return
        except OSError:
            pass
        time.sleep(0.3)
    sys.exit(f"waited in vain for: {what}\nmessages: {summary()}\nPrometheus: {sorted(firing)}")


def summary():
    return [(message["kind"], message["state"], message.get("text_en")) for message in messages]


def scaled(rules):
    """The rules with their times divided."""
    units = {"s": 1, "m": 60, "h": 3600, "d": 86400}

    def shorter(found, scale):
        return f"{max(1, int(found[1]) * units[found[2]] // scale)}s"

    rules = re.sub(r"(?<=\[)(\d+)([smhd])(?=\])", lambda found: shorter(found, SCALE), rules)
    return re.sub(r"(?<=for: )(\d+)([smhd])", lambda found: shorter(found, SCALE_OF_FOR), rules)


firing, fired = set(), set()


def watch_prometheus(address):
    while True:
        try:
            alerts = ask(f"{address}/api/v1/alerts")["data"]["alerts"]
        except (OSError, ValueError):
            alerts = []
        now = {alert["labels"]["alertname"] for alert in alerts if alert["state"] == "firing"}
        firing.clear()
        firing.update(now)
        fired.update(now)
        time.sleep(0.5)


with tempfile.TemporaryDirectory() as folder:
    service = ThreadingHTTPServer(("127.0.0.1", 0), Service)
    threading.Thread(target=service.serve_forever, daemon=True).start()
    here = f"http://127.0.0.1:{service.server_port}"
    api_port, prometheus_port = free_port(), free_port()
    api, prometheus = f"http://127.0.0.1:{api_port}/gaia/api/v1", f"http://127.0.0.1:{prometheus_port}"
    environment = {
        **os.environ,
        "DATABASE_URL": f"sqlite:{folder}/alerts.db",
        "LISTEN": f"127.0.0.1:{api_port}",
        "THEME": "demo",
        "RUST_LOG": "off",
        "GAIA__NODE__LEASE": "2",
        "GAIA__ALERTS__WEBHOOKS": json.dumps([{"Format": "Json", "Url": f"{here}/alerts"}]),
        "GAIA__ALERTS__QUIET": "15",
        "GAIA__ALERTS__FAILURES": "5" if LONG else "8",
    }
    environment.pop("JOBS", None)
    running = []

    def start(name, *arguments, **more):
        process = subprocess.Popen([name, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **more)
        running.append(process)
        return process

    def node():
        return start(f"{EXAMPLES}/node", env=environment)

    try:
        with open(f"{folder}/rules.yml", "w") as rules:
            rules.write(scaled(open(RULES).read()))
        with open(f"{folder}/prometheus.yml", "w") as settings:
            settings.write(f"""
global: {{ scrape_interval: 1s, evaluation_interval: 1s }}
rule_files: [{folder}/rules.yml]
scrape_configs:
  - job_name: gaia
    metrics_path: /gaia/api/v1/metrics
    static_configs: [{{ targets: ["127.0.0.1:{api_port}"] }}]
""")
        start(f"{EXAMPLES}/http_api", env=environment)
        until("the API", lambda: ask(f"{api}/readyz"))
        worker = node()
        until("both nodes", lambda: len(ask(f"{api}/nodes")["nodes"]) == 2)
        start(
            "prometheus",
            f"--config.file={folder}/prometheus.yml",
            f"--storage.tsdb.path={folder}/tsdb",
            f"--web.listen-address=127.0.0.1:{prometheus_port}",
        )
        threading.Thread(target=watch_prometheus, args=(prometheus,), daemon=True).start()
        until("Prometheus", lambda: ask(f"{prometheus}/api/v1/query?query=gaia_database_up")["data"]["result"])
        job = {"job_name": "sync", "job_type": "cron_hook", "cron_expr": "@yearly", "hook_url": f"{here}/sync", "timeout": 1}
        job = ask(f"{api}/jobs", job)["id"]
        until("a run of the job that ends well", lambda: ask(f"{api}/jobs/{job}/run", {}))
        time.sleep(5)
        assert not firing and not fired, f"alerts before any fault: {fired}"

        print("a node is killed while it runs tasks")
        for _ in range(4):
            ask(f"{api}/tasks", {"theme": "demo", "service": "Demo", "method": "Sleep", "args": {"ms": 3000}})
        until("running tasks", lambda: any(theme["running"] for theme in ask(f"{api}/themes")["themes"]))
        worker.send_signal(signal.SIGKILL)
        worker.wait()
        running.remove(worker)
        print("a method fails eight times")
        for _ in range(8):
            ask(f"{api}/tasks", {"theme": "demo", "service": "Demo", "method": "Fail", "args": {"times": 9}, "max_retry": 0})
        print("a job is out of time")
        hook_hangs.set()
        ask(f"{api}/jobs/{job}/run", {})

        def raised():
            return {message["kind"] for message in messages if message["state"] == "raised"}

        until(f"the crate to raise {sorted(BY_THE_CRATE)}", lambda: raised() >= BY_THE_CRATE)
        # The node whose metrics Prometheus reads has taken the tasks over; it does not serve them.
        node()
        until(f"Prometheus to raise {sorted(BY_PROMETHEUS)}", lambda: fired >= BY_PROMETHEUS)
        until("the tasks of the dead node to end", lambda: not ask(f"{api}/tasks?status=Running&status=Wait&status=Retry")["tasks"])

        print("the service answers again; nothing else fails")
        hook_hangs.clear()
        until("a run that ends well", lambda: ask(f"{api}/jobs/{job}/run", {}))

        def recovered():
            return {message["kind"] for message in messages if message["state"] == "recovered"}

        until("the crate to say that all is over", lambda: recovered() >= BY_THE_CRATE)
        until("Prometheus to say that all is over", lambda: not firing)
        states = sorted((message["kind"], message["state"]) for message in messages)
        expected = sorted((kind, state) for kind in BY_THE_CRATE for state in ("raised", "recovered"))
        assert states == expected, f"messages: {summary()}"
        assert fired == BY_PROMETHEUS, f"Prometheus raised {sorted(fired)}"
        assert not ask(f"{api}/alerts")["alerts"]
        print(f"exactly these came, once each, and are over: {sorted(BY_THE_CRATE)} by the crate, {sorted(BY_PROMETHEUS)} by Prometheus")
    finally:
        for process in running:
            process.terminate()
        for process in running:
            process.wait()
