"""Check of W&B's settings, in variables and in the configuration, before a run uses them."""

from __future__ import annotations

import os
import re
import warnings
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

_RESERVED = re.compile(r"[\\/:;,#?%']")  # not allowed in names of projects and ids of runs
_NAMED = ("project", "id")
_SERVICE = "WANDB_SERVICE"  # of a W&B process that another process started


def valid_settings(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the valid ones of some settings; warn of the others."""
    import wandb

    valid = dict(given)
    for name, value in given.items():
        try:
            wandb.Settings(**{name: value})
        except (ValueError, wandb.errors.Error) as error:
            _warn(f"logger settings {name}", error)
            del valid[name]
    return valid


def valid_names(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a run with ``-`` for reserved characters of its project and id."""
    names = {name: value for name in _NAMED if isinstance(value := arguments.get(name), str)}
    changed = {name: _RESERVED.sub("-", value) for name, value in names.items()}
    for name, value in changed.items():
        if value != names[name]:
            warnings.warn(f"W&B: {name} {names[name]!r} is changed to {value!r}", stacklevel=2)
    return {**arguments, **changed}


def remove_invalid_variables() -> None:
    """Remove variables ``WANDB_*`` that W&B rejects from the environment, and warn of them."""
    import wandb

    for name in [name for name in os.environ if name.startswith("WANDB_") and name != _SERVICE]:
        try:
            wandb.Settings().update_from_env_vars({name: os.environ[name]})
        except (ValueError, wandb.errors.Error) as error:
            _warn(f"variable {name}", error)
            del os.environ[name]
    if _SERVICE in os.environ:
        from wandb.sdk.lib.service.service_token import WandbServiceConnectionError

        try:
            wandb.setup()
        except (ValueError, OSError, WandbServiceConnectionError, wandb.errors.Error) as error:
            _warn(f"variable {_SERVICE}", error)
            del os.environ[_SERVICE]


def _warn(what: str, error: Exception) -> None:
    reasons = getattr(error, "errors", None)  # of pydantic, whose text repeats the value
    text = reasons()[0]["msg"] if callable(reasons) else next(iter(str(error).splitlines()), "")
    warnings.warn(f"W&B: {what} is ignored ({text})", stacklevel=2)
