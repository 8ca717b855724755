"""``datasets.yaml``: what is read is checked, and what is wrong is named."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from agent.data.check.finding import Verdict
from agent.data.federated.catalogue_file import SHIPPED, read_catalogue, write_catalogue
from robots.errors import ConfigError

TWO = """\
# Ours.
clients:
- {name: left, dataset: me/left, episodes: 20, frames: 6000}
- {name: right, dataset: data/right, episodes: 4, frames: 900, train: "0-1", evaluation: 3}
evaluation:
- {dataset: me/test, episodes: 5, frames: 1000, verdict: CLEAN, left_out: [2]}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "datasets.yaml"
    path.write_text(TWO)
    return path


def test_the_shipped_example_is_the_first_public_federation() -> None:
    shipped = read_catalogue(SHIPPED)
    sizes = {entry.dataset: (entry.episodes, entry.frames) for entry in shipped}

    assert sizes == {
        "lerobot/svla_so100_pickplace": (50, 19_631),
        "lerobot/svla_so100_stacking": (56, 22_956),
        "lerobot/svla_so100_sorting": (52, 35_713),
        "lerobot/svla_so101_pickplace": (50, 11_939),
        "choyf3/so101_test_20250908": (12, 9_128),
        "griffinlabs/record-trial-2": (20, 14_607),
        "JamesChen007/so101-test": (10, 3_946),
    }
    assert len(shipped.clients) == 4
    assert all(entry.verdict is None for entry in shipped)
    assert [len(e.usable("train")) for e in shipped.clients] == [45, 50, 46, 45]
    assert [len(e.usable("evaluation")) for e in shipped.evaluation] == [12, 20, 10]


def test_what_is_not_said_follows_from_the_rest(file: Path) -> None:
    left, right = read_catalogue(file).clients
    (test,) = read_catalogue(file).evaluation

    assert (left.train, left.evaluation) == (tuple(range(18)), (18, 19))
    assert (right.train, right.evaluation) == ((0, 1), (3,))
    assert (test.name, test.verdict, test.train) == ("test", Verdict.CLEAN, ())
    assert test.usable("evaluation") == (0, 1, 3, 4)


def test_what_is_written_is_read_again_and_keeps_its_head(file: Path) -> None:
    before = read_catalogue(file)
    left = replace(before.clients[0], verdict=Verdict.REJECTED, left_out=(3, 4, 9), train=())
    changed = replace(before, clients=(left, *before.clients[1:]))

    write_catalogue(changed, file)

    assert read_catalogue(file) == changed
    assert file.read_text().startswith("# Ours.\nclients:")
    assert yaml.safe_load(file.read_text())["clients"][0]["left_out"] == "3-4, 9"


def test_a_folder_is_relative_to_the_file(file: Path) -> None:
    (file.parent / "data" / "right").mkdir(parents=True)
    catalogue = read_catalogue(file)

    assert catalogue.where(catalogue.find("right")) == str(file.parent / "data" / "right")
    assert catalogue.where(catalogue.find("left")) == "me/left"
    assert catalogue.find("me/left").name == "left"
    with pytest.raises(ConfigError, match=r"not in the catalogue\. It has left, right, test"):
        catalogue.find("middle")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("frames: 6000", "frams: 6000"), r"clients\[0\]\.frams: there is no such field"),
        (("frames: 6000", "frames: many"), r"clients\[0\]\.frames=many: must be a whole number"),
        ((", frames: 6000", ""), r"clients\[0\]\.frames: is missing"),
        (("frames: 6000", "frames: 19"), r"frames=19: can't be fewer than the 20 episodes"),
        (("episodes: 20", "episodes: 0"), r"episodes=0: must be at least 1"),
        (('"0-1"', "1-x"), r"clients\[1\]\.train=1-x: isn't a list of episodes\. Write it like"),
        (('"0-1"', "0-9"), r"clients\[1\]\.train: there is no episode 4\. .*0 to 3"),
        (('"0-1"', "2-3"), r"clients\[1\]\.evaluation: episode 3 is also trained on"),
        (("CLEAN", "GOOD"), r"evaluation\[0\]\.verdict=GOOD: .*unchecked, CLEAN"),
        (("name: right", "name: left"), r"name=left: is there twice"),
        (("name: right", "name: a/b"), r"clients\[1\]\.name=a/b: must be"),
        (
            ("{dataset: me/test", "{name: test, dataset: me/left"),
            r"left has episode 0 of me/left for train",
        ),
        (("clients:", "client:"), r"client: there is no such field\. One of: clients"),
        (("clients:\n", "clients: 3\nx:\n"), "x: there is no such field"),
        (("left_out: [2]", "train: 1"), "nobody learns from an evaluation set"),
        ((TWO, "clients: []"), "clients: there is none"),
        ((TWO, "clients: left"), "clients: must be a list"),
        ((TWO, "clients: [left]"), r"clients\[0\]: must have fields"),
        ((TWO, "- a"), "lists no clients"),
        ((TWO, "a: [b"), "isn't valid YAML"),
    ],
)
def test_what_is_wrong_is_named(file: Path, change: tuple[str, str], said: str) -> None:
    text = TWO.replace(*change)
    assert text != TWO
    file.write_text(text)

    with pytest.raises(ConfigError, match=said) as refused:
        read_catalogue(file)
    assert str(file) in str(refused.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        read_catalogue(tmp_path / "none.yaml")
