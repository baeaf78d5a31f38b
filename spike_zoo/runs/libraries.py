"""Libraries as a run wants them: quiet, and of the same mind whatever was imported before."""

from __future__ import annotations

import logging
import warnings
from typing import TYPE_CHECKING, Union, get_args

from spike_zoo.errors import visible

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser

#: Warnings of libraries that a user can do nothing about, or that describe what we do on purpose.
_CHATTER = (
    ".*LeafSpec.*",
    ".*does not have many workers.*",
    ".*callbacks used to create the checkpoint.*",
    ".*Checkpoint directory .* exists and is not empty.*",
    ".*is not supported by the model summary.*",
)
#: Packages whose classes a configuration may name with ``--safe``.
TRUSTED = ("spike_zoo", "lightning", "torch", "torchmetrics")
#: Lines of Lightning's log: advertisements, and a blank report of a signal that stopped a run.
_OMITTED = ("Tip:", "SIGTERMException was raised")


def import_trusted_only() -> None:
    """Let configurations name classes of :data:`TRUSTED` alone, for the rest of this process.

    The place where a class is defined counts, so that ``torch.os.system`` is not of torch.
    """
    from jsonargparse import set_parsing_settings

    set_parsing_settings(import_path_denylist=["*"], import_path_allowlist=list(TRUSTED))


def plain_warning(message: Warning | str, *_: object, **__: object) -> str:
    """Return a warning as one line, without the place in the code that gave it."""
    return f"warning: {visible(str(message))}\n"


def quiet_libraries() -> None:
    """Leave out chatter and advertisements of libraries, and places in their code."""
    warnings.formatwarning = plain_warning  # Lightning puts its own there when it is imported
    for message in _CHATTER:
        warnings.filterwarnings("ignore", message=message)
    for name in ("lightning.pytorch.utilities.rank_zero", "lightning.fabric.utilities.rank_zero"):
        logging.getLogger(name).addFilter(_is_of_use)


def _is_of_use(record: logging.LogRecord) -> bool:
    """Return whether a line of Lightning's log says what the program does not say itself."""
    return not any(part in record.getMessage() for part in _OMITTED)


def whole_numbers_first(parser: ArgumentParser) -> None:
    """Let arguments that take whole numbers or fractions take 1 for 1 and not for 1.0.

    A parser tries the types of a union in their order. Lightning says int first, but what
    ``Optional[Union[int, float]]`` is comes out of typing's memory, and is the other way round
    where another library asked for that a moment before.
    """
    for action in parser._actions:
        kinds = list(get_args(getattr(action, "_typehint", None)))
        if int in kinds and float in kinds[: kinds.index(int)]:
            kinds.remove(int)
            action._typehint = Union[(int, *kinds)]  # type: ignore[attr-defined]
