"""The models of one robot: immutable folders, and four names for them.

::

    models/
    ├── objects/<first 16 hex of the digest>/    a policy folder and object.json
    ├── candidate, current, previous, base       symbolic links into objects/
    └── history.jsonl                            what became what, when and why

A name changes in one step and an object never changes: readers need no lock. Writers take turns by
``flock``. An object is complete before its name exists, so whatever a crash leaves behind is
hidden, and the next writer sweeps it away.

A model is known by the digest of its weights. The same weights with another configuration or other
processors are another object of the same digest; the newest one is meant.
"""

from __future__ import annotations

import builtins
import contextlib
import fcntl
import json
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from agent.policy import atomic
from agent.policy.fingerprint import OBJECT, fingerprint, model_files
from agent.policy.stored import Origin, StoredModel, read_model
from robots.errors import ModelError

__all__ = ["POINTERS", "WEIGHTS", "ModelStore", "Origin", "Pointer", "StoredModel"]

WEIGHTS = "model.safetensors"
_TEMPORARY = ".tmp-"
_KEEP = 5
"""Objects that stay besides those that have a name: some GB at true size."""

Pointer = Literal["candidate", "current", "previous", "base"]
POINTERS: tuple[Pointer, ...] = ("candidate", "current", "previous", "base")


