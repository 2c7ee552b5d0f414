"""A hub on loopback: the endpoints that `huggingface_hub` and `datasets` call to make, fill, list and read a dataset.

Repositories are in memory, with one branch and all of its commits. Files above a few bytes go the way of large files.
Started with `HF_ENDPOINT` set to its URL and `HF_HUB_DISABLE_XET=1`, the real clients speak to it.
"""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

TOKEN = "hf_right"
READ_TOKEN = "hf_read_only"
LARGE = (".parquet", ".bin")
"""Ends of the names of files that are uploaded as large ones."""

Files = Mapping[str, bytes]


@dataclass(slots=True)
class Repository:
    """A dataset on the hub: its commits, the oldest first, each with all of its files."""

    private: bool
    commits: list[tuple[str, Files]]

    @property
    def head(self) -> str:
        return self.commits[-1][0]

    @property
    def files(self) -> Files:
        """Those of the last commit."""
        return self.commits[-1][1]

    def at(self, revision: str) -> Files | None:
        """The files of a commit, or of the branch."""
        return self.files if revision == "main" else dict(self.commits).get(revision)

    def commit(self, files: Files) -> str:
        """Adds a commit with exactly these files and returns its name."""
        text = json.dumps({path: hashlib.sha1(data).hexdigest() for path, data in files.items()}, sort_keys=True)
        name = hashlib.sha1(f"{len(self.commits)} {text}".encode()).hexdigest()
        self.commits.append((name, dict(files)))
        return name


@dataclass(slots=True)
class Hub:
    """The state of the server.

    Args:
        user: whose tokens TOKEN (may write) and READ_TOKEN (may not) are.
        requests: method, path and body of each request so far.
        refusals: (method, beginning of the path) -> statuses with which the next such requests are answered.
    """

    url: str = ""
    user: str = "me"
    repositories: dict[str, Repository] = field(default_factory=dict)
    large_files: dict[str, bytes] = field(default_factory=dict)
    requests: list[tuple[str, str, bytes]] = field(default_factory=list)
    refusals: dict[tuple[str, str], list[int]] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        """For a process that is to talk to this hub, with the right token."""
        return {"HF_ENDPOINT": self.url, "HF_HUB_DISABLE_XET": "1", "HF_TOKEN": TOKEN, "HF_HUB_OFFLINE": "0"}

    def add(self, name: str, files: Files, private: bool = False) -> Repository:
        """Puts a repository there, as if somebody had pushed it."""
        repository = Repository(private, [])
        repository.commit(files)
        self.repositories[name] = repository
        return repository

    def asked(self, method: str, path: str = "") -> list[str]:
        """The paths of the requests so far that begin with `path`."""
        return [found for verb, found, _ in self.requests if verb == method and found.startswith(path)]


@contextmanager
def serving_hub() -> Iterator[Hub]:
    """A hub on a free port, for as long as the block runs."""
    hub = Hub()
    handler = type("Handler", (_Handler,), {"hub": hub})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()


