"""Redaction of secrets and home directories in configurations and records."""

from __future__ import annotations

import getpass
import re
from pathlib import Path
from typing import Any

HIDDEN = "(hidden)"
_SECRET_NAME = re.compile(r"(api_?key|password|passwd|secret|token|credentials?)$", re.IGNORECASE)
_CREDENTIALS = re.compile(r"(?<=://)[^/@\s]+@")  # user:token@ before the host of an address


def redact(value: Any) -> Any:  # noqa: ANN401  (any value of a configuration)
    """Return a configuration or record without secrets and personal folder names.

    Values of keys such as ``token`` or ``password`` are replaced by ``(hidden)``. User and password
    are removed from addresses. Paths inside the working folder become relative. In other absolute
    paths the home folder becomes ``~`` and the user name becomes ``USER``.

    Args:
        value: Plain values, in dictionaries and lists.
    """
    if isinstance(value, dict):
        return {
            redact(name): HIDDEN if item and _SECRET_NAME.search(str(name)) else redact(item)
            for name, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [redact(item) for item in value]
    return _redacted_text(str(value)) if isinstance(value, str | Path) else value


def _redacted_text(text: str) -> str:
    text = _CREDENTIALS.sub("", text)
    if not text.startswith("/"):
        return text
    path = Path(text)
    if path.is_relative_to(Path.cwd()):
        return str(path.relative_to(Path.cwd()))
    if path.is_relative_to(Path.home()):
        return str(Path("~") / path.relative_to(Path.home()))
    root, *parts = path.parts
    return str(Path(root, *("USER" if part == _user() else part for part in parts)))


def _user() -> str | None:
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # the user of a container may have no name
        return None
