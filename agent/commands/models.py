"""``armada models …``: what a robot can run, what it runs, and how to change that."""

from __future__ import annotations

from collections.abc import Callable

from agent.commands.base import Command, show_verbs
from robots.errors import ConfigError


def main(argv: list[str]) -> int:
    """Dispatch to the verb."""
    verbs = _verbs()
    if argv and argv[0] in ("-h", "--help"):
        show_verbs("armada models", verbs)
        return 0
    if not argv or argv[0] not in verbs:
        raise ConfigError(
            "needs a verb",
            field="models",
            value=argv[0] if argv else None,
            remedy=f"One of: {', '.join(verbs)}",
        )
    return verbs[argv[0]](argv[1:])


def _verbs() -> dict[str, Callable[[list[str]], int]]:
    from agent.commands import models_change, models_release, models_show

    return {
        "list": models_show.list_,
        "show": models_show.show,
        "diff": models_show.diff,
        "pull": models_release.pull,
        "pin": models_release.pin,
        "unpin": models_release.unpin,
        "trust": models_release.trust,
        "promote": models_change.promote,
        "rollback": models_change.rollback,
        "export": models_change.export,
        "init": models_change.init,
    }


COMMAND = Command(
    "models", "list, show, diff, pull, pin, promote, roll back, export or build models", main, 40
)
