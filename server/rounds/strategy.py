"""FedAvg over the trainable part of a policy, for robots that come, go and err.

What differs from Flower's FedAvg: it waits for robots with a limit; each reply is checked by itself
and a bad one is dropped with its reason, where FedAvg fails the whole run; fewer good replies than
asked for end the run instead of leaving the old weights in silence; everything is told as events.
The averaging itself is Flower's.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from flwr.app import ArrayRecord, ConfigRecord, Message, MessageType, MetricRecord, RecordDict
from flwr.serverapp import Grid
from flwr.serverapp.strategy import FedAvg
from torch import Tensor

from agent.policy import weights
from agent.training.arrays import from_record, payload_bytes
from robots.errors import FederationError, ModelError
from server.rounds.spec import RoundSpec

Emit = Callable[..., None]
_POLL_S = 0.5
_MAX_SAMPLES = 10**9
_REPORT = {
    "robot": str,
    "episodes": int,
    "heldout-episodes": int,
    "error-before": float,
    "error-after": float,
    "seconds": float,
    "update-digest": str,
}
"""What a robot may say of itself; anything else it sends is left out of events and manifests."""


@dataclass
class Reply:
    """A robot's reply to a training message, looked at once.

    Args:
        message: As it came.
        report: What goes into events and the manifest.
        refused: Why it isn't averaged; empty if it is.
    """

    message: Message
    report: dict[str, Any] = field(default_factory=dict)
    refused: str = ""


class TrainablePartFedAvg(FedAvg):  # type: ignore[misc]
    """FedAvg weighted by training frames.

    Args:
        spec: What the operator asked for.
        reference: The trainable tensors of the base policy: names, shapes and types to expect.
        base_digest: Digest of the frozen part, which each robot compares with its own.
        round_id: The operator's round.
        emit: Where events go: ``emit(kind, **data)``.
    """

    def __init__(
        self,
        *,
        spec: RoundSpec,
        reference: Mapping[str, Tensor],
        base_digest: str,
        round_id: int,
        emit: Emit,
    ) -> None:
        super().__init__(
            min_train_nodes=spec.min_robots,
            min_available_nodes=spec.min_robots,
            fraction_evaluate=1.0 if spec.evaluate else 0.0,
        )
        self._spec = spec
        self._reference = reference
        self._base_digest = base_digest
        self._round_id = round_id
        self._emit = emit
        self._server_round = 0
        self._bytes_down = 0
        self._looked_at: dict[str, Reply] = {}
        self.participants: list[dict[str, Any]] = []
        """What the robots of the last round reported."""
        self.metrics: dict[str, float] = {}
        """Averages of the last round."""

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Wait for the robots, then write to all of them.

        Raises:
            FederationError: too few within ``wait_s``.
        """
        self._server_round = server_round
        self._looked_at = {}
        self._bytes_down = payload_bytes(arrays)
        nodes = self._wait_for_robots(grid)
        self._emit("sent", server_round=server_round, robots=len(nodes), bytes=self._bytes_down)
        train = self._spec.train.to_dict()
        # Another order of the frames in each round of a run, the same when the run is repeated.
        train["seed"] = (int(train["seed"]) + server_round - 1) % 2**31
        return self._messages(nodes, arrays, train, MessageType.TRAIN)

    def look(self, message: Message) -> Reply:
        """Check a reply to training; the first time it is looked at it becomes an event."""
        key = message.metadata.reply_to_message_id
        if key not in self._looked_at:
            reply = self._inspect(message)
            self._looked_at[key] = reply
            if reply.refused:
                self._emit("dropped", reason=reply.refused, **reply.report)
            else:
                self._emit("reply", **reply.report)
        return self._looked_at[key]

    def missing(self, node: int) -> None:
        """A robot whose reply didn't come in time."""
        reason = f"no reply within {self._spec.timeout_s:g} s"
        self._emit("dropped", reason=reason, node=str(node), server_round=self._server_round)

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """The weighted mean of the good replies.

        Raises:
            FederationError: fewer of them than ``min_robots``.
        """
        looked_at = [self.look(message) for message in replies]
        good = [reply for reply in looked_at if not reply.refused]
        if len(good) < self._spec.min_robots:
            reasons = "; ".join(r.refused for r in looked_at if r.refused) or "no robot answered"
            raise FederationError(
                f"{len(good)} of {self._spec.min_robots} robots gave an update "
                f"in round {server_round}: {reasons}"
            )
        arrays, metrics = super().aggregate_train(server_round, [r.message for r in good])
        self.participants = [reply.report for reply in good]
        self.metrics = {name: float(value) for name, value in (metrics or {}).items()}
        self.metrics |= _mean_errors(self.participants)
        self._emit(
            "aggregated",
            server_round=server_round,
            robots=len(good),
            samples=sum(p["samples"] for p in self.participants),
            metrics=self.metrics,
        )
        return arrays, metrics

    def configure_evaluate(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Ask those who gave an update what the average is worth to them."""
        if not self._spec.evaluate:
            return []
        nodes = [int(p["node"]) for p in self.participants]
        return self._messages(nodes, arrays, {}, MessageType.EVALUATE)

    def aggregate_evaluate(
        self, server_round: int, replies: Iterable[Message]
    ) -> MetricRecord | None:
        """The mean held-out error, weighted by held-out episodes; None when nobody measured it."""
        total, episodes = 0.0, 0
        for message in replies:
            node = str(message.metadata.src_node_id)
            if message.has_error():
                self._emit("dropped", reason=message.error.reason, node=node, phase="evaluate")
                continue
            record = message.content["metrics"]
            error, weight = float(record["held-out-error"]), int(record[self.weighted_by_key])
            if not math.isfinite(error) or not 0 < weight <= _MAX_SAMPLES:
                self._emit("dropped", reason="no finite error", node=node, phase="evaluate")
                continue
            total, episodes = total + error * weight, episodes + weight
        if not episodes:
            return None
        self.metrics["held-out-error-average"] = total / episodes
        mean = total / episodes
        self._emit("evaluated", server_round=server_round, error=mean, episodes=episodes)
        return MetricRecord({"held-out-error": mean})

    # ---------------------------------------------------------------------------------------

    def _wait_for_robots(self, grid: Grid) -> list[int]:
        deadline = time.monotonic() + self._spec.wait_s
        told = -1
        while True:
            nodes = sorted(grid.get_node_ids())
            if len(nodes) >= self._spec.min_robots:
                return nodes
            if len(nodes) != told:
                told = len(nodes)
                self._emit("waiting", robots=told, needed=self._spec.min_robots)
            if time.monotonic() > deadline:
                raise FederationError(
                    f"{told} of {self._spec.min_robots} robots were there "
                    f"within {self._spec.wait_s:g} s",
                    remedy="See that the robots run with --federation.superlink=…",
                )
            time.sleep(_POLL_S)

    def _messages(
        self, nodes: list[int], arrays: ArrayRecord, values: Mapping[str, Any], kind: str
    ) -> list[Message]:
        config = ConfigRecord(
            {
                **values,
                "round-id": self._round_id,
                "server-round": self._server_round,
                "base-digest": self._base_digest,
            }
        )
        content = RecordDict({self.arrayrecord_key: arrays, self.configrecord_key: config})
        ttl = self._spec.timeout_s + 60.0
        return [
            Message(content=content, message_type=kind, dst_node_id=node, ttl=ttl) for node in nodes
        ]

    def _inspect(self, message: Message) -> Reply:
        reply = Reply(message)
        reply.report = {
            "server_round": self._server_round,
            "node": str(message.metadata.src_node_id),
        }
        if message.has_error():
            reply.refused = message.error.reason
            return reply
        content = message.content
        for record in content.config_records.values():
            reply.report |= _known(record)
        declared = reply.report.get("update_digest")
        try:
            reply.report |= self._check(content)
        except (ModelError, FederationError) as error:
            reply.refused = str(error)
        if not reply.refused and declared != reply.report["update_digest"]:
            reply.refused = f"the arrays aren't those that the robot says it sent ({declared})"
        return reply

    def _check(self, content: RecordDict) -> dict[str, Any]:
        """Raises: ModelError, FederationError with what is wrong."""
        if len(content.array_records) != 1 or len(content.metric_records) != 1:
            raise FederationError("the reply must hold one record of arrays and one of metrics")
        (arrays,) = content.array_records.values()
        (metrics,) = content.metric_records.values()
        samples = metrics.get(self.weighted_by_key)
        if not isinstance(samples, int) or not 0 < samples <= _MAX_SAMPLES:
            raise FederationError("isn't a count", field=self.weighted_by_key, value=samples)
        if set(metrics) != {self.weighted_by_key, "loss-first", "loss-last"}:
            raise FederationError("unexpected metrics", value=sorted(metrics), field="metrics")
        for name in ("loss-first", "loss-last"):
            if not isinstance(metrics[name], float) or not math.isfinite(metrics[name]):
                raise FederationError("isn't finite", field=name, value=metrics[name])
        tensors = from_record(arrays)
        weights.check(tensors, self._reference)
        return {
            "samples": samples,
            "loss_first": metrics["loss-first"],
            "loss_last": metrics["loss-last"],
            "bytes_down": self._bytes_down,
            "bytes_up": payload_bytes(arrays),
            "update_digest": weights.digest(tensors),
        }


def _known(record: Mapping[str, Any]) -> dict[str, Any]:
    """The entries that a report may have, of the right type, finite and of bounded length."""
    known: dict[str, Any] = {}
    for name, kind in _REPORT.items():
        value: Any = record.get(name)
        if type(value) is not kind or (isinstance(value, float) and not math.isfinite(value)):
            continue
        known[name.replace("-", "_")] = value[:100] if isinstance(value, str) else value
    return known


def _mean_errors(participants: list[dict[str, Any]]) -> dict[str, float]:
    """Held-out errors before and after training, averaged over the robots that have them."""
    means = {}
    for name in ("error_before", "error_after"):
        values = [p[name] for p in participants if name in p]
        if values:
            means[name.replace("_", "-")] = sum(values) / len(values)
    return means
