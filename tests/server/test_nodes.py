"""Which robots may join: a file that the operator changes, and a SuperLink that agrees with it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from agent.federation.keys import ensure_key, public_line
from robots.errors import ConfigError, FederationError
from server.commands.server import main
from server.nodes import Node, Nodes, node_names, reconcile
from server.paths import ServerState
from server.registrar import Registrar
from server.tokens import Tokens
from tests.server.deployment import Deployment


def line(folder: Path, name: str) -> str:
    return public_line(ensure_key(folder / f"{name}.key"), name)


class SuperLink:
    """Keeps nodes as Flower does: a key that was unregistered is refused for ever."""

    def __init__(self) -> None:
        self.known: dict[int, Node] = {}
        self.refused: set[bytes] = set()
        self.down = False

    def nodes(self) -> list[Node]:
        if self.down:
            raise FederationError("the SuperLink does not answer")
        return list(self.known.values())

    def register(self, name: str, public_key: bytes) -> int:
        assert public_key not in self.refused
        number = 100 + len(self.known) + len(self.refused)
        self.known[number] = Node(number, name, public_key, online=False)
        return number

    def unregister(self, node_id: int) -> None:
        self.refused.add(self.known.pop(node_id).public_key)


def test_a_key_is_made_once_and_for_its_owner_only(tmp_path: Path) -> None:
    first = line(tmp_path, "left")

    assert first == line(tmp_path, "left")
    assert first.startswith("ecdsa-sha2-nistp384 ")
    assert first.endswith(" left")
    assert (tmp_path / "left.key").stat().st_mode & 0o077 == 0


def test_the_superlink_is_made_to_agree(tmp_path: Path) -> None:
    nodes, superlink = Nodes(tmp_path / "robots.json"), SuperLink()
    for name in ("left", "right"):
        nodes.add(name, line(tmp_path, name))

    names = reconcile(nodes.keys(), superlink)
    assert sorted(names.values()) == ["left", "right"]
    assert reconcile(nodes.keys(), superlink) == names

    nodes.remove("left")
    assert list(reconcile(nodes.keys(), superlink).values()) == ["right"]

    # Its database is lost: other node ids, the same names.
    assert list(reconcile(nodes.keys(), SuperLink()).values()) == ["right"]


def test_a_robot_gets_another_key(tmp_path: Path) -> None:
    nodes, superlink = Nodes(tmp_path / "robots.json"), SuperLink()
    nodes.add("left", line(tmp_path, "old"))
    (old,) = reconcile(nodes.keys(), superlink)

    nodes.add("left", line(tmp_path, "new"))

    (new,) = reconcile(nodes.keys(), superlink)
    assert (old in superlink.known, superlink.known[new].name) == (False, "left")


def test_of_many_who_are_added_at_the_same_time_none_is_lost(tmp_path: Path) -> None:
    path, names = tmp_path / "robots.json", [f"robot-{n:02}" for n in range(16)]
    lines = [line(tmp_path, name) for name in names]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name, key: Nodes(path).add(name, key), names, lines))

    assert sorted(Nodes(path).keys()) == names


def test_what_is_refused(tmp_path: Path) -> None:
    nodes = Nodes(tmp_path / "robots.json")
    nodes.add("left", line(tmp_path, "left"))

    with pytest.raises(ConfigError, match=r"is no public key.*`armada key`"):
        nodes.add("right", "ecdsa-sha2-nistp384 nonsense")
    with pytest.raises(ConfigError, match="is left's key"):
        nodes.add("right", line(tmp_path, "left"))
    with pytest.raises(ConfigError, match="isn't registered"):
        nodes.remove("right")
    nodes.remove("left")
    with pytest.raises(ConfigError, match=r"lets no key in twice.*node\.key"):
        nodes.add("left", line(tmp_path, "left"))


def test_a_superlink_that_is_down_is_tried_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    state, superlink = ServerState(tmp_path), SuperLink()
    state.create()
    registrar = Registrar(state, superlink)
    superlink.down = True
    Nodes(state.registered).add("left", line(tmp_path, "left"))
    registrar.poll()
    registrar.poll()
    assert node_names(state.node_names) == {}
    assert len([r for r in caplog.records if "can't be registered" in r.message]) == 1

    superlink.down = False
    registrar.poll()

    assert list(node_names(state.node_names).values()) == ["left"]


def test_one_command_registers_a_robot_and_tells_its_token_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = f"--state_dir={tmp_path}"
    state = ServerState(tmp_path)

    assert main(["robots", "add", "left", f"--key={line(tmp_path, 'left')}", where]) == 0
    token = capsys.readouterr().out.strip()
    assert Tokens(state.robot_tokens).robot(token) == "left"
    assert token not in state.robot_tokens.read_text()

    assert main(["robots", "list", where]) == 0
    assert capsys.readouterr().out.startswith("left  ecdsa-sha2-nistp384 ")

    assert main(["robots", "remove", "left", where]) == 0
    assert Tokens(state.robot_tokens).robot(token) is None
    with pytest.raises(ConfigError, match="--key: is needed"):
        main(["robots", "add", "left", where])
    with pytest.raises(ConfigError, match="no server has been started here"):
        main(["operators", "add", "ann", f"--state_dir={tmp_path}/none"])


def test_flowers_superlink_knows_a_robot_by_its_registered_name(engine: Deployment) -> None:
    engine.register("left")

    node = engine.node("left")

    assert node is not None
    assert node_names(engine.config.state.node_names) == {node.id: "left"}
    assert not node.online
    Nodes(engine.config.state.registered).remove("left")
    Registrar(engine.config.state, engine.control).poll()
    assert engine.node("left") is None
