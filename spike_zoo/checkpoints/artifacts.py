"""Download of checkpoints from W&B artefacts (``wandb:entity/project/name:best``)."""

import os
import re
from pathlib import Path
from typing import Any

from spike_zoo.errors import SpikeZooError, UsageError, WeightsError, first_line
from spike_zoo.utils.files import plain_name

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
    """Return whether a name refers to a W&B artefact."""
    return str(name).startswith(PREFIX)


def artifact_folder() -> Path:
    """Return the folder of downloaded artefacts."""
    caches = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(caches) / "spike_zoo" / "artifacts"


def fetch_artifact(name: str, api: Any = None, folder: Path | None = None) -> Path:  # noqa: ANN401  (wandb has no hints)
    """Return the checkpoint file of a W&B artefact; download the file unless it is cached.

    Args:
        name: ``wandb:entity/project/name:alias``. The default entity is the user's, the default
            alias is ``best``.
        api: Replaces ``wandb.Api()``.
        folder: Folder of the download; by default in the user's cache folder.

    Raises:
        UsageError: If the name has another form.
        WeightsError: If the artefact cannot be fetched, or does not contain exactly one plain
            weights file.
    """
    parts_of_name = _FORM.fullmatch(name.removeprefix(PREFIX))
    if parts_of_name is None:
        raise UsageError(f"{name}: write {PREFIX}entity/project/name:alias, alias as best or last")
    entity, project, artifact, alias = parts_of_name.groups()
    path = "/".join(part for part in (entity, project, artifact) if part)
    import wandb

    try:
        remote = (api or _api(name)).artifact(f"{path}:{alias or DEFAULT_ALIAS}", type="model")
        entries = remote.manifest.entries
        file = _file_among(entries, name)
        parts = (str(remote.entity), str(remote.project), str(remote.name))
        place = (folder or artifact_folder()).joinpath(*map(plain_name, parts))
        return Path(remote.get_entry(file).download(root=str(place), skip_cache=True))
    except SpikeZooError:
        raise
    except (wandb.errors.Error, OSError, ValueError) as error:  # ValueError: type is not "model"
        raise WeightsError(
            f"{name}: cannot be fetched ({first_line(error)}). {_WAY_OUT}"
        ) from error


def _api(name: str) -> Any:  # noqa: ANN401  (wandb has no hints)
    """Return W&B's API client; raise WeightsError, without a login prompt, if not logged in."""
    import wandb

    if not wandb.login(prompt=False, verify=False):
        raise WeightsError(f"{name}: not logged in to W&B. {_WAY_OUT}")
    return wandb.Api(timeout=SECONDS)


def _file_among(entries: dict[str, Any], name: str) -> str:
    """Return the name of the weights file; reject paths, since a crafted artefact may hold any."""
    files = [file for file in entries if file.endswith(SUFFIXES)]
    if len(files) != 1 or Path(files[0]).name != files[0] or entries[files[0]].ref is not None:
        raise WeightsError(
            f"{name}: one plain file of weights ({' or '.join(SUFFIXES)}) is expected, it holds "
            f"{', '.join(entries) or 'nothing'}"
        )
    return files[0]
