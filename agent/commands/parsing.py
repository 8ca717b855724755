"""Flags and files into config dataclasses: draccus, with LeRobot's habits and clear refusals.

``--robot.type=… --robot.port=… --policy.path=…`` as in ``lerobot-rollout``; a file named by
``--config_path=`` holds the same, flags win. What draccus says about a mistake is kept, but as a
``ConfigError`` with the field's name and, for a misspelt one, the nearest that exists.
"""

from __future__ import annotations

import argparse
import dataclasses
import difflib
import re
import sys
import typing
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import draccus
import yaml
from draccus.argparsing import ArgumentParser
from draccus.utils import DecodingError, DraccusException

from agent.commands import comments
from robots.errors import ConfigError

comments.install()


class HelpShown(SystemExit):
    """``--help`` was asked for and printed."""


def parse[T](
    config_class: type[T], argv: Sequence[str], *, prog: str, positional: Sequence[str] = ()
) -> T:
    """Parse ``argv`` into ``config_class``.

    Args:
        config_class: A draccus dataclass.
        argv: The words after the subcommand.
        prog: What ``--help`` calls the program.
        positional: Names of fields that leading words without ``--`` fill, in order.

    Raises:
        ConfigError: a wrong field, value or file.
        SystemExit: ``--help`` was asked for (status 0).
    """
    args = _positional_to_flags(list(argv), positional)
    if "--help" in args or "-h" in args:
        _print_help(config_class, args, prog, positional)
        raise HelpShown(0)
    config_path = _take(args, "config_path")
    if config_path is not None:
        _check_file(config_path)
    args = _collect_overrides(config_class, _switches(config_class, args))
    try:
        parser = ArgumentParser(
            config_class=config_class, config_path=config_path, exit_on_error=False, prog=prog
        )
        return typing.cast(T, parser.parse_args(args))
    except DecodingError as error:
        raise _own(error) or _from_decoding(error, config_class) from error
    except (DraccusException, argparse.ArgumentError) as error:
        raise _from_text(str(error), config_class) from error
    except (ValueError, TypeError) as error:
        # A dataclass's own __post_init__ refused; LeRobot's do so with these two.
        raise ConfigError(_one_line(str(error)), field="configuration") from error
    except SystemExit as error:
        raise ConfigError("a flag could not be read", remedy=f"See `{prog} --help`") from error


def _positional_to_flags(args: list[str], positional: Sequence[str]) -> list[str]:
    flags: list[str] = []
    names = list(positional)
    while args and not args[0].startswith("-"):
        word = args.pop(0)
        if not names:
            raise ConfigError("unexpected word", field="arguments", value=word)
        flags.append(f"--{names.pop(0)}={word}")
    return flags + args


def _switches(config_class: Any, args: list[str]) -> list[str]:
    """A bare ``--json`` means ``--json=true``."""
    hints = typing.get_type_hints(config_class)
    switches = {f"--{name}" for name, kind in hints.items() if kind is bool}
    following = [*args[1:], "--"][: len(args)]
    return [
        f"{word}=true" if word in switches and after.startswith("--") else word
        for word, after in zip(args, following, strict=True)
    ]


def _take(args: list[str], name: str) -> str | None:
    """Remove ``--name=value`` or ``--name value`` and return the value."""
    for i, arg in enumerate(args):
        if arg.startswith(f"--{name}="):
            del args[i]
            return arg.split("=", 1)[1]
        if arg == f"--{name}":
            if i + 1 == len(args):
                raise ConfigError("needs a value", field=f"--{name}")
            value = args[i + 1]
            del args[i : i + 2]
            return value
    return None


def _check_file(path: str) -> None:
    try:
        with Path(path).open(encoding="utf-8") as file:
            data = yaml.safe_load(file)
    except OSError as error:
        raise ConfigError(
            f"can't be read ({error.strerror})",
            field="--config_path",
            value=path,
            remedy="Name an existing YAML or JSON file",
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"isn't valid YAML: {_one_line(str(error))}", field="--config_path", value=path
        ) from error
    if not isinstance(data, dict):
        raise ConfigError(
            "holds no fields",
            field="--config_path",
            value=path,
            remedy="Write `field: value` lines",
        )


_POLICY_FLAG = re.compile(r"--policy\.([\w.]+)(?:=(.*))?$", re.DOTALL)