class ModelStore:
    """The store under one folder.

    Args:
        root: ``StateDir.models``; it is made when something is added.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._turn = threading.RLock()
        self._turns = 0

    # Readers -------------------------------------------------------------------------------

    @property
    def current(self) -> StoredModel | None:
        """What the policy worker should run."""
        return self._at("current")

    @property
    def previous(self) -> StoredModel | None:
        """What ``rollback`` goes back to."""
        return self._at("previous")

    @property
    def pending(self) -> StoredModel | None:
        """The candidate: what waits for its trial on the held-out episodes."""
        return self._at("candidate")

    @property
    def base(self) -> StoredModel | None:
        """What the robot was started from, or what its fleet starts from: releases are merged into
        it, and it is never pruned."""
        return self._at("base")

    def list(self) -> builtins.list[StoredModel]:
        """All models, newest first."""
        if not self._objects.is_dir():
            return []
        models = []
        for folder in self._objects.iterdir():
            if folder.name.startswith("."):
                continue
            try:
                models.append(read_model(folder))
            except ModelError:
                # One that was pruned since it was listed is none.
                if folder.is_dir():
                    raise
        return sorted(models, key=lambda m: -m.created)

    def find(self, digest: str) -> StoredModel:
        """The newest model whose digest is or begins like ``digest`` (``sha256:`` may be left out).

        Raises:
            ModelError: none or several different ones.
        """
        prefix = digest.removeprefix("sha256:")
        found = [m for m in self.list() if m.digest.removeprefix("sha256:").startswith(prefix)]
        if not prefix or not found or len({m.digest for m in found}) > 1:
            raise ModelError(
                "fits several models" if found else "there is no such model",
                field="digest",
                value=digest,
                remedy="`armada models list` shows them",
            )
        return found[0]

    def history(self) -> builtins.list[dict[str, Any]]:
        """What happened, oldest first; a line torn by a crash is left out."""
        path = self.root / "history.jsonl"
        if not path.is_file():
            return []
        entries = []
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            with contextlib.suppress(json.JSONDecodeError):
                entries.append(json.loads(line))
        return entries

    def verify(self, model: StoredModel) -> None:
        """Raises: ModelError if a file of it is missing, was changed or is one too many."""
        model.verify()

    # Writers -------------------------------------------------------------------------------

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """No name changes meanwhile but by this object's own methods, in this thread."""
        with self._turn:
            self._turns += 1
            try:
                with contextlib.nullcontext() if self._turns > 1 else self._locked():
                    yield
            finally:
                self._turns -= 1

    def add(self, folder: Path, *, origin: Origin, parent: str | None = None) -> StoredModel:
        """Copy a policy folder into the store; one that is there already is returned as it is.

        Args:
            folder: A LeRobot ``pretrained_model`` folder.
            origin: Where it came from; any JSON value will do.
            parent: Digest of the model that it was made from.

        Raises:
            ModelError: no policy, or one that can't be read or written.
        """
        for name in ("config.json", WEIGHTS):
            if not (folder / name).is_file():
                raise ModelError(f"the folder has no {name}", field="policy", value=folder)
        with self.alone():
            source = fingerprint(folder)
            same = next((m for m in self.list() if m.source == source), None)
            return same or self._import(folder, source, origin, parent)

    def ensure_current(self, policy_path: str) -> StoredModel:
        """The current model of a robot that was started with this policy.

        A policy that was not imported before becomes current. After that the current model stays:
        it may have learned since. Another path, or another policy at the same path, is imported.

        Raises:
            ModelError: no such policy.
        """
        from agent.policy.hub import policy_folder

        folder = policy_folder(policy_path)
        source = fingerprint(folder)
        imports = [e for e in self.history() if e["event"] == "import"]
        current = self.current
        if current is not None and imports and imports[-1]["source"] == source:
            return current
        model = self.add(folder, origin=policy_path)
        self._log("import", model, source=source, path=policy_path)
        self.base_on(model)
        return self.promote(model, reason=f"--policy.path={policy_path}")

    def base_on(self, model: StoredModel) -> None:
        """Merge releases into this model from now on."""
        with self.alone():
            self._point("base", model)
            self._log("base", model)

    def candidate(self, model: str | StoredModel, *, reason: str = "") -> StoredModel:
        """Make a model, or the newest one of a digest, the candidate.

        Raises:
            ModelError: there is no such model.
        """
        with self.alone():
            model = self.find(model) if isinstance(model, str) else model
            self._point("candidate", model)
            self._log("candidate", model, reason=reason)
            self._prune(_KEEP)
            return model

    def promote(
        self, model: str | StoredModel, *, reason: str = "", previous: StoredModel | None = None
    ) -> StoredModel:
        """Make a model, or the newest one of a digest, current, after reading it through.

        Args:
            model: Which.
            reason: Why, for the history.
            previous: What is rolled back to; ``None``: what was current.

        Raises:
            ModelError: there is no such model, or it is damaged.
        """
        with self.alone():
            model = self.find(model) if isinstance(model, str) else model
            self.verify(model)
            before = self.current
            if before is None or before.path != model.path:
                # In this order a crash in between loses the way back by two, not the way back.
                back = previous or before
                if back is not None:
                    self._point("previous", back)
                self._point("current", model)
                self._log("promote", model, before=back and back.digest, reason=reason)
            pending = self.pending
            if pending is not None and pending.path == model.path:
                (self.root / "candidate").unlink()
            self._prune(_KEEP)
            return model

    def rollback(self, *, reason: str = "") -> StoredModel:
        """Make the previous model current; ``previous`` is then what came before that one.

        Raises:
            ModelError: nothing to go back to, or it is damaged.
        """
        with self.alone():
            model, left = self.previous, self.current
            if model is None or left is None or model.path == left.path:
                raise ModelError(
                    "there is no previous model to go back to",
                    field="models",
                    value=self.root,
                    remedy="Promote one: `armada models promote DIGEST`",
                )
            self.verify(model)
            earlier = self._before(model, not_=left)
            self._point("current", model)
            if earlier is None:
                (self.root / "previous").unlink()
            else:
                self._point("previous", earlier)
            self._log("rollback", model, before=left.digest, reason=reason)
            return model

    def prune(self, keep: int = _KEEP) -> None:
        """Delete all but the newest ``keep`` models and those that have a name."""
        with self.alone():
            self._prune(keep)

    # ---------------------------------------------------------------------------------------

    @property
    def _objects(self) -> Path:
        return self.root / "objects"

    def _at(self, name: Pointer) -> StoredModel | None:
        target = self._target(name)
        if target is None:
            return None
        try:
            return read_model(self.root / target)
        except ModelError:
            if self._target(name) == target:
                raise
        # It moved on since, and what it stood for was pruned.
        return self._at(name)

    def _target(self, name: Pointer) -> Path | None:
        try:
            return (self.root / name).readlink()
        except FileNotFoundError:
            return None

    def _import(self, folder: Path, source: str, origin: Origin, parent: str | None) -> StoredModel:
        # Here and not above: who only moves names or lists models needs no torch.
        from agent.policy import weights
        from agent.policy.merge import copy_policy
        from agent.policy.parts import trainable_names

        names = trainable_names(folder)
        digest = weights.file_digest(folder / WEIGHTS)
        trained, base = weights.file_digest_parts(folder / WEIGHTS, names)
        path = self._objects / digest.removeprefix("sha256:")[:16]
        if path.exists():
            path = path.with_name(f"{path.name}-{source.removeprefix('sha256:')[:8]}")
        temporary = self._objects / f"{_TEMPORARY}{path.name}"
        try:
            copy_policy(folder, temporary, home=path)
            record: dict[str, Any] = {
                "digest": digest,
                "base_digest": base,
                "trainable_digest": trained,
                "origin": origin,
                "parent": parent,
                "source": source,
                "created": time.time(),
                "files": {name: atomic.sha256(temporary / name) for name in model_files(temporary)},
            }
            atomic.write_text(temporary / OBJECT, json.dumps(record, indent=2))
            atomic.place(temporary, path)
        except OSError as error:
            raise ModelError(
                f"can't be added to the store: {error}", field="policy", value=folder
            ) from error
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        model = read_model(path)
        self._log("add", model, origin=origin, parent=parent)
        return model

    def _before(self, model: StoredModel, *, not_: StoredModel) -> StoredModel | None:
        """What was current before ``model`` was promoted, if it is still here."""
        for entry in reversed(self.history()):
            if entry["event"] == "promote" and entry["digest"] == model.digest:
                with contextlib.suppress(ModelError):
                    found = self.find(entry["before"] or "")
                    return None if found.path in (model.path, not_.path) else found
                return None
        return None

    def _prune(self, keep: int) -> None:
        named = {m.path for m in map(self._at, POINTERS) if m is not None}
        unnamed = [m for m in self.list() if m.path not in named]
        for model in unnamed[keep:]:
            # Out of sight first: a crash halfway leaves no half object.
            hidden = self._objects / f"{_TEMPORARY}{model.path.name}"
            model.path.rename(hidden)
            shutil.rmtree(hidden)
            self._log("prune", model)

    def _point(self, name: Pointer, model: StoredModel) -> None:
        atomic.point(self.root / name, f"objects/{model.path.name}")

    def _log(self, event: str, model: StoredModel, **fields: Any) -> None:
        entry = {"time": time.time(), "event": event, "digest": model.digest, **fields}
        atomic.append_line(self.root / "history.jsonl", json.dumps(entry))

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        self._objects.mkdir(parents=True, exist_ok=True)
        with (self.root / ".lock").open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            for leftover in self._objects.glob(f"{_TEMPORARY}*"):
                shutil.rmtree(leftover)
            for name in POINTERS:
                # Only these: others keep files beside them, and may be writing one.
                for leftover in self.root.glob(f".{name}.*.tmp"):
                    leftover.unlink()
            yield
