"""In-memory server with the API of the Hugging Face Hub, for upload and download."""

import base64
import hashlib
import json
import re
from typing import Any

from tests.helpers.servers import ReplyHandler, Server

COMMIT = "0123456789abcdef0123456789abcdef01234567"
TOKEN = "hf_stand_in_token"


class HubServer(Server):
    """Server for the client ``huggingface_hub``.

    Attributes:
        files: Repository -> path -> content.
        private: Whether a repository was made private.
    """

    def __init__(self) -> None:
        super().__init__(type("Handler", (_Handler,), {"hub": self}))
        self.files: dict[str, dict[str, bytes]] = {}
        self.private: dict[str, bool] = {}

    def create(self, body: dict[str, Any]) -> dict[str, Any]:
        """Create a repository."""
        name = "/".join(part for part in (body.get("organization"), body["name"]) if part)
        self.files.setdefault(name, {})
        secret = body.get("private") or body.get("visibility") == "private"
        self.private.setdefault(name, bool(secret))
        return {"url": f"{self.address}/{name}", "name": name, "id": name}

    def commit(self, repository: str, lines: list[dict[str, Any]]) -> dict[str, Any]:
        """Store the files of a commit."""
        for line in lines:
            if line["key"] == "file":
                value = line["value"]
                self.files[repository][value["path"]] = base64.b64decode(value["content"])
        return {"commitUrl": f"{self.address}/{repository}/commit/{COMMIT}", "commitOid": COMMIT}


class _Handler(ReplyHandler):
    protocol_version = "HTTP/1.1"
    hub: HubServer

    def do_HEAD(self) -> None:
        self._file()

    def do_GET(self) -> None:
        if self.path.startswith("/api/models/"):
            match = re.match(r"/api/models/([^/]+/[^/?]+)", self.path)
            name = match[1] if match else ""
            if name in self.hub.files:
                siblings = [{"rfilename": path} for path in self.hub.files[name]]
                self.send_json({"id": name, "sha": COMMIT, "siblings": siblings})
            else:
                self._missing("RepoNotFound")
            return
        self._file()

    def do_POST(self) -> None:
        body = self.body()
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self.send_json({"error": "Invalid credentials"}, status=401)
        elif self.path == "/api/repos/create":
            self.send_json(self.hub.create(json.loads(body)))
        elif match := re.fullmatch(r"/api/models/([^/]+/[^/]+)/preupload/[^/?]+", self.path):
            files = json.loads(body)["files"]
            plain = {"uploadMode": "regular", "shouldIgnore": False}
            self.send_json({"files": [{"path": file["path"], **plain} for file in files]})
        elif match := re.fullmatch(r"/api/models/([^/]+/[^/]+)/commit/[^/?]+", self.path):
            lines = [json.loads(line) for line in body.splitlines() if line]
            self.send_json(self.hub.commit(match[1], lines))
        else:
            self.send_json({"valid": True})

    def _file(self) -> None:
        match = re.match(r"/([^/]+/[^/]+)/resolve/[^/]+/([^?]+)", self.path)
        content = self.hub.files.get(match[1], {}).get(match[2]) if match else None
        if content is None:
            has_repository = match is not None and match[1] in self.hub.files
            self._missing("EntryNotFound" if has_repository else "RepoNotFound")
            return
        digest = hashlib.sha256(content).hexdigest()
        self.send_content(content, 200, **{"X-Repo-Commit": COMMIT, "ETag": f'"{digest}"'})

    def _missing(self, code: str) -> None:
        self.send_json({"error": "not found"}, status=404, **{"X-Error-Code": code})
