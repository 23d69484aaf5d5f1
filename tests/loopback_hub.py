"""A small Hugging Face Hub on loopback, for the Hub's own client: repositories, uploads small and large, downloads.

It keeps everything in memory, checks tokens, and cuts connections when told to.
"""

import base64
import hashlib
import json
import os
import re
import socket
import struct
import threading
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

TOKEN = "hf_loopbackSecret0123456789"
LARGE = (".safetensors", ".parquet", ".png")  # go to large file storage, as on the Hub
LICENCES = ("afl-3.0", "apache-2.0", "mit", "cc-by-4.0")


@dataclass
class Repository:
    private: bool
    files: dict[str, bytes] = field(default_factory=dict)

    @property
    def commit(self):
        return _sha1(json.dumps(sorted((name, _sha1(content)) for name, content in self.files.items())).encode())


def _sha1(content):
    return hashlib.sha1(content).hexdigest()


class LoopbackHub(AbstractContextManager):
    """The Hub, running while the `with` block does.

    Attributes:
        url: What HF_ENDPOINT is to be.
        repositories: (`model` or `dataset`, `owner/name`) -> repository.
        requests: (method, path) of every request, in order.
        cut: Part of a path -> how many uploads to it are cut off in the middle.
    """

    def __init__(self):
        self.repositories: dict[tuple[str, str], Repository] = {}
        self.large: dict[str, bytes] = {}
        self.requests: list[tuple[str, str]] = []
        self.cut: dict[str, int] = {}
        self.lock = threading.Lock()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": self}))
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def __enter__(self):
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *error):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    def environment(self, home, token=TOKEN, **more):
        """Variables of a process that knows this Hub only, with caches of its own in `home`."""
        variables = {
            "HF_ENDPOINT": self.url,
            "HF_HOME": str(home),
            "HF_HUB_OFFLINE": "0",
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_DATASETS_CACHE": os.path.join(home, "datasets"),
        }
        return {**variables, **({"HF_TOKEN": token} if token is not None else {}), **more}

    def model(self, repo_id):
        """Name -> content of a model's repository."""
        return self.repositories["model", repo_id].files

    def writes(self):
        """What was sent besides questions."""
        return [path for method, path in self.requests if method in ("POST", "PUT") and "validate" not in path]


