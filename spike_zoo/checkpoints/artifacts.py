"""Checkpoints that runs left with W&B: ``wandb:entity/project/name:best`` as a file."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from spike_zoo.errors import SpikeZooError, UsageError, WeightsError

PREFIX = "wandb:"
DEFAULT_ALIAS = "best"
SUFFIXES = (".ckpt", ".safetensors")
SECONDS = 30
_FORM = re.compile(r"(?:([\w.-]+)/)?([\w.-]+)/([\w.-]+)(?::([\w.-]+))?")
_WAY_OUT = (
    "It takes an account ('wandb login' once, or WANDB_API_KEY) and a network; else copy the "
    "checkpoint's file here and name its path."
)


def is_artifact(name: str | Path) -> bool:
    """Return whether a name means an artefact of W&B."""
    return str(name).startswith(PREFIX)


def artifact_folder() -> Path:
    """Return where artefacts are kept once they are here."""
    caches = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(caches) / "spike_zoo" / "artifacts"


def fetch_artifact(name: str, api: Any = None, folder: Path | None = None) -> Path:  # noqa: ANN401  (wandb has no hints)
    """Return the file of a checkpoint that a run left with W&B, fetched where it is not here yet.

    Args:
        name: ``wandb:entity/project/name:alias``; without entity your own, without alias ``best``.
        api: Replaces ``wandb.Api()``.
        folder: Where it goes; by default a folder among the user's caches.

    Raises:
        UsageError: If the name has another form.
        WeightsError: If it cannot be had, or holds anything but one plain file of weights.
    """
    found = _FORM.fullmatch(name.removeprefix(PREFIX))
    if found is None:
        raise UsageError(f"{name}: write {PREFIX}entity/project/name:alias, alias as best or last")
    entity, project, artifact, alias = found.groups()
    path = "/".join(part for part in (entity, project, artifact) if part)
    import wandb

    try:
        remote = (api or _api(name)).artifact(f"{path}:{alias or DEFAULT_ALIAS}", type="model")
        entries = remote.manifest.entries
        file = _file_among(entries, name)
        parts = (str(remote.entity), str(remote.project), str(remote.name))
        place = (folder or artifact_folder()).joinpath(*map(_plain, parts))
        return Path(remote.get_entry(file).download(root=str(place), skip_cache=True))
    except SpikeZooError:
        raise
    except (wandb.errors.Error, OSError, ValueError) as error:  # ValueError: not of type "model"
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise WeightsError(f"{name}: cannot be fetched ({reason}). {_WAY_OUT}") from error


def _api(name: str) -> Any:  # noqa: ANN401  (wandb has no hints)
    """Return W&B's interface without ever asking for a login."""
    import wandb

    if not wandb.login(prompt=False, verify=False):
        raise WeightsError(f"{name}: not logged in to W&B. {_WAY_OUT}")
    return wandb.Api(timeout=SECONDS)


def _file_among(entries: dict[str, Any], name: str) -> str:
    """Return the one file of weights; a crafted artefact may name files anywhere."""
    files = [file for file in entries if file.endswith(SUFFIXES)]
    if len(files) != 1 or Path(files[0]).name != files[0] or entries[files[0]].ref is not None:
        raise WeightsError(
            f"{name}: one plain file of weights ({' or '.join(SUFFIXES)}) is expected, it holds "
            f"{', '.join(entries) or 'nothing'}"
        )
    return files[0]


def _plain(text: str) -> str:
    """Return a name as that of a folder."""
    return re.sub(r"[^\w.-]", "-", text).strip(".") or "-"
