"""The course of a round: wait for robots, let them train, release, let them measure; and again.

Every step is on disk before the next one begins (:mod:`server.rounds.progress`), and may be done
again: a ServerApp that is killed anywhere has lost nothing but its time.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from flwr.app import MessageType, RecordDict
from flwr.serverapp import Grid

from agent.federation.payload.spec import TrainsConfig
from agent.federation.wire import MEASURE as MEASURE_WORK
from agent.federation.wire import TRAIN as TRAIN_WORK
from agent.federation.wire import Order
from agent.policy import weights
from agent.training.config import TrainConfig
from robots.errors import FederationError
from server.aggregation.seen import SeenUpdates
from server.base import Base
from server.registry.releases import Releases
from server.rounds import closing
from server.rounds.asking import Asker, Pace, Reply, RoundEndedError
from server.rounds.carried import drop_left, take_over
from server.rounds.folder import RoundFolder
from server.rounds.jobs import note_ordered
from server.rounds.measuring import Measuring
from server.rounds.pooling import Pooling, pooled_before
from server.rounds.progress import MEASURE, QUERY, RELEASE, TRAIN, WAIT, Progress, Seat
from server.rounds.replies import Replies
from server.rounds.robots import KnownRobots
from server.rounds.seats import admit, complete, draw
from server.rounds.spec import FOLD, POOLED
from server.rounds.starts import Starts
from server.rounds.training import Training

_POLL_S = 0.5
_BRIEF_S = 600.0
"""Longest wait for statistics, which take a robot seconds, and for measurements, which nobody needs
for what comes next."""


class Course:
    """One run of a round, from where the last one was.

    Args:
        grid: Flower's.
        folder: Of the round.
        base: The fleet's policy.
        releases: Where the result goes.
        run: Flower's run id.
        pace: How often robots are asked.
    """

    def __init__(
        self,
        grid: Grid,
        folder: RoundFolder,
        base: Base,
        releases: Releases,
        *,
        run: int,
        pace: Pace | None = None,
    ) -> None:
        self._grid = grid
        self._folder = folder
        self._base = base
        self._releases = releases
        self._run = run
        self._pace = pace or Pace()
        self._spec = folder.spec
        self._emit = folder.events.emit
        self._origin = releases.add_base(base)
        self._starts = Starts(releases)
        self._known = KnownRobots(folder.path.parent / "robots.json", folder.server.node_names)
        self._progress = Progress.load(folder)

    def follow(self) -> list[int]:
        """Go through all rounds; the versions of the releases that were made.

        Raises:
            RoundEndedError: it was cancelled, or another run goes on with it.
            ArmadaError: too few robots or good updates.
        """
        steps: dict[str, Callable[[], None]] = {
            WAIT: self._wait,
            QUERY: self._query,
            TRAIN: self._train,
            RELEASE: self._release,
            MEASURE: self._measure,
        }
        # Also what a run left that was killed right after its release.
        closing.drop_released(self._folder, self._progress)
        while self._progress.server_round <= self._spec.rounds:
            steps[self._progress.phase]()
            closing.drop_released(self._folder, self._progress)
        made = (e.data["version"] for e in self._folder.events.read() if e.kind == "released")
        return list(dict.fromkeys(made))

    def _wait(self) -> None:
        """Until enough are there; then it is settled who is asked, and what to start from."""
        progress, spec = self._progress, self._spec
        if not progress.deadline:
            progress.deadline = time.time() + spec.wait_s
            progress.save(self._folder)
        told = -1
        while True:
            self._check_wanted()
            online = sorted(str(node) for node in self._grid.get_node_ids())
            if len(online) >= spec.min_robots:
                break
            if len(online) != told:
                told = len(online)
                self._emit("waiting", robots=told, needed=spec.min_robots)
            if time.time() > progress.deadline:
                raise FederationError(
                    f"{told} of {spec.min_robots} robots were there within {spec.wait_s:g} s",
                    remedy="See that the robots run with --federation.superlink=…",
                )
            time.sleep(_POLL_S)
        progress.start_version = self._releases.latest or 0
        progress.start_digest = weights.digest(self._starts.load(progress.start_version))
        nodes = draw(online, self._known.name, spec, self._drawing_seed)
        if spec.normaliser == POOLED:
            progress.normaliser = progress.normaliser or pooled_before(self._folder)
        if spec.normaliser == POOLED and not progress.normaliser:
            self._begin(QUERY, nodes, min(spec.timeout_s, _BRIEF_S))
        else:
            self._begin(TRAIN, nodes, spec.timeout_s)
        self._emit(
            "asked",
            server_round=progress.server_round,
            robots=len(nodes),
            of=len(online),
            version=progress.start_version,
        )

    def _query(self) -> None:
        """What the robots' frames add up to; once, for all rounds of the run."""
        asker: Asker
        pooling = Pooling(
            self._folder,
            self._progress,
            self._base,
            Replies(self._progress, self._known, lambda: asker.online(), self._emit),
            self._emit,
        )
        asker = self._asker(MessageType.QUERY, pooling.question, pooling.on_reply)
        self._collect(asker, newcomers=False)
        self._progress.normaliser = pooling.pooled(self._spec)
        self._begin(TRAIN, list(self._progress.seats), self._spec.timeout_s)

    def _train(self) -> None:
        order = self._order(TRAIN_WORK, self._progress.start_version, self._progress.start_digest)
        note_ordered(self._folder, order)
        if self._spec.late == FOLD:
            take_over(self._folder, self._progress, order.base_digest, self._starts, self._emit)
        else:
            drop_left(self._folder)
        asker: Asker
        training = Training(
            self._folder,
            self._progress,
            order,
            self._starts,
            self._known,
            Replies(self._progress, self._known, lambda: asker.online(), self._emit),
            self._emit,
            SeenUpdates(self._folder.aggregation / "seen.jsonl"),
        )
        training.go_on()
        asker = self._asker(MessageType.TRAIN, training.question, training.on_reply)
        self._collect(asker, newcomers=True)
        closing.check_enough(self._folder, self._progress, self._spec)
        self._progress.enter(self._folder, RELEASE)

    def _release(self) -> None:
        progress = self._progress
        manifest = closing.release(
            self._folder,
            progress,
            self._spec,
            base=self._base,
            releases=self._releases,
            starts=self._starts,
            run=self._run,
            emit=self._emit,
        )
        progress.release = manifest["version"]
        if not self._spec.evaluate:
            self._next()
            return
        robots = {str(entry["robot"]) for entry in manifest["participants"]}
        online = (str(node) for node in self._grid.get_node_ids())
        nodes = [node for node in online if self._known.name(node) in robots]
        self._begin(MEASURE, nodes, min(self._spec.timeout_s, _BRIEF_S))

    def _measure(self) -> None:
        version = self._progress.release
        digest = self._releases.manifest(version)["trainable_digest"]
        order = self._order(MEASURE_WORK, version, digest)
        asker: Asker
        measuring = Measuring(
            self._folder,
            self._progress,
            order,
            Replies(self._progress, self._known, lambda: asker.online(), self._emit),
            self._emit,
        )
        asker = self._asker(MessageType.EVALUATE, measuring.question, measuring.on_reply)
        self._collect(asker, newcomers=False)
        measuring.tell()
        self._next()

    # ---------------------------------------------------------------------------------------

    @property
    def _trains(self) -> TrainsConfig:
        return TrainsConfig(**self._origin["trains"])

    @property
    def _seed(self) -> int:
        """Another one in each round of a run, the same when the run is repeated."""
        return (self._spec.train.seed + self._progress.server_round - 1) % 2**31

    @property
    def _drawing_seed(self) -> int:
        return self._seed + 1000 * self._folder.number

    def _admit(self, online: frozenset[str]) -> list[str]:
        return admit(self._progress, online, self._known.name, self._spec, self._drawing_seed)

    def _begin(self, phase: str, nodes: list[str], limit_s: float) -> None:
        progress = self._progress
        progress.phase, progress.deadline = phase, time.time() + limit_s
        progress.wanted = len(nodes)
        progress.seats = {node: Seat() for node in nodes}
        progress.save(self._folder)

    def _next(self) -> None:
        self._progress = Progress(
            server_round=self._progress.server_round + 1, normaliser=self._progress.normaliser
        )
        self._progress.save(self._folder)

    def _order(self, work: str, version: int, digest: str) -> Order:
        train = {**self._spec.train.to_dict(), "seed": self._seed}
        return Order(
            work=work,
            round_id=self._folder.number,
            server_round=self._progress.server_round,
            base_digest=self._origin["base_digest"],
            start_digest=digest,
            start_version=version,
            trains=self._trains,
            encoding=self._spec.encoding,
            train=TrainConfig.from_dict(train),
            min_new_episodes=self._spec.min_new_episodes,
            late_wanted=self._spec.late == FOLD,
            normaliser=self._progress.normaliser,
        )

    def _asker(
        self,
        kind: str,
        question: Callable[[str], RecordDict],
        on_reply: Callable[[str, Reply], None],
    ) -> Asker:
        return Asker(self._grid, kind=kind, question=question, on_reply=on_reply, pace=self._pace)

    def _collect(self, asker: Asker, *, newcomers: bool) -> None:
        """Ask until all have answered for good, or until the deadline."""
        progress = self._progress
        try:
            while time.time() < progress.deadline:
                self._check_wanted()
                online = asker.online()
                with asker.still():
                    if newcomers and (more := self._admit(online)):
                        progress.seats |= {node: Seat() for node in more}
                        progress.save(self._folder)
                    if complete(progress, online, self._spec):
                        return
                    nodes = progress.open_nodes()
                asker.turn(nodes & online)
        finally:
            asker.close()

    def _check_wanted(self) -> None:
        """Raises: RoundEndedError."""
        run = self._folder.run
        if run.get("cancelled"):
            raise RoundEndedError("was cancelled", field="round", value=self._folder.number)
        if run.get("run_id", self._run) != self._run:
            raise RoundEndedError("another run goes on", field="round", value=self._folder.number)