class _Handler(BaseHTTPRequestHandler):
    hub: LoopbackHub
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments):
        pass

    def do_GET(self):
        self._serve("GET")

    def do_HEAD(self):
        self._serve("HEAD")

    def do_POST(self):
        self._serve("POST")

    def do_PUT(self):
        self._serve("PUT")

    def _serve(self, method):
        self.method, self.path_only = method, unquote(urlsplit(self.path).path)
        with self.hub.lock:
            self.hub.requests.append((method, self.path_only))
        if self._is_cut():
            return
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        given = self.headers.get("Authorization")
        if given is not None and given != f"Bearer {TOKEN}":
            message = "Invalid credentials in Authorization header"
            return self._json({"error": message}, 401, {"X-Error-Message": message})
        self.known = given is not None
        for pattern, name in ROUTES:
            match = re.fullmatch(pattern, self.path_only)
            if match:
                return getattr(self, name)(**match.groupdict())
        return self._json({"error": "not here"}, 404)

    def _is_cut(self):
        """Read half of an upload and reset the connection, as often as asked for."""
        with self.hub.lock:
            part = next((part for part, left in self.hub.cut.items() if part in self.path_only and left > 0), None)
            if part is None:
                return False
            self.hub.cut[part] -= 1
        self.rfile.read(int(self.headers.get("Content-Length") or 0) // 2)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.close()
        return True

    def _json(self, value, status=200, headers=None):
        self._send(json.dumps(value).encode(), status, {"Content-Type": "application/json", **(headers or {})})

    def _send(self, content, status=200, headers=None):
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.method != "HEAD":
            self.wfile.write(content)

    def _found(self, kind, id):
        """A repository that the sender may see; else the answer is 404, or 401 without a token, as on the Hub."""
        repository = self.hub.repositories.get((kind, id))
        if repository is None or (repository.private and not self.known):
            status = 404 if self.known else 401
            self._json({"error": "Repository not found"}, status, {"X-Error-Code": "RepoNotFound"})
            return None
        return repository

    def whoami(self):
        self._json({"name": "me", "type": "user", "orgs": []}, 200 if self.known else 401)

    def validate(self):
        licence = re.search(r"^license: (.+)$", json.loads(self.body)["content"], re.MULTILINE)
        if licence and licence[1] not in LICENCES:
            message = f'"license" must be one of {", ".join(LICENCES)}'
            return self._json({"errors": [{"message": message}], "warnings": []}, 400)
        return self._json({"errors": [], "warnings": []})

    def create(self):
        asked = json.loads(self.body)
        if not self.known:
            return self._json({"error": "Unauthorized"}, 401)
        owner = asked.get("organization") or "me"
        if owner != "me":
            return self._json({"error": "You don't have the rights to create a model under this namespace"}, 403)
        key = (asked.get("type") or "model", f"{owner}/{asked['name']}")
        url = f"{self.hub.url}/{'datasets/' if key[0] == 'dataset' else ''}{key[1]}"
        if key in self.hub.repositories:
            return self._json({"url": url, "error": "You already created this repo"}, 409)
        self.hub.repositories[key] = Repository(asked.get("visibility") == "private" or asked.get("private") is True)
        return self._json({"url": url})

    def info(self, kind, id, revision=None):
        repository = self._found(kind, id)
        if repository is None:
            return
        names = [{"rfilename": name} for name in repository.files]
        about = {"_id": "0", "id": id, "modelId": id, "tags": [], "downloads": 0, "likes": 0, "gated": False}
        self._json({**about, "sha": repository.commit, "siblings": names, "private": repository.private})

    def preupload(self, kind, id, revision):
        if self._found(kind, id) is None:
            return
        modes = [
            {
                "path": file["path"],
                "uploadMode": "lfs" if file["path"].endswith(LARGE) else "regular",
                "shouldIgnore": False,
            }
            for file in json.loads(self.body)["files"]
        ]
        self._json({"files": modes})

    def batch(self, id, kind=None):
        objects = [
            {**found, "actions": {"upload": {"href": f"{self.hub.url}/storage/{found['oid']}"}}}
            for found in json.loads(self.body)["objects"]
        ]
        self._json({"transfer": "basic", "objects": objects})

    def store(self, oid):
        assert hashlib.sha256(self.body).hexdigest() == oid
        self.hub.large[oid] = self.body
        self._send(b"")

    def commit(self, kind, id, revision):
        repository = self._found(kind, id)
        if repository is None:
            return
        for line in self.body.splitlines():
            change = json.loads(line)
            value = change["value"]
            if change["key"] == "file":
                repository.files[value["path"]] = base64.b64decode(value["content"])
            elif change["key"] == "lfsFile":
                repository.files[value["path"]] = self.hub.large[value["oid"]]
            elif change["key"] == "deletedFile":
                del repository.files[value["path"]]
        url = f"{self.hub.url}/{'datasets/' if kind == 'dataset' else ''}{id}/commit/{repository.commit}"
        self._json({"commitUrl": url, "commitOid": repository.commit, "pullRequestUrl": None})

    def tree(self, kind, id, revision, path=""):
        repository = self._found(kind, id)
        if repository is None:
            return
        start = f"{path}/" if path else ""
        inside = {name: content for name, content in repository.files.items() if name.startswith(start)}
        if path and not inside:
            return self._json({"error": "Entry not found"}, 404, {"X-Error-Code": "EntryNotFound"})
        deep = "recursive=true" in urlsplit(self.path).query.lower()
        files = [_entry(name, content) for name, content in inside.items() if deep or "/" not in name[len(start) :]]
        folders = {name.rpartition("/")[0] for name in inside if "/" in name[len(start) :]}
        return self._json([*files, *map(_folder, sorted(folders))])

    def paths_info(self, kind, id, revision):
        repository = self._found(kind, id)
        if repository is None:
            return
        text = self.body.decode()
        asked = json.loads(text)["paths"] if text.startswith("{") else parse_qs(text).get("paths", [])
        folders = {name.rpartition("/")[0] for name in repository.files if "/" in name}
        found = [_entry(path, repository.files[path]) for path in asked if path in repository.files]
        found += [_folder(path) for path in asked if path in folders]
        self._json(found)

    def resolve(self, id, revision, path, kind=None):
        repository = self._found("dataset" if kind else "model", id)
        if repository is None:
            return
        if path not in repository.files:
            return self._json({"error": "Entry not found"}, 404, {"X-Error-Code": "EntryNotFound"})
        content = repository.files[path]
        start, total, status, headers = 0, len(content), 200, {}
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if asked:
            start, end = int(asked[1]), int(asked[2] or total - 1)
            content, status = content[start : end + 1], 206
            headers["Content-Range"] = f"bytes {start}-{start + len(content) - 1}/{total}"
        about = {"ETag": f'"{_sha1(repository.files[path])}"', "X-Repo-Commit": repository.commit}
        self._send(content, status, {**about, "Accept-Ranges": "bytes", **headers})


def _entry(name, content):
    return {"type": "file", "path": name, "size": len(content), "oid": _sha1(content)}


def _folder(name):
    return {"type": "directory", "path": name, "size": 0, "oid": _sha1(name.encode())}


ID = r"(?P<id>[^/]+/[^/]+)"
API = rf"/api/(?P<kind>model|dataset)s/{ID}"
ROUTES = (
    (r"/api/whoami-v2", "whoami"),
    (r"/api/validate-yaml", "validate"),
    (r"/api/repos/create", "create"),
    (rf"{API}(/revision/(?P<revision>[^/]+))?", "info"),
    (rf"{API}/preupload/(?P<revision>[^/]+)", "preupload"),
    (rf"{API}/commit/(?P<revision>[^/]+)", "commit"),
    (rf"{API}/tree/(?P<revision>[^/]+)(/(?P<path>.*))?", "tree"),
    (rf"{API}/paths-info/(?P<revision>[^/]+)", "paths_info"),
    (rf"/(?P<kind>datasets/)?{ID}\.git/info/lfs/objects/batch", "batch"),
    (r"/storage/(?P<oid>\w+)", "store"),
    (rf"/(?P<kind>datasets/)?{ID}/resolve/(?P<revision>[^/]+)/(?P<path>.+)", "resolve"),
)
