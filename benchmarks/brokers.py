"""Which broker a fleet starts when none is configured: Debian's mosquitto against pip's iotcore.

``python -m benchmarks.brokers`` (about two minutes, loopback only) starts each in its own process
and prints one table. mosquitto runs as ``server.broker`` configures it; iotcore runs as its own
command does, with a rumqttd file where it needs one. Every cell is measured in this run; a cell
says "not supported" where the broker refuses the configuration that would ask for it.
"""

from __future__ import annotations

import argparse
import signal
import ssl
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion
from rich.console import Console
from rich.table import Table

from benchmarks.inference.servers import free_port
from server.broker import AUTOSAVE_S, broker_spec

HOST = "127.0.0.1"
KEEPALIVE_S = 3
WILL_LIMIT_S = 30.0
USER, PASSWORD = "armada", "correct horse"

_HANGING_CLIENT = """
import sys, time
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion
client = Client(CallbackAPIVersion.VERSION2, client_id="hangs")
client.will_set("will", "gone", qos=1)
client.on_connect = lambda *_: print("connected", flush=True)
client.connect(sys.argv[1], int(sys.argv[2]), keepalive=int(sys.argv[3]))
client.loop_forever()
"""


@dataclass(frozen=True)
class Files:
    """Certificates that a broker shows and a client trusts."""

    ca: Path
    cert: Path
    key: Path


@dataclass(eq=False)
class Running:
    """A broker under test: how to start it (again) and its process."""

    argv: list[str]
    port: int
    log: Path
    tls: ssl.SSLContext | None = None
    user: tuple[str, str] | None = None
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    def start(self) -> float:
        """Start it; seconds from there to the first accepted client."""
        begun = time.monotonic()
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(self.argv, stdout=log, stderr=log)
        while time.monotonic() - begun < 10:
            if self.process.poll() is not None:
                raise NotSupported(f"exits with status {self.process.returncode}")
            if try_connect(self):
                return time.monotonic() - begun
            time.sleep(0.002)
        raise NotSupported("accepts nobody")

    def end(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)
        self.process.wait(10)


class NotSupported(Exception):
    """The broker can't be brought to do this."""


def client(broker: Running, name: str, *, clean: bool = True) -> Client:
    made = Client(CallbackAPIVersion.VERSION2, client_id=name, clean_session=clean)
    if broker.tls is not None:
        made.tls_set_context(broker.tls)
    if broker.user is not None:
        made.username_pw_set(*broker.user)
    return made


@contextmanager
def connected(
    broker: Running, name: str, *, clean: bool = True, heard: list[MQTTMessage] | None = None
) -> Iterator[Client]:
    """A client that is in, or ``ConnectionError``."""
    made = client(broker, name, clean=clean)
    accepted = threading.Event()
    refused: list[str] = []

    def on_connect(_c: Any, _u: Any, _f: Any, reason: Any, _p: Any) -> None:
        if reason.is_failure:
            refused.append(str(reason))
        accepted.set()

    made.on_connect = on_connect
    if heard is not None:
        made.on_message = lambda _c, _u, message: heard.append(message)
    made.connect(HOST, broker.port, keepalive=20)
    made.loop_start()
    try:
        if not accepted.wait(2.0) or refused:
            raise ConnectionError(refused or "no CONNACK")
        yield made
    finally:
        made.disconnect()
        made.loop_stop()


def try_connect(broker: Running) -> bool:
    """Whether a client gets in."""
    try:
        with connected(broker, "probe"):
            return True
    except OSError:
        return False


def subscribe(made: Client, topic: str) -> None:
    acknowledged = threading.Event()
    made.on_subscribe = lambda *_: acknowledged.set()
    made.subscribe(topic, qos=1)
    acknowledged.wait(2.0)


def publish(made: Client, topic: str, payload: str, *, retain: bool = False) -> None:
    made.publish(topic, payload, qos=1, retain=retain).wait_for_publish(5.0)


def hears(heard: list[MQTTMessage], payload: bytes, wait_s: float = 2.0) -> bool:
    deadline = time.monotonic() + wait_s
    while time.monotonic() < deadline:
        if any(m.payload == payload for m in heard):
            return True
        time.sleep(0.01)
    return False


# What is measured ------------------------------------------------------------------------------


def start_time(broker: Running) -> str:
    times = []
    for _ in range(7):
        times.append(broker.start())
        broker.end(signal.SIGTERM)
    return f"{1e3 * statistics.median(times):.0f} ms"


