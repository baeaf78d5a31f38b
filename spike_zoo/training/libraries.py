"""Warning filters, import restrictions and parser fixes for Lightning and jsonargparse."""

from __future__ import annotations

import logging
import sys
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Union, get_args

from spike_zoo.errors import visible

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jsonargparse import ArgumentParser

#: Warnings that a user cannot act on, or that concern intended behaviour of this package.
_IGNORED_WARNINGS = (
    ".*LeafSpec.*",
    ".*does not have many workers.*",
    ".*callbacks used to create the checkpoint.*",
    ".*Checkpoint directory .* exists and is not empty.*",
    ".*is not supported by the model summary.*",
    ".*is an instance of `nn.Module` and is already saved during checkpointing.*",
)
#: Packages whose classes a configuration may import with ``--safe``.
TRUSTED = ("spike_zoo", "lightning", "torch", "torchmetrics")
#: Omitted lines of Lightning's log: advertisements, and a report of SIGTERM without a message.
_OMITTED = ("Tip:", "SIGTERMException was raised")


def import_trusted_only() -> None:
    """Restrict the imports of configurations to :data:`TRUSTED`, for the rest of this process.

    The module that defines an object decides: ``torch.os.system`` is rejected.
    """
    from jsonargparse import set_parsing_settings

    set_parsing_settings(import_path_denylist=["*"], import_path_allowlist=list(TRUSTED))


def plain_warning(message: Warning | str, *_: object, **__: object) -> str:
    """Return a warning as one line, without its source file and line."""
    return f"warning: {visible(str(message))}\n"


def quiet_libraries() -> None:
    """Filter warnings and advertisements of libraries; print warnings without source lines."""
    warnings.formatwarning = plain_warning  # overwrites the one that Lightning sets on import
    for message in _IGNORED_WARNINGS:
        warnings.filterwarnings("ignore", message=message)
    for name in ("lightning.pytorch.utilities.rank_zero", "lightning.fabric.utilities.rank_zero"):
        logging.getLogger(name).addFilter(_is_relevant)


def _is_relevant(record: logging.LogRecord) -> bool:
    """Return False for log lines of Lightning that repeat or advertise."""
    return not any(part in record.getMessage() for part in _OMITTED)


def whole_numbers_first(parser: ArgumentParser) -> None:
    """Parse ``1`` as int for arguments whose type is a union of int and float.

    A parser tries the types of a union in their order. Lightning's annotations have int first, but
    ``typing`` caches ``Optional[Union[...]]`` without regard to order. If another library has used
    the union with float first, Lightning gets this order.
    """
    for action in parser._actions:
        kinds = list(get_args(getattr(action, "_typehint", None)))
        if int in kinds and float in kinds[: kinds.index(int)]:
            kinds.remove(int)
            action._typehint = Union[(int, *kinds)]  # type: ignore[attr-defined]


@contextmanager
def process_arguments(arguments: list[str]) -> Iterator[None]:
    """Set ``sys.argv``, which Lightning reads, also in the processes that it starts."""
    before = sys.argv
    sys.argv = [before[0], *arguments]
    try:
        yield
    finally:
        sys.argv = before
