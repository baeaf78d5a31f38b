"""Errors of this package, with their exit codes on the command line."""

import difflib
import re
from collections.abc import Iterable
from typing import Any, ClassVar, Self

#: Control characters and characters that change the direction of text, except tab and newline.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


class SpikeZooError(ValueError):
    """Base class of all errors of this package.

    Args:
        message: One line: file or option, what is wrong, what was expected, what to do.
        code: Code of the violated rule, as ``"E04"`` for archives.
        path: Affected file, or path inside an archive.

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
        """Return the error for a file; its message starts with the path."""
        return cls(f"{path}: {message}", path=str(path), **known)

    def __str__(self) -> str:
        """Return the message; the base class KeyError would quote it."""
        return self.message

    def __reduce__(self) -> tuple[Any, ...]:
        """Support pickling without a call of the constructor, because the base classes differ."""
        return _unpickled, (type(self), self.args, self.__dict__)


def _unpickled(
    kind: type[SpikeZooError], arguments: tuple[Any, ...], state: dict[str, Any]
) -> SpikeZooError:
    make: Any = OSError.__new__ if issubclass(kind, OSError) else ValueError.__new__
    error: SpikeZooError = make(kind, *arguments)
    error.args = arguments
    error.__dict__.update(state)
    return error


class UsageError(SpikeZooError):
    """An option is missing, unknown or out of its range."""

    exit_code = 2


class ConfigError(UsageError):
    """A configuration has a key or value that is not valid."""


class MissingFileError(SpikeZooError, FileNotFoundError):
    """A file or folder does not exist."""

    exit_code = 2


class ExistingFileError(SpikeZooError, FileExistsError):
    """The output file exists, and overwriting is off."""

    exit_code = 2


class RecordingError(SpikeZooError):
    """A recording or an archive cannot be read or written."""


class FormatError(RecordingError):
    """The content of a file does not match its format, or the format is unknown."""


class NotSpikesError(FormatError):
    """A file can be read, but its arrays are not a spike stream."""


class GeometryError(RecordingError):
    """Height, width and the amount of data do not fit together."""


class MissingGeometryError(GeometryError):
    """Height and width of a recording without header are not given."""

    exit_code = 2


class PlaneRangeError(RecordingError, IndexError):
    """Requested planes are outside the recording."""


class VersionError(RecordingError):
    """A file has a schema version that this version of the package cannot read."""


class MissingItemError(RecordingError, KeyError):
    """An archive or file has no recording, split or array of the given name."""

    exit_code = 2


class WeightsError(SpikeZooError):
    """A checkpoint or weights file does not fit the network, or is not trusted."""


class DivergenceError(SpikeZooError):
    """Training produced a loss, gradient or weight that is not finite."""


class MediaError(SpikeZooError):
    """An image or video cannot be read or written."""


def visible(text: str) -> str:
    r"""Return text with control characters escaped, as ``\x1b``, except tab and newline."""
    return _CONTROL.sub(lambda match: ascii(match[0])[1:-1], text)


def first_line(error: BaseException) -> str:
    """Return the first line of the message of an error; the name of its class if it has none."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def closest(word: str, known: Iterable[str], most: int = 1) -> str:
    """Return the hint `` Did you mean 'x'?``; empty if no known word is similar.

    Case is ignored. A word can also be the start of a single known one, or the initials of one, as
    ``lr`` of ``learning_rate``. The hint has up to ``most`` words, the most similar first.
    """
    names = {name.lower(): name for name in sorted(set(known))}
    word = word.lower()
    keys = [key for key in names if key.startswith(word)]
    if len(keys) != 1:
        keys = [key for key in names if _initials(key) == word.lstrip("-")][:most]
    matches = [names[key] for key in keys or difflib.get_close_matches(word, names, n=most)]
    return f" Did you mean {' or '.join(map(repr, matches))}?" if matches else ""


def _initials(name: str) -> str:
    """Return the initials of a name's last part, with the parts before it."""
    before, dot, last = name.lstrip("-").rpartition(".")
    return before + dot + "".join(word[:1] for word in last.split("_")) if "_" in last else name
