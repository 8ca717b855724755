"""Who is being served: a session per robot, found by a name that nobody can guess."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from lerobot.configs import PreTrainedConfig

from agent.ipc import FrameLayout
from agent.policy.continuation import Guiding, check_can_continue
from agent.policy.fit import check_fit
from agent.policy.remote import wire
from robots.errors import ArmadaError, ConfigError, ModelError
from server.policy.sizes import sent_size

IDLE_S = wire.LONGEST_S
"""A stopped arm keeps its session; a robot that is gone doesn't keep a place for ever."""

_MOST_PIXELS = 4 * 1024 * 1024
"""Of an observation in all: unpacked, and as the policy's floats, they lie in memory for each robot
that waits."""

_PER_ROBOT = 8
"""A robot whose link fails opens one after the other; the oldest goes."""


class FullError(ArmadaError):
    """No place is left."""


@dataclass(frozen=True)
class View:
    """A camera that the policy looks at.

    Args:
        key: The robot's name for it.
        feature: The policy's.
        height, width: In which it is sent.
    """

    key: str
    feature: str
    height: int
    width: int


@dataclass(eq=False)
class Session:
    """A robot that was welcomed.

    Args:
        name: Random; whoever knows it and is the robot may use it.
        robot: Its name.
        layout: Its features.
        views: The cameras that the policy looks at.
        chunk_size: What it was told.
        guiding: How its plans are continued; ``None``: they are not.
    """

    name: str
    robot: str
    layout: FrameLayout
    rename_map: Mapping[str, str]
    views: tuple[View, ...]
    chunk_size: int
    guiding: Guiding | None = None
    epoch: int = 0
    chunks: int = 0
    decoding: int = 0
    """Questions whose pictures are being unpacked."""
    used: float = field(default_factory=time.monotonic)

    @property
    def history(self) -> str:
        """Whose past a policy that looks back may see: this session's, since its last reset."""
        return f"{self.name}/{self.epoch}"


class Sessions:
    """All of them.

    Args:
        limit: How many robots at most.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._sessions: dict[str, Session] = {}

    def __iter__(self) -> Iterator[Session]:
        return iter(list(self._sessions.values()))

    def open(
        self,
        robot: str,
        layout: FrameLayout,
        rename_map: Mapping[str, str],
        config: PreTrainedConfig,
        chunk_size: int,
        guiding: Guiding | None = None,
    ) -> Session:
        """Welcome a robot.

        Raises:
            FullError: as many as may be are served.
            ModelError: the policy doesn't fit it.
        """
        views = _views(config, layout, rename_map, guiding)
        same = [s for s in self._sessions.values() if s.robot == robot]
        if not same and len({s.robot for s in self._sessions.values()}) >= self._limit:
            raise FullError(
                f"this server has its {self._limit} robots",
                remedy="Ask later, or raise --max_robots there",
            )
        if len(same) >= _PER_ROBOT:
            self.close(min(same, key=lambda s: s.used))
        session = Session(
            secrets.token_urlsafe(16), robot, layout, dict(rename_map), views, chunk_size, guiding
        )
        self._sessions[session.name] = session
        return session

    def find(self, name: str) -> Session | None:
        """A session by its name; it counts as used."""
        session = self._sessions.get(name)
        if session is not None:
            session.used = time.monotonic()
        return session

    def close(self, session: Session) -> None:
        self._sessions.pop(session.name, None)

    def idle(self) -> list[Session]:
        """Those that nobody has used for long."""
        before = time.monotonic() - IDLE_S
        return [s for s in self._sessions.values() if s.used < before]

    def misfits(self, config: PreTrainedConfig, chunk_size: int) -> list[Session]:
        """Those for which another model changes what they were told: they must open another."""

        def same(session: Session) -> bool:
            try:
                views = _views(config, session.layout, session.rename_map, session.guiding)
            except ModelError:
                return False
            return views == session.views and chunk_size == session.chunk_size

        return [s for s in self._sessions.values() if not same(s)]


def _views(
    config: PreTrainedConfig,
    layout: FrameLayout,
    rename_map: Mapping[str, str],
    guiding: Guiding | None,
) -> tuple[View, ...]:
    """Raises: ModelError."""
    # An observation that is sent is one of many ticks: those before it are not known here.
    check_fit(config, layout, rename_map, most_observations=1)
    if guiding is not None:
        try:
            check_can_continue(config)
        except ConfigError as error:
            raise ModelError(str(error)) from error
    views = []
    for image in layout.images:
        feature = f"observation.images.{image.key}"
        feature = rename_map.get(feature, feature)
        if feature in config.image_features:
            size = sent_size(config, image.height, image.width)
            views.append(View(image.key, feature, *size))
    _check_pixels(config, views)
    return tuple(views)


def _check_pixels(config: PreTrainedConfig, views: Sequence[View]) -> None:
    """Raises: ModelError: a policy that resizes nothing would be sent more than can be had."""
    pixels = sum(view.height * view.width for view in views)
    if pixels > _MOST_PIXELS:
        sizes = ", ".join(f"{view.key} {view.height}×{view.width}" for view in views)
        raise ModelError(
            f"a policy of type {config.type} takes pictures as they are, and an observation has at "
            f"most {_MOST_PIXELS} pixels in all ({sizes})",
            field="cameras",
            value=pixels,
            remedy="Give the robot's cameras a smaller size",
        )
