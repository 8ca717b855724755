"""The demonstration, act by act."""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console

from agent.demo.actors import Actor, Cast, emulated, recorded, train_report
from agent.demo.config import DemoConfig
from agent.demo.stage import Stage, StageError, free_ports
from agent.demo.watch import FleetWatch
from agent.link.operator import send_command

FLEET = "demo"
START_S = 120.0
RELEASE_S = 180.0


@dataclass
class Outcome:
    """What one robot did.

    Args:
        actor: The robot.
        before: Its telemetry when it began to run the release.
        after: Its last telemetry.
        goals, hits: Of an emulated arm while it ran the release: goals shown and reached.
        decision: The event of its decision on the release.
        trained: Its part in the round, as the release's manifest has it.
        local: What it wrote down of its training.
        series: All its telemetry.
        events: All its events.
    """

    actor: Actor
    before: dict[str, Any] = field(default_factory=dict)
    after: dict[str, Any] = field(default_factory=dict)
    goals: int = 0
    hits: int = 0
    decision: dict[str, Any] = field(default_factory=dict)
    trained: dict[str, Any] = field(default_factory=dict)
    local: dict[str, Any] = field(default_factory=dict)
    series: list[dict[str, Any]] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class Result:
    """What the table and the report show.

    Args:
        about: Who took part.
        outcomes: By robot.
        manifest: Of the release.
        acts: (name, began, ended) in seconds since the epoch.
    """

    about: str
    outcomes: list[Outcome]
    manifest: dict[str, Any]
    acts: list[tuple[str, float, float]]