class _Refused(Exception):
    def __init__(self, status: int, message: str, code: str = "") -> None:
        self.status, self.message, self.code = status, message, code


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing on the terminal: the hub keeps a list of its requests."""

    def do_GET(self) -> None:
        self._answer()

    do_HEAD = do_POST = do_PUT = do_GET

    def _answer(self) -> None:
        body = self._body()
        url = urlsplit(self.path)
        path, query = unquote(url.path), {name: values[0] for name, values in parse_qs(url.query).items()}
        self.hub.requests.append((self.command, path, body))
        try:
            for (method, start), statuses in self.hub.refusals.items():
                if method == self.command and path.startswith(start) and statuses:
                    raise _Refused(statuses.pop(0), "refused by the test")
            self._route(path, query, body)
        except _Refused as refused:
            headers = {"X-Error-Message": refused.message, "X-Error-Code": refused.code}
            self._reply({"error": refused.message}, refused.status, headers)

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        chunks = []
        while size := int(self.rfile.readline(), 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(chunks)

    def _route(self, path: str, query: Mapping[str, str], body: bytes) -> None:
        parts = path.strip("/").split("/")
        match parts:
            case ["api", "whoami-v2"]:
                self._reply({"type": "user", "name": self._writer(), "orgs": []})
            case ["api", "validate-yaml"]:
                self._reply({"errors": [], "warnings": []})
            case ["api", "repos", "create"]:
                self._create(json.loads(body))
            case ["api", "datasets", owner, name, *rest]:
                self._api(f"{owner}/{name}", rest, query, body)
            case ["datasets", owner, name, "resolve", revision, *file]:
                self._resolve(f"{owner}/{name}", revision, "/".join(file))
            case ["datasets", owner, git, "info", "lfs", "objects", "batch"]:
                self._large_file_batch(f"{owner}/{git.removesuffix('.git')}", json.loads(body))
            case ["large-files", oid] if self.command == "PUT":
                if hashlib.sha256(body).hexdigest() != oid:
                    raise _Refused(400, "the content is not what its name says")
                self.hub.large_files[oid] = body
                self._reply({})
            case _:
                raise _Refused(404, f"this hub has no {self.command} {path}")

    def _api(self, name: str, rest: list[str], query: Mapping[str, str], body: bytes) -> None:
        repository = self._repository(name)
        match rest:
            case []:
                self._reply(self._info(name, repository, "main"))
            case ["revision", revision]:
                self._reply(self._info(name, repository, revision))
            case ["refs"]:
                branch = {"name": "main", "ref": "refs/heads/main", "targetCommit": repository.head}
                self._reply({"branches": [branch], "tags": [], "converts": []})
            case ["tree", revision, *folder]:
                self._tree(self._files(name, repository, revision), "/".join(folder), "recursive" in query)
            case ["paths-info", revision]:
                files = self._files(name, repository, revision)
                asked = parse_qs(body.decode()).get("paths") or json.loads(body or b"{}").get("paths", [])
                self._reply(_paths_info(files, asked))
            case ["preupload", _]:
                self._preupload(repository, json.loads(body))
            case ["commit", _]:
                self._commit(name, repository, body)
            case _:
                raise _Refused(404, f"this hub has no {self.command} {'/'.join(rest)}")

    # who may do what

    def _token(self) -> str:
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if token not in ("", TOKEN, READ_TOKEN):
            raise _Refused(401, "Invalid username or password.")
        return token

    def _writer(self) -> str:
        token = self._token()
        if token != TOKEN:
            status, why = (403, "You don't have the rights to do this.") if token else (401, "You must log in.")
            raise _Refused(status, why)
        return self.hub.user

    def _repository(self, name: str) -> Repository:
        repository = self.hub.repositories.get(name)
        token = self._token()
        if repository is None or (repository.private and not token):
            raise _Refused(404 if token else 401, "Repository not found", "RepoNotFound")
        return repository

    def _files(self, name: str, repository: Repository, revision: str) -> Files:
        files = repository.at(revision)
        if files is None:
            raise _Refused(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return files

    # writing

    def _create(self, asked: Mapping[str, Any]) -> None:
        owner = asked.get("organization") or self._writer()
        if owner != self._writer():
            raise _Refused(403, f'You don\'t have the rights to create a dataset under the namespace "{owner}"')
        name = f"{owner}/{asked['name']}"
        if name in self.hub.repositories:
            known = {"url": f"{self.hub.url}/datasets/{name}", "error": "You already created this dataset repo"}
            self._reply(known, 409)
            return
        private = asked.get("visibility") == "private" or bool(
            asked.get("private")
        )  # the later client, the earlier one
        self.hub.add(name, {".gitattributes": b"*.parquet filter=lfs\n"}, private)
        self._reply({"url": f"{self.hub.url}/datasets/{name}", "name": name, "id": name})

    def _preupload(self, repository: Repository, asked: Mapping[str, Any]) -> None:
        self._writer()
        modes = []
        for file in asked["files"]:
            data = repository.files.get(file["path"])
            mode = "lfs" if file["path"].endswith(LARGE) else "regular"
            oid = None if data is None else _git_oid(file["path"], data)
            modes.append({"path": file["path"], "uploadMode": mode, "shouldIgnore": False, "oid": oid})
        self._reply({"files": modes})

    def _large_file_batch(self, name: str, asked: Mapping[str, Any]) -> None:
        self._repository(name)
        self._writer()
        objects = []
        for entry in asked["objects"]:
            known = entry["oid"] in self.hub.large_files
            upload = {"upload": {"href": f"{self.hub.url}/large-files/{entry['oid']}"}}
            objects.append({**entry, "authenticated": True, **({} if known else {"actions": upload})})
        self._reply({"transfer": "basic", "objects": objects}, kind="application/vnd.git-lfs+json")

    def _commit(self, name: str, repository: Repository, body: bytes) -> None:
        self._writer()
        files = dict(repository.files)
        for line in body.decode().splitlines():
            entry = json.loads(line)
            value = entry["value"]
            match entry["key"]:
                case "header":
                    if value.get("parentCommit") not in (None, repository.head):
                        raise _Refused(412, "The branch has moved since the parent commit.")
                case "file":
                    files[value["path"]] = base64.b64decode(value["content"])
                case "lfsFile":
                    if value["oid"] not in self.hub.large_files:
                        raise _Refused(400, f"{value['path']} has not been uploaded")
                    files[value["path"]] = self.hub.large_files[value["oid"]]
                case "deletedFile":
                    if files.pop(value["path"], None) is None:
                        raise _Refused(404, "A file with this name doesn't exist", "EntryNotFound")
        made = repository.commit(files)
        self._reply({"success": True, "commitOid": made, "commitUrl": f"{self.hub.url}/datasets/{name}/commit/{made}"})

    # reading

    def _info(self, name: str, repository: Repository, revision: str) -> dict[str, Any]:
        files = self._files(name, repository, revision)
        return {
            "_id": hashlib.sha1(name.encode()).hexdigest()[:24],
            "id": name,
            "author": name.partition("/")[0],
            "sha": repository.head if revision == "main" else revision,
            "private": repository.private,
            "gated": False,
            "disabled": False,
            "downloads": 0,
            "likes": 0,
            "tags": [],
            "lastModified": "2026-01-01T00:00:00.000Z",
            "createdAt": "2026-01-01T00:00:00.000Z",
            "siblings": [{"rfilename": path} for path in files],
        }

    def _tree(self, files: Files, folder: str, recursive: bool) -> None:
        start = f"{folder}/" if folder else ""
        below = [path for path in files if path.startswith(start)]
        if not below:
            raise _Refused(404, f"{folder} does not exist", "EntryNotFound")
        folders = {path[: path.index("/", len(start))] for path in below if "/" in path[len(start) :]}
        if recursive:
            folders |= {
                path[:end] for path in below for end, sign in enumerate(path) if sign == "/" and end > len(start)
            }
        else:
            below = [path for path in below if "/" not in path[len(start) :]]
        self._reply([*_paths_info(files, sorted(folders)), *_paths_info(files, sorted(below))])

    def _resolve(self, name: str, revision: str, path: str) -> None:
        repository = self._repository(name)
        data = self._files(name, repository, revision).get(path)
        if data is None:
            raise _Refused(404, "Entry not found", "EntryNotFound")
        headers = {
            "ETag": f'"{_etag(path, data)}"',
            "X-Repo-Commit": repository.head if revision == "main" else revision,
        }
        headers["Accept-Ranges"] = "bytes"
        status = 200
        if asked := self.headers.get("Range"):
            first, _, last = asked.removeprefix("bytes=").partition("-")
            start, stop = int(first), min(int(last or len(data) - 1), len(data) - 1) + 1
            headers["Content-Range"] = f"bytes {start}-{stop - 1}/{len(data)}"
            data, status = data[start:stop], 206
        self._send(status, data, {**headers, "Content-Type": "application/octet-stream"})

    def _reply(
        self, content: Any, status: int = 200, headers: Mapping[str, str] | None = None, kind: str = "application/json"
    ) -> None:
        self._send(status, json.dumps(content).encode(), {"Content-Type": kind, **(headers or {})})

    def _send(self, status: int, data: bytes, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for header, value in {**headers, "Content-Length": str(len(data))}.items():
            self.send_header(header, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)


def _paths_info(files: Files, paths: list[str]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for path in paths:
        if (data := files.get(path)) is not None:
            entry = {"type": "file", "path": path, "size": len(data), "oid": _git_oid(path, data)}
            if path.endswith(LARGE):
                entry["lfs"] = {"oid": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 130}
            found.append(entry)
        elif any(file.startswith(f"{path}/") for file in files):
            found.append({"type": "directory", "path": path, "size": 0, "oid": hashlib.sha1(path.encode()).hexdigest()})
    return found


def _etag(path: str, data: bytes) -> str:
    return hashlib.sha256(data).hexdigest() if path.endswith(LARGE) else _git_oid(path, data)


def _git_oid(path: str, data: bytes) -> str:
    """What git calls the content, by which the clients see that a file has not changed."""
    if path.endswith(LARGE):
        return hashlib.sha256(data).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
