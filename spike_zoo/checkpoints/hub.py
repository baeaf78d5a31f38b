"""Download and upload of weights on the Hugging Face Hub (``hf:owner/name``)."""

import os
import re
from pathlib import Path
from typing import Any, Final

from spike_zoo.errors import MissingFileError, UsageError, WeightsError, first_line
from spike_zoo.utils.files import EXPORT_NAME

PREFIX: Final = "hf:"
CARD_NAME: Final = "README.md"  # the Hub shows it as the model's page
#: Files of a published folder; other files are not uploaded.
PUBLISHED_FILES: Final = (EXPORT_NAME, CARD_NAME, "result.json", "config.yaml")
_FORM = re.compile(r"(\w[\w.-]*/\w[\w.-]*)(?:@([\w./-]+))?")
_WAY_OUT = (
    "It takes a network, and an account where the weights are not public ('hf auth login' once, or "
    f"HF_TOKEN); else copy {EXPORT_NAME} here and name its path."
)


def is_on_hub(name: str | Path) -> bool:
    """Return whether a name refers to weights on the Hub."""
    return str(name).startswith(PREFIX)


def fetch_from_hub(name: str) -> Path:
    """Return the weights file of ``hf:owner/name``; download the file unless it is cached.

    Only ``model.safetensors`` is downloaded, a format that cannot contain code. The file is kept in
    the Hub client's cache, which also works without a network.

    Args:
        name: ``hf:owner/name``, or ``hf:owner/name@revision`` with a branch, tag or commit.

    Raises:
        UsageError: If the name has another form, or the extra ``hub`` is not installed.
        WeightsError: If the file cannot be fetched.
    """
    repository, revision = _parsed(name)
    hub = _hub()
    try:
        file = hub.hf_hub_download(
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
        raise _transfer_error(name, "cannot be fetched", error) from error
    return Path(file)


def push_to_hub(folder: str | Path, name: str, *, private: bool = False) -> str:
    """Upload a folder that ``export`` wrote, and return the URL of its page.

    The repository is created if it does not exist. Only weights, model card, record and
    configuration are uploaded.

    Args:
        folder: Folder with ``model.safetensors``.
        name: ``hf:owner/name``, or ``hf:owner/name@branch``.
        private: Whether a new repository is private.

    Raises:
        MissingFileError: If the folder has no weights.
        UsageError: If the name has another form, or the extra ``hub`` is not installed.
        WeightsError: If the folder cannot be uploaded.
    """
    if not (Path(folder) / EXPORT_NAME).is_file():
        raise MissingFileError(f"{folder}: holds no {EXPORT_NAME}; write it with 'export'")
    repository, revision = _parsed(name)
    hub = _hub()
    api = hub.HfApi(endpoint=os.environ.get("HF_ENDPOINT"), library_name="spike-zoo")
    try:
        url = api.create_repo(repository, private=private, exist_ok=True)
        api.upload_folder(
            repo_id=repository,
            folder_path=folder,
            revision=revision,
            allow_patterns=list(PUBLISHED_FILES),
            commit_message="Weights of Spike Zoo",
        )
    except (hub.errors.HTTPError, OSError, ValueError) as error:
        raise _transfer_error(name, "cannot be uploaded", error) from error
    return str(url)


def _parsed(name: str) -> tuple[str, str | None]:
    match = _FORM.fullmatch(name.removeprefix(PREFIX))
    if match is None:
        raise UsageError(f"{name}: write {PREFIX}owner/name, or {PREFIX}owner/name@revision")
    return match[1], match[2]


def _hub() -> Any:  # noqa: ANN401  (a module)
    """Return the Hub's client; raise UsageError if it is not installed."""
    try:
        import huggingface_hub
        import huggingface_hub.errors
    except ImportError as error:
        raise UsageError(
            f"{PREFIX} needs the Hub's client, which is not installed: pip install 'spike-zoo[hub]'"
        ) from error
    return huggingface_hub


def _transfer_error(name: str, what: str, error: Exception) -> WeightsError:
    return WeightsError(f"{name}: {what} ({first_line(error)}). {_WAY_OUT}")
