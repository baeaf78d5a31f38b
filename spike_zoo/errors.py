"""Every error a user can cause, with the exit code it means on the command line."""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING, Any, ClassVar, Self

if TYPE_CHECKING:
    from collections.abc import Iterable

#: Characters that change a terminal or the order of text, but for tab and newline.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


class SpikeZooError(ValueError):
    """The root of all errors of this package: one readable line and what to do.

    Args:
        message: One line: where, what is wrong, what was expected, the way out.
        code: Code of the violated rule, as ``"E04"`` for archives.
        path: File, or path inside an archive, that the error is about.

    Example:
        >>> import spike_zoo
        >>> try:
        ...     spike_zoo.read_recording("none.npz")
        ... except spike_zoo.SpikeZooError as error:
        ...     print(error)
        none.npz: there is no such file
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, code: str | None = None, path: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.path = path

    @classmethod
    def at(cls, path: object, message: str, **known: Any) -> Self:
        """Return the error of a file, whose message begins with its path."""
        return cls(f"{path}: {message}", path=str(path), **known)

    def __str__(self) -> str:
        """Return the message itself, also where a base class would quote it."""
        return self.message

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle without calling the constructor, whose base classes differ."""
        return _restored, (type(self), self.args, self.__dict__)


def _restored(
    kind: type[SpikeZooError], arguments: tuple[Any, ...], state: dict[str, Any]
) -> SpikeZooError:
    make: Any = OSError.__new__ if issubclass(kind, OSError) else ValueError.__new__
    error: SpikeZooError = make(kind, *arguments)
    error.args = arguments
    error.__dict__.update(state)
    return error


class UsageError(SpikeZooError):
    """The call cannot mean anything: an option is missing, unknown or out of its range."""

    exit_code = 2


class ConfigError(UsageError):
    """A configuration names a key or value that no class takes."""


class MissingFileError(SpikeZooError, FileNotFoundError):
    """A file or folder that the call names does not exist."""

    exit_code = 2


class ExistingFileError(SpikeZooError, FileExistsError):
    """The target exists and overwriting was not asked for."""

    exit_code = 2


class RecordingError(SpikeZooError):
    """A recording or an archive of recordings cannot be read or written as asked."""


class FormatError(RecordingError):
    """The content is not of the format it claims, or of none that is known."""


class NotSpikesError(FormatError):
    """A file can be read, but its arrays are not a spike stream."""


class GeometryError(RecordingError):
    """Height, width and the amount of data do not fit together."""


class MissingGeometryError(GeometryError):
    """A headerless recording was named without its height and width."""

    exit_code = 2


class PlaneRangeError(RecordingError, IndexError):
    """Planes outside the recording were asked for."""


class VersionError(RecordingError):
    """A file was written by a newer schema than this package reads."""


class MissingItemError(RecordingError, KeyError):
    """An archive or file has no recording, split or array of that name."""

    exit_code = 2


class WeightsError(SpikeZooError):
    """A checkpoint or weights file does not fit the network, or is not trusted."""


class DivergenceError(SpikeZooError):
    """Training produced a loss, gradient or weight that is not finite."""


class MediaError(SpikeZooError):
    """A picture or video cannot be read or written."""


def visible(text: str) -> str:
    r"""Return text with control characters as escapes, as ``\x1b``, but for tab and newline."""
    return _CONTROL.sub(lambda found: ascii(found[0])[1:-1], text)


def closest(word: str, known: Iterable[str], most: int = 1) -> str:
    """Return `` Did you mean 'x'?`` where known words are close, else nothing.

    Args:
        word: What was given.
        known: What there is.
        most: How many are named at most, the closest first.
    """
    found = difflib.get_close_matches(word, sorted(set(known)), n=most)
    return f" Did you mean {' or '.join(map(repr, found))}?" if found else ""
