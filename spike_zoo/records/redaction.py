"""What must not leave this machine with a run: secrets, and whose folders its files lie in."""

from __future__ import annotations

import getpass
import re
from pathlib import Path
from typing import Any

HIDDEN = "(hidden)"
_SECRET_NAME = re.compile(r"(api_?key|password|passwd|secret|token|credentials?)$", re.IGNORECASE)
_CREDENTIALS = re.compile(r"(?<=://)[^/@\s]+@")  # of an address: user:token@host


def redact(value: Any) -> Any:  # noqa: ANN401  (any value of a configuration)
    """Return a configuration or record as it may be shown to others.

    Values whose name says that they are secret are hidden, as are a user and password inside an
    address. Paths below the working folder become relative, others lose home folder and user name.

    Args:
        value: Plain values, in dictionaries and lists.
    """
    if isinstance(value, dict):
        return {
            redact(name): HIDDEN if one and _SECRET_NAME.search(str(name)) else redact(one)
            for name, one in value.items()
        }
    if isinstance(value, list | tuple):
        return [redact(one) for one in value]
    return _shown(str(value)) if isinstance(value, str | Path) else value


def _shown(text: str) -> str:
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
    except (KeyError, OSError, ImportError):  # a container's user may have no name
        return None