def _collect_overrides(config_class: type, args: list[str]) -> list[str]:
    """Move ``--policy.x=y`` to ``--policy.overrides`` where the field is a policy reference.

    LeRobot lets any field of the policy's own config be set beside ``--policy.path``. Which fields
    exist is known only once the policy's config is read, so they are carried along as words.
    """
    fields = {f.name for f in dataclasses.fields(config_class)}
    if "policy" not in fields:
        return args
    reference = typing.get_type_hints(config_class)["policy"]
    if not dataclasses.is_dataclass(reference):
        return args
    own = {f.name for f in dataclasses.fields(reference)}
    kept: list[str] = []
    overrides: list[str] = []
    words = iter(args)
    for word in words:
        match = _POLICY_FLAG.match(word)
        if match is None or match[1] in own:
            kept.append(word)
            continue
        value = match[2] if match[2] is not None else next(words, "")
        overrides.append(f"{match[1]}={value}")
    if overrides:
        kept.append(
            f"--policy.overrides={yaml.safe_dump(overrides, default_flow_style=True).strip()}"
        )
    return kept


def _known_fields(config_class: Any, prefix: str = "") -> list[str]:
    names: list[str] = []
    hints = typing.get_type_hints(config_class)
    for f in dataclasses.fields(config_class):
        names.append(prefix + f.name)
        kinds = [hints[f.name], *typing.get_args(hints[f.name])]
        for kind in kinds:
            if not isinstance(kind, type):
                continue
            registry: Any = kind
            if issubclass(kind, draccus.ChoiceRegistry):
                names.append(f"{prefix}{f.name}.type")
                choices: dict[str, type] = registry.get_known_choices()
                for choice in choices.values():
                    names += [f"{prefix}{f.name}.{g.name}" for g in dataclasses.fields(choice)]
            elif dataclasses.is_dataclass(kind):
                names += _known_fields(kind, f"{prefix}{f.name}.")
    return names


def _nearest(name: str, config_class: type) -> str | None:
    near = difflib.get_close_matches(name, set(_known_fields(config_class)), n=1)
    return f"Did you mean --{near[0]}?" if near else None


def _own(error: BaseException) -> ConfigError | None:
    """What a nested dataclass of ours refused, out of what draccus wrapped around it."""
    cause = error.__cause__
    while cause is not None and not isinstance(cause, ConfigError):
        cause = cause.__cause__
    return cause


def _from_decoding(error: DecodingError, config_class: type) -> ConfigError:
    path = ".".join(str(part) for part in error.key_path)
    message = _one_line(str(error.message))
    extra = re.search(r"fields? `?([\w, ]+)`? (?:are|is) not valid", message)
    if extra:
        name = f"{path}.{extra[1]}".strip(".")
        return ConfigError(
            "there is no such field", field=f"--{name}", remedy=_nearest(name, config_class)
        )
    choice = re.search(r"Couldn't find a choice class for '([^']*)'.*", message)
    if choice:
        return ConfigError(
            "there is no such type",
            field=f"--{path}.type" if path else "type",
            value=choice[1],
            remedy=_choices(config_class, path),
        )
    return ConfigError(message.rstrip("."), field=f"--{path}" if path else "configuration")


def _choices(config_class: type, path: str) -> str | None:
    kind: Any = config_class
    for part in path.split("."):
        hint = typing.get_type_hints(kind).get(part)
        options = [k for k in (hint, *typing.get_args(hint)) if isinstance(k, type)]
        kind = next(
            (k for k in options if dataclasses.is_dataclass(k) or hasattr(k, "get_known_choices")),
            None,
        )
        if kind is None:
            return None
        if issubclass(kind, draccus.ChoiceRegistry):
            return "One of: " + ", ".join(sorted(kind.get_known_choices()))
    return None


def _from_text(message: str, config_class: type) -> ConfigError:
    message = _one_line(message)
    unknown = re.search(r"unrecognized arguments: (--([\w.]+))", message)
    if unknown:
        return ConfigError(
            "there is no such flag", field=unknown[1], remedy=_nearest(unknown[2], config_class)
        )
    bad_choice = re.search(
        r"argument (--[\w.]+): invalid choice: '?([^' ]*)'? \(choose from (.*)\)", message
    )
    if bad_choice:
        return ConfigError(
            "there is no such choice",
            field=bad_choice[1],
            value=bad_choice[2],
            remedy=f"One of: {bad_choice[3]}",
        )
    return ConfigError(message)


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _print_help(config_class: type, args: list[str], prog: str, positional: Sequence[str]) -> None:
    # LeRobot's: shows the fields of the chosen --robot.type instead of all robots' fields.
    from lerobot.configs.parser import print_scoped_help

    sys.argv[0] = " ".join([prog, *(name.upper() for name in positional)])
    print_scoped_help(config_class, args)
