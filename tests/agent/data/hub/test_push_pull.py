"""``armada data push`` and ``pull`` against a hub on loopback."""

from __future__ import annotations

import json
import multiprocessing
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest
from huggingface_hub import constants
from lerobot.datasets.dataset_tools import delete_episodes
from lerobot.datasets.lerobot_dataset import LeRobotDataset

from agent.commands.data import COMMAND
from agent.data.hub.leaving import leaving
from agent.data.hub.name import keep_name
from agent.data.lock import recording
from agent.data.used import unused, uses
from robots.errors import ArmadaError, ConfigError, DataError, LinkError
from tests.agent.data.hub.fake import Hub
from tests.datasets import CAMERA, JOINTS, SIZE, make_dataset

REPO = "me/reach"
LARGEST = "meta/episodes/chunk-000/file-000.parquet"
HALF = 22_000
"""Of its bytes."""


def push(root: Path, *flags: str, repo: str = REPO) -> int:
    # Its task is longer than recommended and its arm ends where it began: not what is tested here.
    return COMMAND.main(
        ["push", str(root), f"--repo_id={repo}", "--unclean=true", "--yes=true", *flags]
    )


def pull(root: Path, *flags: str, repo: str = REPO) -> int:
    return COMMAND.main(["pull", repo, f"--root={root}", *flags])


def data_of(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes()
        for part in ("meta", "data", "videos")
        for path in (root / part).rglob("*")
        if path.is_file()
    }


def killed_in_the_middle(argv: list[str], hub: Hub) -> None:
    """Run it in a process of its own, which is killed when half of the largest file has passed."""
    hub.stall, hub.budget = threading.Event(), HALF
    hub.reached.clear()
    process = multiprocessing.get_context("fork").Process(target=COMMAND.main, args=(argv,))
    process.start()
    try:
        assert hub.reached.wait(60)
    finally:
        process.kill()
        process.join()
        hub.stall.set()


def record_one_more(root: Path) -> None:
    dataset = LeRobotDataset.resume("local/set", root=root)
    for i in range(12):
        pose = np.full(len(JOINTS), i, np.float32)
        dataset.add_frame(
            {
                "observation.state": pose,
                "action": pose,
                f"observation.images.{CAMERA}": np.zeros((SIZE, SIZE, 3), np.uint8),
                "task": "another",
            }
        )
    dataset.save_episode()
    dataset.finalize()


def test_nothing_leaves_without_yes(
    root: Path, hub: Hub, capsys: pytest.CaptureFixture[str]
) -> None:
    size = sum(len(content) for content in data_of(root).values())

    assert push(root, "--yes=false") == 1

    said = capsys.readouterr().out
    assert f"{hub.url}/datasets/{REPO}, to be seen by you and who you let" in said
    assert "episodes 3 with 72 frames" in said
    assert "pictures 72 of front" in said
    assert f"bytes    {size:,} in 5 files" in said
    assert "Nothing was sent" in said
    assert hub.repos == {}
    assert unused(root) == [0, 1, 2]
    assert not list(root.parent.glob(".set.push/*"))


def test_what_is_pushed_comes_back_the_same_and_is_remembered(
    root: Path, hub: Hub, tmp_path: Path
) -> None:
    assert push(root) == 0

    repo = hub.repos[REPO]
    assert repo.private
    assert repo.tags == {"v3.0": repo.heads["main"]}
    assert b"LeRobot" in hub.files(REPO)["README.md"]
    assert b"license" not in hub.files(REPO)["README.md"]
    assert unused(root) == []
    assert list(uses(root)[1].pushed) == [REPO]

    assert pull(tmp_path / "back") == 0
    assert data_of(tmp_path / "back") == data_of(root)
    assert len(LeRobotDataset(REPO, root=tmp_path / "back")) == 72


def test_it_goes_where_its_recorder_was_told_that_it_belongs(root: Path, hub: Hub) -> None:
    with pytest.raises(ConfigError, match="--repo_id: is missing"):
        COMMAND.main(["push", str(root)])
    keep_name(root, REPO)
    assert COMMAND.main(["push", str(root), "--unclean=true", "--yes=true"]) == 0
    assert list(hub.repos) == [REPO]
    assert list(uses(root)[1].pushed) == [REPO]


def test_a_cut_connection_is_taken_up_again(
    root: Path, hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # huggingface_hub writes ten megabytes at a time; no file is as large here.
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1024)
    hub.budget = HALF
    assert push(root) == 0
    assert hub.reached.is_set()
    assert data_of(root).items() <= hub.files(REPO).items()

    hub.reached.clear()
    hub.budget = HALF
    assert pull(tmp_path / "back") == 0
    assert hub.reached.is_set()
    assert data_of(tmp_path / "back") == data_of(root)
    assert hub.resumed[LARGEST] > HALF - 2048
    assert hub.went[LARGEST] - len(hub.files(REPO)[LARGEST]) <= 1024


