"""A hub on loopback: as much of its HTTP API as data sets need. huggingface_hub speaks to it.

Files go up by Git LFS (``basic`` transfer) and come down with ranges. The xet protocol, which the
real hub prefers and huggingface_hub uses if ``hf_xet`` isn't disabled, isn't spoken.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import re
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

TOKEN = "hf_owner"
_PIECE = 1024
_LARGE = 30_000
"""Bytes of a file that a cut may hit; of the tests' data set it is one."""


@dataclass
class Repo:
    """A data set repository: commits, and what points at them."""

    private: bool
    commits: dict[str, dict[str, str]] = field(default_factory=dict)
    heads: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)

    def commit(self, files: dict[str, str]) -> str:
        text = json.dumps([len(self.commits), sorted(files.items())])
        sha = hashlib.sha1(text.encode()).hexdigest()
        self.commits[sha] = files
        self.heads["main"] = sha
        return sha

    def resolve(self, revision: str) -> str | None:
        known = {**self.heads, **self.tags, **{sha: sha for sha in self.commits}}
        return known.get(revision)


class Hub:
    """The server's state.

    Attributes:
        repos: By id.
        blobs: Contents by SHA-256.
        came: Bytes of large files that arrived, by SHA-256; more than its size: sent twice.
        went: Bytes of files that left, by path.
        resumed: Where in a file a download began that didn't begin at 0, by path.
        budget: After so many bytes of a large file, either way, the connection is cut, once.
        stall: At that point wait until this is set, instead of cutting.
    """

    def __init__(self) -> None:
        self.repos: dict[str, Repo] = {}
        self.blobs: dict[str, bytes] = {}
        self.came: dict[str, int] = {}
        self.went: dict[str, int] = {}
        self.resumed: dict[str, int] = {}
        self.budget: int | None = None
        self.stall: threading.Event | None = None
        self.reached = threading.Event()
        self._lock = threading.Lock()
        hub = self

        class Handler(_Handler):
            pass

        Handler.hub = hub
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def spend(self, size: int, of: int) -> bool:
        """Whether so many bytes of a file may pass; at the end of the budget, after a wait, no."""
        with self._lock:
            if self.budget is None or of < _LARGE:
                return True
            self.budget -= size
            if self.budget > 0:
                return True
            self.budget = None
        self.reached.set()
        if self.stall is not None:
            self.stall.wait(60)
        return False

    def files(self, repo_id: str, revision: str = "main") -> dict[str, bytes]:
        repo = self.repos[repo_id]
        sha = repo.resolve(revision)
        assert sha is not None
        return {path: self.blobs[blob] for path, blob in repo.commits[sha].items()}


