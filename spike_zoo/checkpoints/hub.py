"""Weights on the Hugging Face Hub: ``hf:owner/name`` as a folder with a file of weights."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any, Final

from spike_zoo.errors import MissingFileError, UsageError, WeightsError
from spike_zoo.files import EXPORT_NAME

PREFIX: Final = "hf:"
CARD_NAME: Final = "README.md"  # the Hub shows it as the model's page
#: What a published folder holds; nothing else of it is uploaded.
PUBLISHED_FILES: Final = (EXPORT_NAME, CARD_NAME, "result.json", "config.yaml")
_FORM = re.compile(r"(\w[\w.-]*/\w[\w.-]*)(?:@([\w./-]+))?")
_WAY_OUT = (
    "It takes a network, and an account where the weights are not public ('hf auth login' once, or "
    f"HF_TOKEN); else copy {EXPORT_NAME} here and name its path."
)


def is_on_hub(name: str | Path) -> bool:
    """Return whether a name means weights on the Hub."""
    return str(name).startswith(PREFIX)


def fetch_from_hub(name: str) -> Path:
    """Return the file of weights behind ``hf:owner/name``, fetched where it is not here yet.

    Only ``model.safetensors`` is fetched, which can hold no code. It is kept in the Hub's own
    cache, which serves where there is no network.

    Args:
        name: ``hf:owner/name``, or ``hf:owner/name@revision`` with a branch, tag or commit.

    Raises:
        UsageError: If the name has another form, or the extra ``hub`` is not installed.
        WeightsError: If it cannot be had.
    """
    repository, revision = _parsed(name)
    hub = _hub()
    try:
        found = hub.hf_hub_download(
            repository,
            EXPORT_NAME,
            revision=revision,
            endpoint=os.environ.get("HF_ENDPOINT"),
            library_name="spike-zoo",
        )
    except hub.errors.EntryNotFoundError as error:
        raise WeightsError(
            f"{name}: holds no {EXPORT_NAME}, or cannot be reached. {_WAY_OUT}"
        ) from error
    except (hub.errors.HTTPError, OSError, ValueError) as error:
        raise _refusal(name, "cannot be fetched", error) from error
    return Path(found)


def push_to_hub(folder: str | Path, name: str, *, private: bool = False) -> str:
    """Upload a folder that ``export`` wrote, and return the address of its page.

    The repository is made if it is not there. Only weights, card, record and configuration are
    uploaded.

    Args:
        folder: Holds ``model.safetensors``.
        name: ``hf:owner/name``, or ``hf:owner/name@branch``.
        private: Whether a repository that is made is private.

    Raises:
        MissingFileError: If the folder has no weights.
        UsageError: If the name has another form, or the extra ``hub`` is not installed.
        WeightsError: If it cannot be uploaded.
    """
    if not (Path(folder) / EXPORT_NAME).is_file():
        raise MissingFileError(f"{folder}: holds no {EXPORT_NAME}; write it with 'export'")
    repository, revision = _parsed(name)
    hub = _hub()
    api = hub.HfApi(endpoint=os.environ.get("HF_ENDPOINT"), library_name="spike-zoo")
    try:
        made = api.create_repo(repository, private=private, exist_ok=True)
        api.upload_folder(
            repo_id=repository,
            folder_path=folder,
            revision=revision,
            allow_patterns=list(PUBLISHED_FILES),
            commit_message="Weights of Spike Zoo",
        )
    except (hub.errors.HTTPError, OSError, ValueError) as error:
        raise _refusal(name, "cannot be uploaded", error) from error
    return str(made)


def _parsed(name: str) -> tuple[str, str | None]:
    found = _FORM.fullmatch(name.removeprefix(PREFIX))
    if found is None:
        raise UsageError(f"{name}: write {PREFIX}owner/name, or {PREFIX}owner/name@revision")
    return found[1], found[2]


def _hub() -> Any:  # noqa: ANN401  (a module)
    """Return the Hub's client; UsageError where it is not installed."""
    try:
        import huggingface_hub
        import huggingface_hub.errors
    except ImportError as error:
        raise UsageError(
            f"{PREFIX} needs the Hub's client, which is not installed: pip install 'spike-zoo[hub]'"
        ) from error
    return huggingface_hub


def _refusal(name: str, what: str, error: Exception) -> WeightsError:
    reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
    return WeightsError(f"{name}: {what} ({reason}). {_WAY_OUT}")