def test_a_push_that_is_killed_goes_on(root: Path, hub: Hub) -> None:
    killed_in_the_middle(
        ["push", str(root), f"--repo_id={REPO}", "--unclean=true", "--yes=true"], hub
    )
    arrived = set(hub.blobs)
    assert hub.repos[REPO].tags == {}
    assert unused(root) == [0, 1, 2]

    assert push(root) == 0

    assert not {oid for oid in arrived if hub.came.get(oid, 0) > len(hub.blobs[oid])}
    assert data_of(root).items() <= hub.files(REPO, "v3.0").items()
    assert unused(root) == []
    assert not list(root.parent.glob(".set.push/*"))


def test_a_pull_that_is_killed_goes_on(root: Path, hub: Hub, tmp_path: Path) -> None:
    push(root)
    back = tmp_path / "back"

    killed_in_the_middle(["pull", REPO, f"--root={back}"], hub)
    coming = tmp_path / ".back.pull"
    whole = {str(p.relative_to(coming)) for p in coming.glob("*/*/*.parquet")}
    assert list((coming / ".cache").rglob("*.incomplete"))
    assert pull(back) == 0

    assert data_of(back) == data_of(root)
    assert not list((back / ".cache").rglob("*.incomplete"))
    assert not coming.exists()
    assert LARGEST not in whole
    # Metadata once more, to see that nothing recorded here would be lost.
    sizes = {path: len(content) for path, content in hub.files(REPO).items()}
    assert not {path for path in whole if hub.went[path] > 2 * sizes[path]}


def test_a_killed_pull_of_what_was_added_leaves_what_was_there(
    root: Path, hub: Hub, tmp_path: Path
) -> None:
    push(root)
    back = tmp_path / "back"
    pull(back)
    before = data_of(back)
    record_one_more(root)
    push(root)

    killed_in_the_middle(["pull", REPO, f"--root={back}"], hub)

    assert data_of(back) == before
    assert len(LeRobotDataset(REPO, root=back)) == 72
    assert pull(back) == 0
    assert data_of(back) == data_of(root)


def test_what_a_killed_pull_of_something_else_left_is_not_put_in_place(
    root: Path, hub: Hub, tmp_path: Path
) -> None:
    push(root)
    back = tmp_path / "back"
    left = tmp_path / ".back.pull" / "data" / "chunk-000" / "file-007.parquet"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"of another data set")
    back.mkdir()
    (back / "notes.txt").write_text("the owner's")

    assert pull(back) == 0

    assert data_of(back) == data_of(root)
    assert (back / "notes.txt").read_text() == "the owner's"
    assert not left.exists()


def test_an_episode_that_waits_to_be_put_in_place_is_not_lost_to_a_pull(
    root: Path, hub: Hub, tmp_path: Path
) -> None:
    push(root)
    back = tmp_path / "back"
    pull(back)
    staging = tmp_path / ".back.staging"
    shutil.copytree(back / "meta", staging / "episode" / "meta")
    shutil.rmtree(staging / "episode" / "meta" / "episodes")
    for name in ("data/chunk-000/file-000.parquet",):
        (back / name).rename(tmp_path / "kept")
        (staging / "episode" / name).parent.mkdir(parents=True)
        (tmp_path / "kept").rename(staging / "episode" / name)
    plan = {"whole": False, "before": 3, "files": ["data/chunk-000/file-000.parquet"]}
    (staging / "commit.json").write_text(json.dumps(plan))

    assert pull(back) == 0

    assert data_of(back) == data_of(root)
    assert not (staging / "commit.json").exists()


def test_what_was_added_follows(root: Path, hub: Hub, tmp_path: Path) -> None:
    push(root)
    pull(tmp_path / "back")
    came, went = dict(hub.came), dict(hub.went)
    record_one_more(root)
    assert unused(root) == [3]

    assert push(root) == 0
    assert pull(tmp_path / "back") == 0

    assert data_of(tmp_path / "back") == data_of(root)
    assert unused(root) == []
    assert {oid: n for oid, n in hub.came.items() if oid in came} == came
    kept = {p for p in went if p.startswith("data/")}
    assert {p: hub.went[p] for p in kept} == {p: went[p] for p in kept}


def test_what_the_hub_has_and_the_folder_has_not_is_kept(root: Path, hub: Hub) -> None:
    push(root)
    shorter = root.parent / "shorter"
    delete_episodes(LeRobotDataset("test/set", root=root), [0], output_dir=shorter)
    before = hub.files(REPO)

    with pytest.raises(ConfigError, match=r"has 3 episodes that aren't all here.*--replace=true"):
        push(shorter)
    assert hub.files(REPO) == before

    assert push(shorter, "--replace=true") == 0
    now = hub.files(REPO)
    assert {p for p in now if p.startswith("meta/")} == {
        p for p in data_of(shorter) if p.startswith("meta/")
    }
    assert before in [hub.files(REPO, sha) for sha in hub.repos[REPO].commits]


def test_another_data_set_is_not_overwritten(root: Path, hub: Hub) -> None:
    other = make_dataset(root.parent / "other", episodes=3, seed=7)
    push(other)
    with pytest.raises(ConfigError, match=r"aren't all here"):
        push(root)