class Play:
    """Runs it.

    Args:
        config: See DemoConfig.
        console: Where people look.
    """

    def __init__(self, config: DemoConfig, console: Console) -> None:
        self._config = config
        self._console = console
        # Absolute: the processes have working folders of their own.
        self.out = Path(config.out).resolve()
        self._acts: list[tuple[str, float, float]] = []
        self._began = time.time()

    def run(self) -> Result:
        """All acts; everything is ended when it returns or raises.

        Raises:
            ArmadaError: a part failed; says which and where its log is.
        """
        shutil.rmtree(self.out, ignore_errors=True)
        self.out.mkdir(parents=True)
        self._act("Building a tiny SmolVLA and casting the robots")
        build = recorded if self._config.dataset else emulated
        cast = build(self._config, self.out)
        self._console.print(f"  {cast.about}", markup=False)
        stage = Stage(self.out / "logs")
        try:
            return self._perform(cast, stage)
        finally:
            stage.end()

    def _perform(self, cast: Cast, stage: Stage) -> Result:
        broker, server, superlink, control = free_ports(4)
        self._act("Starting the server (SuperLink, broker, releases) and the robots")
        self._start(cast, stage, broker, server, superlink, control)
        ready = self.out / "server" / "server.json"
        stage.wait_for("the server comes up", ready.is_file, START_S)
        watch = FleetWatch(broker, FLEET)
        try:
            outcomes = [Outcome(actor) for actor in cast.actors]
            self._prepare(cast, stage, watch)
            self._round(cast, stage, server)
            self._await_release(outcomes, stage, watch)
            self._run_release(outcomes, stage, watch)
            self._act("Ending: episodes saved, arms parked and released")
            for reply in send_command("127.0.0.1", broker, FLEET, "all", "shutdown", {}):
                if not reply.ok:
                    raise StageError(f"{reply.robot} refused to shut down: {reply.error}")
            for actor in cast.actors:
                status = stage.join(actor.name, 60)
                if status:
                    raise StageError(f"{actor.name} ended with status {status}")
            manifest = self._collect(outcomes, watch)
        finally:
            watch.close()
        self._act("")
        return Result(cast.about, outcomes, manifest, self._acts)

    # The acts ------------------------------------------------------------------------------

    def _start(
        self, cast: Cast, stage: Stage, broker: int, server: int, superlink: int, control: int
    ) -> None:
        stage.start(
            "server",
            "server",
            f"--policy.path={cast.base}",
            f"--state_dir={self.out / 'server'}",
            f"--fleet={FLEET}",
            f"--broker.port={broker}",
            f"--port={server}",
            f"--superlink_port={superlink}",
            f"--control_port={control}",
        )
        for actor in cast.actors:
            stage.start(
                actor.name,
                "run",
                *actor.flags,
                f"--name={actor.name}",
                f"--fleet={FLEET}",
                f"--fps={actor.fps}",
                f"--policy.path={cast.base}",
                f"--state_dir={actor.state}",
                "--inference.threads=1",
                "--broker.host=127.0.0.1",
                f"--broker.port={broker}",
                f"--federation.superlink=127.0.0.1:{superlink}",
                f"--federation.server=127.0.0.1:{server}",
                # The arms of a demonstration don't rest.
                "--training.while_driving=continue",
            )

    def _prepare(self, cast: Cast, stage: Stage, watch: FleetWatch) -> None:
        def driven() -> bool:
            return all(watch.latest(a.name).get("generation") is not None for a in cast.actors)

        def recorded_all() -> bool:
            return all(
                watch.latest(a.name).get("episodes", 0) >= a.episodes
                for a in cast.actors
                if a.records
            )

        if any(a.records for a in cast.actors):
            self._act("Recording demonstrations of the scripted expert")
            per_episode = self._config.episode_time_s + 5.0
            limit = START_S + per_episode * self._config.episodes
            stage.wait_for("the episodes are recorded", recorded_all, limit)
        self._act("Warming up the policy workers")
        stage.wait_for("the policies are ready", driven, START_S)

    def _round(self, cast: Cast, stage: Stage, server: int) -> None:
        self._act("One federated round, started by the operator while the arms move")
        status = stage.run(
            "round",
            "start",
            f"--server=127.0.0.1:{server}",
            f"--min_robots={len(cast.actors)}",
            f"--wait_s={START_S:g}",
            "--timeout_s=240",
            f"--train.steps={self._config.steps}",
            f"--train.batch_size={self._config.batch_size}",
        )
        if status:
            raise StageError(f"the round failed (see {stage.log('server')})")

    def _await_release(self, outcomes: list[Outcome], stage: Stage, watch: FleetWatch) -> None:
        self._act("The release is pulled, verified, compared and swapped in while the arms move")
        decided = ("release_promoted", "release_refused")

        def swapped() -> bool:
            for outcome in outcomes:
                events = watch.events(outcome.actor.name, *decided)
                if not events:
                    return False
                outcome.decision = events[-1]
                if outcome.decision["event"] != "release_promoted":
                    raise StageError(
                        f"{outcome.actor.name} did not take the release: {outcome.decision}"
                    )
                digest = watch.latest(outcome.actor.name).get("digest")
                if digest != outcome.decision["data"]["digest"]:
                    return False
            return True

        stage.wait_for("the release runs on every robot", swapped, RELEASE_S)

    def _run_release(self, outcomes: list[Outcome], stage: Stage, watch: FleetWatch) -> None:
        self._act("Each arm runs the release with asynchronous inference")
        seen = [self._goals(outcome.actor) for outcome in outcomes]
        for outcome in outcomes:
            outcome.before = watch.latest(outcome.actor.name)
        until = time.monotonic() + self._config.run_time_s
        stage.wait_for(
            "the arms run the release",
            lambda: time.monotonic() >= until,
            self._config.run_time_s + 10,
        )
        for outcome, (goals, hits) in zip(outcomes, seen, strict=True):
            outcome.after = watch.latest(outcome.actor.name)
            goals_after, hits_after = self._goals(outcome.actor)
            outcome.goals, outcome.hits = goals_after - goals, hits_after - hits

    def _collect(self, outcomes: list[Outcome], watch: FleetWatch) -> dict[str, Any]:
        path = self.out / "server" / "releases" / "latest" / "manifest.json"
        manifest: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        for outcome in outcomes:
            name = outcome.actor.name
            parts = [p for p in manifest["participants"] if p.get("robot") == name]
            outcome.trained = parts[0] if parts else {}
            outcome.local = train_report(outcome.actor.state)
            outcome.series = watch.series(name)
            outcome.events = watch.events(name)
        return manifest

    def _goals(self, actor: Actor) -> tuple[int, int]:
        if not actor.records:
            return 0, 0
        from robots.emulator.world import WorldFile, folder

        robot_id = next(f.split("=", 1)[1] for f in actor.flags if f.startswith("--robot.id="))
        view = WorldFile(folder(robot_id) / "world")
        world = view.read()
        view.close()
        return world.goals, world.hits

    def _act(self, name: str) -> None:
        now = time.time()
        if self._acts:
            before, began, _ = self._acts[-1]
            self._acts[-1] = (before, began, now)
        if name:
            self._acts.append((name, now, now))
            elapsed = now - self._began
            self._console.print(f"[bold]{elapsed:5.0f} s[/bold]  {name}")