def memory(broker: Running) -> str:
    broker.start()
    assert broker.process is not None
    with ExitStack() as stack:
        for i in range(20):
            made = stack.enter_context(connected(broker, f"c{i}"))
            subscribe(made, f"t{i}")
            publish(made, f"t{i}", "x" * 500, retain=True)
        size = psutil.Process(broker.process.pid).memory_info().rss
    broker.end(signal.SIGTERM)
    return f"{size / 1e6:.0f} MB"


def round_trip(broker: Running) -> str:
    broker.start()
    heard: list[MQTTMessage] = []
    times = []
    with connected(broker, "echo", heard=heard) as made:
        subscribe(made, "echo")
        for i in range(200):
            begun = time.perf_counter()
            made.publish("echo", str(i), qos=1)
            while len(heard) <= i and time.perf_counter() - begun < 2:
                time.sleep(0.0002)
            times.append(time.perf_counter() - begun)
    broker.end(signal.SIGTERM)
    return f"{1e3 * statistics.median(times):.1f} ms"


def will(broker: Running, number: signal.Signals) -> str:
    broker.start()
    heard: list[MQTTMessage] = []
    with connected(broker, "watch", heard=heard) as watch:
        subscribe(watch, "will")
        hanging = subprocess.Popen(
            [sys.executable, "-c", _HANGING_CLIENT, HOST, str(broker.port), str(KEEPALIVE_S)],
            stdout=subprocess.PIPE,
        )
        assert hanging.stdout is not None
        hanging.stdout.readline()
        begun = time.monotonic()
        hanging.send_signal(number)
        came = hears(heard, b"gone", WILL_LIMIT_S)
        took = time.monotonic() - begun
        hanging.kill()
        hanging.wait()
        hanging.stdout.close()
    broker.end(signal.SIGTERM)
    return f"after {took:.1f} s" if came else f"never (waited {WILL_LIMIT_S:.0f} s)"


def kept(broker: Running, number: signal.Signals | None, idle_s: float) -> tuple[str, str]:
    """Retained message and QoS-1 session (subscription and queued message) over a restart, or
    while the broker goes on."""
    broker.start()
    with connected(broker, "durable", clean=False) as durable:
        subscribe(durable, "orders")
    with connected(broker, "other") as other:
        publish(other, "status", "retained", retain=True)
        publish(other, "orders", "queued")
    time.sleep(idle_s)
    if number is not None:
        broker.end(number)
        broker.start()
    retained: list[MQTTMessage] = []
    with connected(broker, "late", heard=retained) as late:
        subscribe(late, "status")
        has_retained = hears(retained, b"retained")
    queued: list[MQTTMessage] = []
    with connected(broker, "durable", clean=False, heard=queued):
        has_queued = hears(queued, b"queued")
    broker.end(signal.SIGTERM)
    return "kept" if has_retained else "lost", "kept" if has_queued else "lost"


def tls(broker: Running) -> str:
    broker.start()
    plain = Running(broker.argv, broker.port, broker.log)
    refuses = not try_connect(plain)
    begun = time.monotonic()
    with connected(broker, "tls"):
        took = time.monotonic() - begun
    broker.end(signal.SIGTERM)
    return f"yes ({1e3 * took:.0f} ms)" if refuses else "takes plaintext too"


def passwords(broker: Running) -> str:
    broker.start()
    wrong = Running(broker.argv, broker.port, broker.log, user=(USER, "wrong"))
    nobody = Running(broker.argv, broker.port, broker.log)
    taken = [name for name, b in (("wrong", wrong), ("none", nobody)) if try_connect(b)]
    broker.end(signal.SIGTERM)
    return f"accepts {', '.join(taken)}" if taken else "yes"


# The two ---------------------------------------------------------------------------------------


def mosquitto(folder: Path, files: Files, want: str) -> Running:
    port = free_port()
    spec = broker_spec(folder, HOST, port)
    argv = list(spec.argv)
    config = Path(argv[-1])
    if want == "tls":
        extra = f"cafile {files.ca}\ncertfile {files.cert}\nkeyfile {files.key}\n"
        config.write_text(config.read_text() + extra)
    elif want == "passwords":
        words = folder / "passwords"
        subprocess.run(["mosquitto_passwd", "-c", "-b", words, USER, PASSWORD], check=True)
        lines = config.read_text().replace("allow_anonymous true", "allow_anonymous false")
        config.write_text(lines + f"password_file {words}\n")
    return Running(argv, port, spec.log)