def test_a_pull_does_not_overwrite_what_was_recorded_since(
    root: Path, hub: Hub, tmp_path: Path
) -> None:
    push(root)
    pull(tmp_path / "back")
    record_one_more(tmp_path / "back")
    before = data_of(tmp_path / "back")

    with pytest.raises(ConfigError, match=r"has 4 episodes that aren't all on the hub"):
        pull(tmp_path / "back")
    with recording(tmp_path / "back"), pytest.raises(DataError, match=r"another recorder"):
        pull(tmp_path / "back")
    assert data_of(tmp_path / "back") == before


def test_a_public_repository_takes_only_what_is_meant_for_all(root: Path, hub: Hub) -> None:
    assert push(root, "--public=true") == 0
    assert not hub.repos[REPO].private
    record_one_more(root)
    with pytest.raises(ConfigError, match=r"everybody can see this repository.*--public=true"):
        push(root)
    hub.repos[REPO].private = True
    with pytest.raises(ConfigError, match=r"this repository is private\. Leave --public away"):
        push(root, "--public=true")
    assert unused(root) == [3]


def test_a_recorder_goes_on_while_it_is_pushed(root: Path) -> None:
    with leaving(root) as what:
        frozen = data_of(what.folder)
        with recording(root):
            record_one_more(root)
        with pytest.raises(DataError, match=r"is being pushed"), leaving(root):
            pass
        assert data_of(what.folder) == frozen
        assert (what.info.frames, len(what.digests)) == (72, 3)
    assert not what.folder.exists()
    assert unused(root) == [0, 1, 2, 3]


def test_what_is_just_being_written_stays_here(root: Path) -> None:
    (root / "meta" / "marks").mkdir()
    (root / "meta" / "marks" / ".episode-000000.json.17.tmp").write_text("half of")
    with leaving(root) as what:
        assert not list(what.folder.rglob(".*"))


def test_what_no_episode_names_stays_here(root: Path) -> None:
    (root / "images").mkdir(exist_ok=True)
    (root / "images" / "frame.png").write_bytes(b"x")
    (root / "data" / "chunk-000" / "file-009.parquet").write_bytes(b"cut off")
    with leaving(root) as what:
        assert set(data_of(what.folder)) == set(data_of(root)) - {"data/chunk-000/file-009.parquet"}
        assert what.files == len(data_of(what.folder))


def test_what_is_not_clean_is_refused(root: Path, hub: Hub) -> None:
    spoilt = LeRobotDataset.create(
        "test/still",
        10,
        {"observation.state": _vector(), "action": _vector()},
        root=root.parent / "still",
        use_videos=False,
    )
    for _ in range(12):
        zero = np.zeros(6, np.float32)
        spoilt.add_frame({"observation.state": zero, "action": zero, "task": "rest"})
    spoilt.save_episode()
    spoilt.finalize()

    with pytest.raises(DataError, match=r"episodes 0: REJECTED. See why: armada data check"):
        push(root.parent / "still", "--unclean=false")
    assert hub.repos == {}


def _vector() -> dict[str, object]:
    return {"dtype": "float32", "shape": (6,), "names": list(JOINTS)}


def test_the_hub_says_no(
    root: Path, hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(LinkError, match=r"doesn't show this data set to you. Log in"):
        pull(tmp_path / "back")
    with pytest.raises(ConfigError, match=r"Write it like NAME/DATASET"):
        push(root, repo="me/a/b")
    push(root)
    with pytest.raises(LinkError, match=r"has no such version. Give another --revision"):
        pull(tmp_path / "back", "--revision=v9")
    monkeypatch.setenv("HF_TOKEN", "hf_stranger")
    with pytest.raises(LinkError, match=r"Log in"):
        pull(tmp_path / "back")
    with pytest.raises(LinkError, match=r"Log in with `hf auth login`"):
        push(root, repo="me/new")


def test_offline_is_offline(root: Path) -> None:
    with pytest.raises(LinkError, match=r"HF_HUB_OFFLINE"):
        push(root)


def test_what_is_missing_is_said() -> None:
    with pytest.raises(ArmadaError, match=r"--repo_id: is missing"):
        COMMAND.main(["push", "somewhere"])
    with pytest.raises(ArmadaError, match=r"armada data pull NAME/DATASET"):
        COMMAND.main(["pull"])


def test_an_unfinished_push_is_not_what_lerobot_would_take(
    root: Path, hub: Hub, tmp_path: Path
) -> None:
    push(root)
    hub.repos[REPO].tags.clear()
    with pytest.raises(LinkError, match=r"never pushed to the end"):
        pull(tmp_path / "back")
    hub.repos[REPO].tags["v2.1"] = hub.repos[REPO].heads["main"]
    with pytest.raises(LinkError, match=r"has only another format.*convert_dataset"):
        pull(tmp_path / "back")
    assert pull(tmp_path / "back", "--revision=main") == 0