@contextlib.contextmanager
def running_hub() -> Iterator[Hub]:
    hub = Hub()
    thread = threading.Thread(target=hub.server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        if hub.stall is not None:
            hub.stall.set()
        hub.server.shutdown()
        hub.server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, format: str, *args: object) -> None:
        pass

    def _route(self) -> None:
        path = unquote(urlsplit(self.path).path)
        for method, pattern, answer in _ROUTES:
            match = re.fullmatch(pattern, path)
            if match and method == self.command:
                answer(self, **match.groupdict())
                return
        self._json({"error": f"no route {self.command} {path}"}, 404)

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = _route

    def _body(self) -> Any:
        return json.loads(self.rfile.read(int(self.headers["Content-Length"] or 0)) or b"{}")

    def _json(self, data: object, status: int = 200, **headers: str) -> None:
        body = json.dumps(data).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    @property
    def _owner(self) -> bool:
        return self.headers.get("Authorization") == f"Bearer {TOKEN}"

    def _repo(self, repo: str) -> Repo | None:
        """The repository if it may be seen; else the answer is given."""
        found = self.hub.repos.get(repo)
        if found is None or (found.private and not self._owner):
            self._json({"error": "Repository not found"}, 404, X_Error_Code="RepoNotFound")
            return None
        return found

    def _commit_of(self, found: Repo, revision: str) -> str | None:
        sha = found.resolve(revision)
        if sha is None:
            self._json({"error": "Invalid rev id"}, 404, X_Error_Code="RevisionNotFound")
        return sha

    def create(self) -> None:
        body = self._body()
        if not self._owner:
            self._json({"error": "Invalid credentials"}, 401)
            return
        repo_id = f"{body.get('organization') or 'owner'}/{body['name']}"
        if repo_id in self.hub.repos:
            self._json({"error": "exists", "url": f"{self.hub.url}/datasets/{repo_id}"}, 409)
            return
        private = body.get("private", False) or body.get("visibility") == "private"
        new = self.hub.repos[repo_id] = Repo(private=bool(private))
        content = b"*.parquet filter=lfs diff=lfs merge=lfs -text\n"
        self.hub.blobs[_sha(content)] = content
        new.commit({".gitattributes": _sha(content)})
        self._json({"url": f"{self.hub.url}/datasets/{repo_id}"})

    def info(self, repo: str, revision: str = "main") -> None:
        found = self._repo(repo)
        if found and (sha := self._commit_of(found, revision)):
            self._json({"id": repo, "sha": sha, "private": found.private})

    def refs(self, repo: str) -> None:
        if found := self._repo(repo):
            self._json(
                {
                    "branches": [_ref("heads", n, sha) for n, sha in found.heads.items()],
                    "tags": [_ref("tags", n, sha) for n, sha in found.tags.items()],
                    "converts": [],
                }
            )

    def tree(self, repo: str, revision: str) -> None:
        found = self._repo(repo)
        if found and (sha := self._commit_of(found, revision)):
            entries = []
            for path, blob in found.commits[sha].items():
                size = len(self.hub.blobs[blob])
                entry = {"type": "file", "path": path, "size": size, "oid": self._oid(blob)}
                if _large(path):
                    entry["lfs"] = {"oid": blob, "size": size, "pointerSize": 130}
                entries.append(entry)
            self._json(entries)

    def preupload(self, repo: str, revision: str) -> None:
        body = self._body()
        if found := self._repo(repo):
            now = found.commits[found.heads["main"]]
            files = []
            for file in body["files"]:
                path = file["path"]
                entry = {"path": path, "shouldIgnore": False}
                entry["uploadMode"] = "lfs" if _large(path) else "regular"
                if path in now:
                    entry["oid"] = now[path] if _large(path) else self._oid(now[path])
                files.append(entry)
            self._json({"files": files})

    def lfs_batch(self, repo: str) -> None:
        objects = []
        for wanted in self._body()["objects"]:
            if wanted["oid"] not in self.hub.blobs:
                href = f"{self.hub.url}/lfs/{wanted['oid']}"
                wanted = {**wanted, "actions": {"upload": {"href": href}}}
            objects.append(wanted)
        self._json({"transfer": "basic", "objects": objects})

    def lfs_put(self, oid: str) -> None:
        left = whole = int(self.headers["Content-Length"])
        content = b""
        while left:
            piece = self.rfile.read(min(left, _PIECE))
            if not piece or not self.hub.spend(len(piece), whole):
                self._cut()
                return
            content += piece
            left -= len(piece)
            self.hub.came[oid] = self.hub.came.get(oid, 0) + len(piece)
        if _sha(content) != oid:
            self._json({"error": "another content"}, 400)
            return
        self.hub.blobs[oid] = content
        self._json({})

    def commit(self, repo: str, revision: str) -> None:
        lines = self.rfile.read(int(self.headers["Content-Length"])).splitlines()
        found = self._repo(repo)
        if found is None:
            return
        files = dict(found.commits[found.heads["main"]])
        for line in map(json.loads, lines):
            value = line["value"]
            if line["key"] == "file":
                content = base64.b64decode(value["content"])
                files[value["path"]] = _sha(content)
                self.hub.blobs[_sha(content)] = content
            elif line["key"] == "lfsFile":
                assert value["oid"] in self.hub.blobs
                files[value["path"]] = value["oid"]
            elif line["key"] == "deletedFile":
                del files[value["path"]]
        sha = found.commit(files)
        url = f"{self.hub.url}/datasets/{repo}/commit/{sha}"
        self._json({"commitUrl": url, "commitOid": sha})

    def tag(self, repo: str, revision: str) -> None:
        name = self._body()["tag"]
        found = self._repo(repo)
        if found and (sha := self._commit_of(found, revision)):
            found.tags[name] = sha
            self._json({})

    def untag(self, repo: str, revision: str) -> None:
        found = self._repo(repo)
        if found and revision not in found.tags:
            self._json({"error": "no such tag"}, 404, X_Error_Code="RevisionNotFound")
        elif found:
            del found.tags[revision]
            self._json({})

    def resolve(self, repo: str, revision: str, path: str) -> None:
        found = self._repo(repo)
        if found is None or not (sha := self._commit_of(found, revision)):
            return
        blob = found.commits[sha].get(path)
        if blob is None:
            self._json({"error": "Entry not found"}, 404, X_Error_Code="EntryNotFound")
            return
        content = self.hub.blobs[blob]
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        start = int(asked[1]) if asked else 0
        self.send_response(206 if asked else 200)
        if asked:
            self.hub.resumed[path] = start
            end = f"{len(content) - 1}/{len(content)}"
            self.send_header("Content-Range", f"bytes {start}-{end}")
        self.send_header("ETag", f'"{blob if _large(path) else self._oid(blob)}"')
        self.send_header("X-Repo-Commit", sha)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        if self.command == "HEAD":
            return
        for at in range(start, len(content), _PIECE):
            piece = content[at : at + _PIECE]
            if _large(path) and not self.hub.spend(len(piece), len(content)):
                self._cut()
                return
            self.wfile.write(piece)
            self.wfile.flush()
            self.hub.went[path] = self.hub.went.get(path, 0) + len(piece)

    def yaml(self) -> None:
        self._body()
        self._json({"errors": [], "warnings": []})

    def _oid(self, blob: str) -> str:
        content = self.hub.blobs[blob]
        return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()

    def _cut(self) -> None:
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)