def iotcore(folder: Path, files: Files, want: str) -> Running:
    port = free_port()
    # Its command's defaults, in the file that TLS and passwords need.
    lines = [
        "id = 0",
        "[router]\nid = 0\nmax_connections = 10010\nmax_outgoing_packet_count = 200",
        "max_segment_size = 104857600\nmax_segment_count = 10",
        f'[v4.1]\nname = "v4-1"\nlisten = "{HOST}:{port}"\nnext_connection_delay_ms = 1',
        "[v4.1.connections]\nconnection_timeout_ms = 60000\nmax_payload_size = 20480",
        "max_inflight_count = 100",
    ]
    if want == "tls":
        paths = f'certpath = "{files.cert}"\nkeypath = "{files.key}"'
        lines.append(f"[v4.1.tls]\n{paths}")
    elif want == "passwords":
        lines.append(f'[v4.1.connections.auth]\n{USER} = "{PASSWORD}"')
    config = folder / "rumqttd.toml"
    config.write_text("\n".join(lines) + "\n")
    argv = [sys.executable, "-m", "iotcore", "--config", str(config), "--log-level", "CRITICAL"]
    return Running(argv, port, folder / "iotcore.log")


def certificates(folder: Path) -> Files:
    files = Files(folder / "ca.pem", folder / "server.pem", folder / "server.key")
    new = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    ca_key = str(folder / "ca.key")
    ca = [*new, "-subj", "/CN=benchmark CA", "-keyout", ca_key, "-out", str(files.ca)]
    leaf = [*new, "-subj", "/CN=broker", "-keyout", str(files.key), "-out", str(files.cert)]
    leaf += ["-CA", str(files.ca), "-CAkey", ca_key, "-addext", f"subjectAltName=IP:{HOST}"]
    leaf += ["-addext", "basicConstraints=CA:FALSE"]
    for command in (ca, leaf):
        subprocess.run(command, check=True, capture_output=True)
    return files


def measure(make: Callable[[Path, Files, str], Running], folder: Path) -> dict[str, str]:
    """All rows of one broker."""
    files = certificates(folder)
    rows: dict[str, str] = {}

    def run(what: Callable[[Running], Any], want: str = "") -> Any:
        own = folder / f"{len(list(folder.iterdir()))}"
        own.mkdir()
        broker = make(own, files, want)
        if want == "tls":
            broker.tls = ssl.create_default_context(cafile=str(files.ca))
        elif want == "passwords":
            broker.user = (USER, PASSWORD)
        try:
            return what(broker)
        except NotSupported as error:
            return f"not supported ({error})"
        finally:
            if broker.process is not None and broker.process.poll() is None:
                broker.end(signal.SIGKILL)

    rows["start, to the first client (median of 7)"] = run(start_time)
    rows["memory with 20 clients"] = run(memory)
    rows["QoS 1 there and back (median of 200)"] = run(round_trip)
    rows["will, client SIGKILLed"] = run(lambda b: will(b, signal.SIGKILL))
    rows[f"will, client SIGSTOPped, keep-alive {KEEPALIVE_S} s"] = run(
        lambda b: will(b, signal.SIGSTOP)
    )
    rows["TLS"] = run(tls, "tls")
    rows["passwords"] = run(passwords, "passwords")
    for label, number, idle_s in (
        ("no restart", None, 0.0),
        ("clean restart", signal.SIGTERM, 0.0),
        ("SIGKILL at once", signal.SIGKILL, 0.0),
        (f"SIGKILL after {AUTOSAVE_S + 1} s", signal.SIGKILL, AUTOSAVE_S + 1.0),
    ):
        both = run(lambda b, n=number, i=idle_s: kept(b, n, i))
        pair = both if isinstance(both, tuple) else (both, both)
        rows[f"retained message, {label}"], rows[f"QoS-1 session, {label}"] = pair
    return rows


def main() -> None:
    """Measure and print."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    columns = {}
    for make in (mosquitto, iotcore):
        with tempfile.TemporaryDirectory() as folder:
            columns[make.__name__] = measure(make, Path(folder))
    table = Table("", *columns, title="Brokers, measured in this run on loopback")
    for row in columns["mosquitto"]:
        table.add_row(row, *(column[row] for column in columns.values()))
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
