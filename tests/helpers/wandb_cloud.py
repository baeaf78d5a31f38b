"""In-memory server with the API of W&B for runs, files and artefacts."""

import base64
import json
from typing import Any

from tests.helpers.servers import ReplyHandler, Server

KEY = "0123456789abcdef0123456789abcdef01234567"
ENTITY = "me"


class WandbCloud(Server):
    """Server for the client of W&B: GraphQL and file transfer for one project.

    Attributes:
        runs: Run id -> fields sent by the client, such as ``displayName``, ``tags`` or ``config``.
        files: Path -> content of every uploaded file; histories are ``RUN/FILE``.
        artifacts: ``name:alias`` -> fields of a version of an artefact.
        received: Path and content of every request, to search them for secrets.
    """

    def __init__(self) -> None:
        super().__init__(_handler(self))
        self.runs: dict[str, dict[str, Any]] = {}
        self.files: dict[str, bytes] = {}
        self.artifacts: dict[str, dict[str, Any]] = {}
        self.received: list[bytes] = []
        self._versions: list[dict[str, Any]] = []

    @property
    def environment(self) -> dict[str, str]:
        """Environment variables that connect the client to this server."""
        return {"WANDB_BASE_URL": self.address, "WANDB_API_KEY": KEY, "WANDB_ENTITY": ENTITY}

    def answer(self, query: str, variables: dict[str, Any]) -> dict[str, Any]:
        """Return the data of the answer to a GraphQL query."""
        answers = {
            "upsertBucket(": self._upsert,
            "createRunFiles(": self._run_files,
            "createArtifact(": self._create,
            "createArtifactManifest(": self._manifest,
            "createArtifactFiles(": self._artifact_files,
            "commitArtifact(": self._commit,
            "FetchArtifactManifest": self._manifest_url,
        }
        for field, method in answers.items():
            if field in query:
                return method(variables)
        return self._read(query, variables)

    def stream(self, path: str, content: dict[str, Any]) -> None:
        """Append lines of the history, events and summary of a run."""
        run = path.split("/")[-2]
        for name, part in (content.get("files") or {}).items():
            lines = "\n".join(part["content"]) + "\n"
            key = f"{run}/{name}"
            before = b"" if name.endswith("summary.json") else self.files.get(key, b"")
            self.files[key] = before + lines.encode()

    def _upsert(self, variables: dict[str, Any]) -> dict[str, Any]:
        name = variables["name"]
        run = self.runs.setdefault(name, {})
        is_new = not run
        run.update({key: value for key, value in variables.items() if value is not None})
        project = {"id": "p", "name": run["project"], "entity": {"id": "e", "name": ENTITY}}
        fields = {"displayName": run.get("displayName"), "description": None, "config": "{}"}
        bucket = {"id": f"id-{name}", "name": name, **fields, "sweepName": None, "project": project}
        return {"upsertBucket": {"bucket": {**bucket, "historyLineCount": 0}, "inserted": is_new}}

    def _run_files(self, variables: dict[str, Any]) -> dict[str, Any]:
        run = variables["run"]
        files = [
            {"name": name, "uploadUrl": f"{self.address}/upload/{run}/{name}"}
            for name in variables["files"]
        ]
        return {"createRunFiles": {"runID": f"id-{run}", "uploadHeaders": [], "files": files}}

    def _create(self, variables: dict[str, Any]) -> dict[str, Any]:
        arguments = variables.get("input") or variables
        version = {**arguments, "id": f"artifact-{len(self._versions)}"}
        self._versions.append(version)
        state = {"id": version["id"], "state": "PENDING"}
        sequence = {"id": "sequence", "latestArtifact": None}
        return {"createArtifact": {"artifact": {**state, "artifactSequence": sequence}}}

    def _manifest(self, variables: dict[str, Any]) -> dict[str, Any]:
        arguments = variables.get("input") or variables
        artifact = arguments.get("artifactID") or arguments["artifactId"]
        url = f"{self.address}/upload/manifest/{artifact}"
        file = {"id": "file", "name": "manifest", "uploadUrl": url, "uploadHeaders": []}
        manifest = {"id": f"manifest-{artifact}", "file": file}
        return {"createArtifactManifest": {"artifactManifest": manifest}}

    def _manifest_url(self, variables: dict[str, Any]) -> dict[str, Any]:
        url = f"{self.address}/upload/manifest/{variables['id']}"
        return {"artifact": {"currentManifest": {"file": {"directUrl": url}}}}

    def _artifact_files(self, variables: dict[str, Any]) -> dict[str, Any]:
        arguments = variables.get("input") or variables
        specs = arguments.get("artifactFiles") or arguments.get("storageLayout") or []
        edges = []
        for spec in specs:
            url = f"{self.address}/upload/blob/{_hex(spec['md5'])}"
            node = {"id": "file", "name": spec["name"], "displayName": spec["name"]}
            parts = {"storagePath": f"blob/{_hex(spec['md5'])}", "uploadMultipartUrls": None}
            node |= {"uploadUrl": url, "uploadHeaders": [], **parts}
            edges.append({"node": {**node, "artifact": {"id": spec.get("artifactID", "")}}})
        return {"createArtifactFiles": {"files": {"edges": edges}}}

    def _commit(self, variables: dict[str, Any]) -> dict[str, Any]:
        arguments = variables.get("input") or variables
        artifact = arguments.get("artifactID") or arguments["artifactId"]
        version = next(item for item in self._versions if item["id"] == artifact)
        name = version.get("artifactCollectionName") or version["artifactCollectionNames"][0]
        for alias in version.get("aliases") or []:
            self.artifacts[f"{name}:{alias['alias']}"] = version
        return {"commitArtifact": {"artifact": {"id": artifact, "digest": version["digest"]}}}

    def _membership(self, name: str) -> dict[str, Any]:
        version, collection = self.artifacts[name], name.partition(":")[0]
        project = {"id": "p", "internalId": "p", "name": version["projectName"]}
        project |= {"entity": {"name": ENTITY}}
        collection_fields = {"name": collection, "project": project}
        artifact = {
            **{"__typename": "Artifact", "id": version["id"], "versionIndex": 0},
            **{"artifactSequence": {"__typename": "ArtifactSequence", **collection_fields}},
            **{"artifactType": {"name": version["artifactTypeName"]}, "description": None},
            **{"metadata": version["metadata"], "ttlDurationSeconds": -1, "ttlIsInherited": True},
            **{"tags": [], "historyStep": None, "state": "COMMITTED", "size": 1, "fileCount": 1},
            **{"digest": version["digest"], "digestAlgorithm": "MANIFEST_MD5", "commitHash": "c"},
            **{"createdAt": "2026-01-01T00:00:00Z", "updatedAt": None, "aliases": []},
        }
        return {
            **{"__typename": "ArtifactCollectionMembership", "id": "m", "versionIndex": 0},
            **{"createdAt": "2026-01-01T00:00:00Z", "aliases": [], "artifact": artifact},
            **{"artifactCollection": {"__typename": "ArtifactSequence", **collection_fields}},
        }

    def _read(self, query: str, variables: dict[str, Any]) -> dict[str, Any]:
        viewer = {"id": "u", "entity": ENTITY, "username": ENTITY, "email": "me@example.org"}
        teams = {"teams": {"edges": []}, "flags": "{}", "apiKeys": {"edges": []}, "admin": False}
        project: dict[str, Any] = {"artifact": None, "artifactCollectionMembership": None}
        if "artifactCollectionMembership" in query and variables["name"] in self.artifacts:
            project["artifactCollectionMembership"] = self._membership(variables["name"])
        return {"viewer": {**viewer, **teams}, "serverInfo": None, "project": project}


def _hex(digest: str) -> str:
    return base64.b64decode(digest).hex()


def _handler(cloud: WandbCloud) -> type[ReplyHandler]:
    class Handler(ReplyHandler):
        def do_GET(self) -> None:
            parts = self.path.split("/")
            path = f"blob/{parts[-2]}" if "artifactsV2" in parts else "/".join(parts[2:])
            content = cloud.files.get(path)
            self.send_content(content or b"", 404 if content is None else 200)

        def do_PUT(self) -> None:
            content = self._received()
            cloud.files[self.path.removeprefix("/upload/")] = content
            self.send_content(b"")

        def do_POST(self) -> None:
            content = self._received()
            if self.path == "/graphql":
                request = json.loads(content)
                data = cloud.answer(request["query"], request.get("variables") or {})
                self.send_json({"data": data})
            elif self.path.endswith("/file_stream"):
                cloud.stream(self.path, json.loads(content))
                self.send_json({})
            else:  # telemetry of the client
                self.send_content(b"")

        def _received(self) -> bytes:
            content = self.body()
            cloud.received.append(self.path.encode() + b" " + content)
            return content

    return Handler
