"""The link: control on one side, the broker on the other, and neither ever waits for the other."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import logging
import random
import ssl
import sys
import time
import uuid
from collections import deque
from pathlib import Path
from typing import Any

import aiomqtt

from agent.link.config import LinkConfig
from agent.link.control import ControlClient
from agent.link.messages import (
    MAX_B,
    Command,
    Event,
    ReleaseNotice,
    Reply,
    Status,
    Topics,
    decode,
    encode,
)
from agent.link.outbox import Outbox
from agent.link.releases import ReleasePuller
from agent.link.stock import StockTaker
from agent.paths import StateDir
from robots.errors import ArmadaError, ConfigError, LinkError

logger = logging.getLogger(__name__)

_BACK_OFF_S = (0.5, 1.0, 2.0, 5.0, 10.0)
_STATUS_EVERY_S = 5.0
_SILENT_S = 3.0
"""Six telemetry periods: control is gone or hangs, and what it said last holds no more."""

_GOODBYE_S = 1.0
_ORDERS = 16
"""At a time; who sends more is no operator."""

_CAUSE_MAX = 2000
_DECISION = "release_", "rollback_"
"""What events about releases begin with."""

_CARRIED, _CARRIED_B = 4, 4096
"""Decisions that go along with a status, for whoever wasn't there when they were told, and the
size of one that does."""

_REMEMBERED = 256
"""Orders whose reply is kept, in case one is delivered twice."""


class Link:
    """One robot's line to its fleet.

    Args:
        config: See LinkConfig.
    """

    def __init__(self, config: LinkConfig) -> None:
        self._config = config
        self._topics = Topics(config.fleet, config.robot)
        self._outbox = Outbox(config.state / "outbox.jsonl")
        self._control = ControlClient(
            Path(config.control_socket), self._on_telemetry, self._on_event, self._on_control_lost
        )
        self._tls = _tls_context(config)
        self._releases = ReleasePuller(config, self.emit)
        self._stock = StockTaker(
            Path(config.dataset_root), StateDir(config.state).models, unclean=config.unclean
        )
        self._telemetry: dict[str, Any] = {}
        self._decisions: deque[dict[str, Any]] = deque(maxlen=_CARRIED)
        self._fresh = asyncio.Event()
        self._queued = asyncio.Event()
        self._heard = float("-inf")
        self._orders: set[asyncio.Task[None]] = set()
        self._replies: dict[str, bytes] = {}

    async def run(self) -> None:
        """Until cancelled; says goodbye then."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._control.run())
            tasks.create_task(self._releases.run())
            tasks.create_task(self._stock.run())
            tasks.create_task(self._stay_connected())

    def emit(self, kind: str, cause: str, /, **data: Any) -> None:
        """An event of the link's own."""
        event: dict[str, Any] = {"event": kind, "cause": cause, "time": time.time(), "data": data}
        self._on_event(event)
        self._control.tell(event)

    # From control --------------------------------------------------------------------------

    def _on_telemetry(self, telemetry: dict[str, Any]) -> None:
        self._telemetry = telemetry
        self._heard = time.monotonic()
        self._fresh.set()

    def _on_control_lost(self) -> None:
        self._heard = float("-inf")

    @property
    def _state(self) -> str:
        if time.monotonic() - self._heard > _SILENT_S:
            return "waiting"
        return str(self._telemetry.get("state", "online"))

    def _on_event(self, event: dict[str, Any]) -> None:
        logger.info("%s: %s", event["event"], event["cause"])
        kept = Event(
            id=uuid.uuid4().hex,
            robot=self._config.robot,
            event=event["event"],
            cause=event["cause"][:_CAUSE_MAX],
            time=event["time"],
            data=event.get("data", {}),
        )
        if (size := len(encode(kept))) > MAX_B:
            # A broker hangs up on what is too large, and what waits behind it would never arrive.
            kept = dataclasses.replace(kept, data={"dropped": f"{size} B"})
        if kept.event.startswith(_DECISION) and size <= _CARRIED_B:
            self._decisions.append(dataclasses.asdict(kept))
        if lost := self._outbox.put(kept):
            self.emit("events_lost", "too many waited for the broker", events=lost)
        self._queued.set()

    # The broker ----------------------------------------------------------------------------

    async def _stay_connected(self) -> None:
        failures = 0
        while True:
            try:
                async with self._client() as client:
                    failures = 0
                    self.emit("link_up", f"connected to {self._config.host}:{self._config.port}")
                    await self._serve(client)
            except aiomqtt.MqttError as error:
                if (task := asyncio.current_task()) is not None and task.cancelling():
                    # Told to end while the broker was going or gone.
                    raise asyncio.CancelledError from error
                if failures == 0:
                    self.emit("link_down", f"the broker is away: {error}")
                wait_s = _BACK_OFF_S[min(failures, len(_BACK_OFF_S) - 1)]
                failures += 1
                # Spread out: a broker that comes back should not be met by all at once.
                await asyncio.sleep(wait_s * random.uniform(0.5, 1.0))

    def _client(self) -> aiomqtt.Client:
        config = self._config
        return aiomqtt.Client(
            hostname=config.host,
            port=config.port,
            username=config.username or None,
            password=config.password,
            tls_context=self._tls,
            identifier=f"armada-{config.fleet}-{config.robot}",
            keepalive=config.keepalive_s,
            timeout=10,
            will=aiomqtt.Will(
                self._topics.status, encode(self._status("offline")), qos=1, retain=True
            ),
        )

    async def _serve(self, client: aiomqtt.Client) -> None:
        for topic in (self._topics.command, self._topics.everybody, self._topics.release):
            await client.subscribe(topic, qos=1)
        tasks = [
            asyncio.create_task(self._send_status(client)),
            asyncio.create_task(self._send_telemetry(client)),
            asyncio.create_task(self._send_events(client)),
            asyncio.create_task(self._receive(client)),
        ]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
            for task in done:
                task.result()
        except asyncio.CancelledError:
            # Told to end: what the broker's will would say, said in order.
            payload = encode(self._status("offline"))
            with contextlib.suppress(aiomqtt.MqttError):
                await client.publish(
                    self._topics.status, payload, qos=1, retain=True, timeout=_GOODBYE_S
                )
            raise
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _status(self, state: str) -> Status:
        return Status(
            robot=self._config.robot,
            fleet=self._config.fleet,
            state=state,
            time=time.time(),
            telemetry=self._telemetry,
            **dataclasses.asdict(self._stock.stock),
            decisions=list(self._decisions),
        )

    async def _send_status(self, client: aiomqtt.Client) -> None:
        while True:
            said = self._state
            payload = encode(self._status(said))
            await client.publish(self._topics.status, payload, qos=1, retain=True)
            until = time.monotonic() + _STATUS_EVERY_S
            while time.monotonic() < until and self._state == said:
                await asyncio.sleep(0.2)

    async def _send_telemetry(self, client: aiomqtt.Client) -> None:
        while True:
            await self._fresh.wait()
            self._fresh.clear()
            payload = {"robot": self._config.robot, **self._telemetry}
            await client.publish(self._topics.telemetry, _json(payload), qos=0)

    async def _send_events(self, client: aiomqtt.Client) -> None:
        while True:
            self._queued.clear()
            while (event := self._outbox.first) is not None:
                await client.publish(self._topics.event, encode(event), qos=1)
                self._outbox.sent(event)
            await self._queued.wait()

    # Orders --------------------------------------------------------------------------------

    async def _receive(self, client: aiomqtt.Client) -> None:
        async for message in client.messages:
            payload = message.payload if isinstance(message.payload, bytes) else b""
            try:
                if message.topic.matches(self._topics.release):
                    if payload:
                        self._releases.notice(decode(ReleaseNotice, payload))
                elif message.retain:
                    # It would be obeyed anew at every connection.
                    raise LinkError("a retained order is none")
                else:
                    self._take(client, decode(Command, payload))
            except LinkError as error:
                self.emit("message_refused", str(error), topic=str(message.topic))

    def _take(self, client: aiomqtt.Client, command: Command) -> None:
        # Each in a task: a stop doesn't queue behind a rollback. Their first steps run in order, so
        # control gets them in order.
        if len(self._orders) >= _ORDERS:
            raise LinkError("too many orders at a time", field=command.name)
        task = asyncio.create_task(self._obey(client, command))
        self._orders.add(task)
        task.add_done_callback(self._orders.discard)

    async def _obey(self, client: aiomqtt.Client, command: Command) -> None:
        # QoS 1 delivers at least once: an order is obeyed once and answered each time.
        if command.id not in self._replies:
            self._replies[command.id] = b""
            while len(self._replies) > _REMEMBERED:
                del self._replies[next(iter(self._replies))]
            try:
                result = await self._execute(command)
                reply = Reply(id=command.id, robot=self._config.robot, ok=True, result=result)
            except ArmadaError as error:
                reply = Reply(id=command.id, robot=self._config.robot, ok=False, error=str(error))
            self._replies[command.id] = encode(reply)
        if said := self._replies[command.id]:
            # Without the broker nobody waits for it any more.
            with contextlib.suppress(aiomqtt.MqttError):
                await client.publish(self._topics.reply, said, qos=1)

    async def _execute(self, command: Command) -> Any:
        if command.name == "pull":
            version = command.args.get("version", 0)
            if type(version) is not int or not 0 <= version < 2**31:
                raise LinkError("must be a release's number", field="version", value=version)
            return {"server": self._releases.order(version)}
        if command.name == "rollback":
            return await self._rollback()
        return await self._control.command(command.name, dict(command.args))

    async def _rollback(self) -> dict[str, str]:
        # In a process of its own: the model store brings torch, the link stays small.
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "agent.cli", "models", "rollback"),
            f"--state_dir={self._config.state_dir}",
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate()
        if process.returncode:
            raise LinkError(err.decode(errors="replace").strip() or "it failed", field="rollback")
        return {"said": out.decode(errors="replace").strip()}


def _tls_context(config: LinkConfig) -> ssl.SSLContext | None:
    if not config.tls_ca:
        return None
    try:
        return ssl.create_default_context(cafile=config.tls_ca)
    except OSError as error:
        raise ConfigError(
            "holds no certificate", field="--broker.tls_ca", value=config.tls_ca
        ) from error


def _json(data: dict[str, Any]) -> bytes:
    return json.dumps(data, separators=(",", ":")).encode()
