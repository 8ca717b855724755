"""The one exception tree of Armada.

::

    ArmadaError
    ├── ConfigError        a flag, a field or a file that the user gave
    ├── DataError          a data set that can't be read, trained on or replayed
    ├── ModelError         a policy or weights that don't load, fit or verify
    ├── DeviceError        an arm, a bus or a camera
    ├── LinkError          the MQTT broker, a policy server, the hub or the local control socket
    └── FederationError    SuperLink, SuperNode, rounds and releases

It stands in ``robots``, the lowest of the three packages, so that each can raise from it.
"""

from __future__ import annotations


class ArmadaError(Exception):
    """The root of everything that Armada raises on purpose.

    Args:
        message: What is wrong, in one sentence without a final full stop.
        field: The flag or field at fault, as the user writes it (``--robot.port``).
        value: The value that was refused.
        remedy: What would be right, in one sentence.

    ``str()`` is one line fit for a terminal: the CLI prints it and exits with status 2.
    """

    def __init__(
        self,
        message: str,
        *,
        field: str | None = None,
        value: object = None,
        remedy: str | None = None,
    ) -> None:
        self.message = message
        self.field = field
        self.value = value
        self.remedy = remedy
        super().__init__(message)

    def __str__(self) -> str:
        head = self.field or ""
        if self.field and self.value is not None:
            head = f"{self.field}={self.value}"
        text = f"{head}: {self.message}" if head else self.message
        return f"{text}. {self.remedy}" if self.remedy else text


def one_line(error: BaseException) -> str:
    """What any error says, fit for a terminal: one that isn't ours with its type, which is often
    all that it says."""
    if isinstance(error, ArmadaError):
        return str(error)
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}".removesuffix(": ")


class ConfigError(ArmadaError):
    """A flag, a field or a file that the user gave is wrong."""


class DataError(ArmadaError):
    """A data set can't be read, trained on or replayed."""


class ModelError(ArmadaError):
    """A policy or a set of weights doesn't load, doesn't fit the robot or doesn't verify."""


class DeviceError(ArmadaError):
    """An arm, its bus or a camera refuses, is missing or is in use."""


class LinkError(ArmadaError):
    """The MQTT broker, a policy server, the hub or a local socket can't be reached or refuses."""


class FederationError(ArmadaError):
    """A SuperLink, a SuperNode, a round or a release fails."""