def _sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _large(path: str) -> bool:
    return path.endswith((".parquet", ".mp4"))


def _ref(kind: str, name: str, sha: str) -> dict[str, str]:
    return {"name": name, "ref": f"refs/{kind}/{name}", "targetCommit": sha}


_API = r"/api/datasets/(?P<repo>[^/]+/[^/]+)"
_ROUTES: list[tuple[str, str, Callable[..., None]]] = [
    ("POST", "/api/repos/create", _Handler.create),
    ("POST", "/api/validate-yaml", _Handler.yaml),
    ("GET", _API, _Handler.info),
    ("GET", _API + "/revision/(?P<revision>.+)", _Handler.info),
    ("GET", _API + "/refs", _Handler.refs),
    ("GET", _API + "/tree/(?P<revision>[^/]+)", _Handler.tree),
    ("POST", _API + "/preupload/(?P<revision>.+)", _Handler.preupload),
    ("POST", _API + "/commit/(?P<revision>.+)", _Handler.commit),
    ("POST", _API + "/tag/(?P<revision>.+)", _Handler.tag),
    ("DELETE", _API + "/tag/(?P<revision>.+)", _Handler.untag),
    ("POST", r"/datasets/(?P<repo>[^/]+/[^/]+)\.git/info/lfs/objects/batch", _Handler.lfs_batch),
    ("PUT", "/lfs/(?P<oid>[0-9a-f]{64})", _Handler.lfs_put),
    *(
        (
            method,
            r"/datasets/(?P<repo>[^/]+/[^/]+)/resolve/(?P<revision>[^/]+)/(?P<path>.+)",
            _Handler.resolve,
        )
        for method in ("GET", "HEAD")
    ),
]
