"""Protocols of abilities that commands require: reconstruct, deblur, classify or compress.

They are Protocols, not base classes, so that methods without training do not import Lightning. The
base classes describe the methods: :class:`ClipReconstruction`, :class:`DeblurModule`,
:class:`ClassificationModule`.
"""

from __future__ import annotations

from argparse import ArgumentError
from dataclasses import dataclass
from typing import (
    TYPE_CHECKING,
    Any,
    Final,
    Protocol,
    TypeVar,
    get_type_hints,
    runtime_checkable,
)

from spike_zoo.errors import UsageError, closest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from spike_zoo.coding import BitstreamError, BitstreamReader, Header
    from spike_zoo.spikes import SpikeRecording

Ability = TypeVar("Ability")


@runtime_checkable
class Reconstructs(Protocol):
    """Ability to reconstruct images from spikes, see :class:`ClipReconstruction`."""

    clip_length: int
    inference_options: tuple[str, ...]

    def reconstruct(
        self, recording: SpikeRecording, centers: Sequence[int], *, rate_scale: float | None = None
    ) -> Tensor:
        """Return the images at some planes of a recording, ``(N, 1, H, W)`` in [0, 1]."""
        ...

    def reconstruct_stream(
        self, recording: SpikeRecording, centers: Sequence[int], *, rate_scale: float | None = None
    ) -> Iterator[Tensor]:
        """Yield the images of :meth:`reconstruct` one by one, ``(1, H, W)``, in constant memory."""
        ...


@runtime_checkable
class Deblurs(Protocol):
    """Ability to deblur an image with the spikes of its exposure, see :class:`DeblurModule`."""

    ratio: int

    def deblur_stream(
        self,
        blurry: Tensor | NDArray[Any],
        recording: SpikeRecording,
        centers: Sequence[int],
        *,
        exposure: tuple[int, int] | None = None,
        memory_gib: float | None = None,
    ) -> Iterator[Tensor]:
        """Yield the sharp images at some planes of an exposure, ``(3, H, W)`` in [0, 1]."""
        ...


@runtime_checkable
class Classifies(Protocol):
    """Ability to classify a recording, see :class:`ClassificationModule`."""

    label_names: Sequence[str]

    def classify(self, recording: SpikeRecording, *, rate_scale: float | None = None) -> Tensor:
        """Return the probability of every class, ``(classes,)``."""
        ...


@dataclass
class DecodedBitstream:
    """Decoded features and motion of a bitstream, or of some of its groups of pictures.

    Shape:
        - features: float32 ``(n, 3, H, W)`` in [0, 1], on the CPU.
        - motion: float32 ``(n, 2, H, W)`` in pixels, from each feature to the previous one; zero
          for I-frames.
    """

    features: Tensor
    motion: Tensor
    #: Indexes of the features in the recording, ascending. Features of damaged groups are missing.
    feature_index: Sequence[int]
    header: Header  #: header of the bitstream
    errors: Sequence[BitstreamError] = ()  #: errors of damaged groups

    @classmethod
    def of_group(
        cls, features: Tensor, motion: Tensor, group: int, header: Header
    ) -> DecodedBitstream:
        """Return a decoded group of pictures, with the index ``group`` in the file."""
        first = group * header.gop
        return cls(features, motion, tuple(range(first, first + len(features))), header)

    @classmethod
    def of_groups(
        cls, groups: Iterable[DecodedBitstream], reader: BitstreamReader
    ) -> DecodedBitstream:
        """Concatenate all decoded groups of a reader."""
        import torch

        parts, size = list(groups), (reader.header.height, reader.header.width)
        features, motion = torch.empty(0, 3, *size), torch.empty(0, 2, *size)
        return cls(
            torch.cat([part.features for part in parts] or [features]),
            torch.cat([part.motion for part in parts] or [motion]),
            tuple(index for part in parts for index in part.feature_index),
            reader.header,
            tuple(reader.errors),
        )

    @property
    def planes(self) -> tuple[int, ...]:
        """Plane of the recording of each feature."""
        return tuple(self.header.plane(index) for index in self.feature_index)


@runtime_checkable
class Compresses(Protocol):
    """Ability to compress recordings into bitstreams, and to decode features, images and classes.

    Methods named ``*_stream`` hold one group of pictures in memory at a time, so that a recording
    may be larger than the memory.
    """

    def header(
        self, recording: SpikeRecording, *, quality: int, gop: int, rate_scale: float | None = None
    ) -> Header:
        """Return the header of a recording's bitstream."""
        ...

    def compress(self, recording: SpikeRecording, quality: int = 2, gop: int = 8) -> bytes:
        """Compress a recording into a complete bitstream; quality 3 is the best of 0 to 3."""
        ...

    def compress_stream(
        self,
        recording: SpikeRecording,
        header: Header,
        *,
        effort: int = 0,
        groups: range | None = None,
    ) -> Iterator[bytes]:
        """Yield the payload of each group of pictures, or of some ``groups``, in order.

        ``effort`` is 0 (fastest) to 3 (fewest bits at equal quality).
        """
        ...

    def decompress(self, data: bytes, strict: bool = True) -> DecodedBitstream:
        """Decode a bitstream; if not strict, list damaged groups in ``errors`` and omit them."""
        ...

    def decompress_stream(self, reader: BitstreamReader) -> Iterator[DecodedBitstream]:
        """Yield the decoded groups of a reader; if it is not strict, omit damaged groups."""
        ...

    def reconstruct(self, decoded: DecodedBitstream) -> Tensor:
        """Return the image at every feature, ``(n, 1, H, W)`` in [0, 1]."""
        ...

    def reconstruct_stream(
        self, groups: Iterable[DecodedBitstream]
    ) -> Iterator[tuple[int, Tensor]]:
        """Yield the index of every feature and the image at it, ``(1, H, W)``, in order.

        Images at the border of two groups are computed from both, as in :meth:`reconstruct`.
        """
        ...

    def classify(self, decoded: DecodedBitstream) -> Tensor:
        """Return the probability of every class, ``(classes,)``."""
        ...


_VERBS: Final = {
    Reconstructs: "make pictures",
    Deblurs: "deblur",
    Classifies: "classify",
    Compresses: "compress",
}


def require_ability(module: object, ability: type[Ability], option: str) -> Ability:
    """Return a module unchanged; raise an error if it lacks the ability that a command needs.

    ``option`` named the module on the command line, as ``"--method X"``.
    """
    if not isinstance(module, ability):
        raise UsageError(f"{option}: {type(module).__name__} does not {_VERBS[ability]}")
    return module


def adjusted(module: Any, settings: Mapping[str, Any], option: str) -> Any:  # noqa: ANN401  (any module)
    """Return a method with other settings by name, without training.

    Args:
        module: A method; only methods without weights have settings.
        settings: Setting -> value or its text, of the type of the constructor's argument.
        option: What named the method on the command line, as ``"--method X"``.
    """
    if not settings:
        return module
    method = getattr(module, "method", module)  # of a Lightning module
    names = method.hparams if hasattr(module, "adjusted") else {}
    for name in settings:
        if name not in names:
            raise UsageError(
                f"{option}: there is no setting {name!r} to change; its settings: "
                f"{', '.join(names) or 'none'}.{closest(name, names)}"
            )
    typed = _typed(type(method), settings, names, option)
    try:
        return module.adjusted(**typed)
    except ValueError as error:
        raise UsageError(f"{option}: {error}") from error


def _typed(
    method: type, settings: Mapping[str, Any], now: Mapping[str, Any], option: str
) -> dict[str, Any]:
    """Return settings as the types of the constructor's arguments, or those of today's values."""
    from jsonargparse import ArgumentParser

    hints = get_type_hints(method.__init__)  # type: ignore[misc]  # of a class, not an instance
    values = {}
    for name, value in settings.items():
        kind = hints.get(name, type(now[name]))
        parser = ArgumentParser(exit_on_error=False)
        parser.add_argument(f"--{name}", type=kind)
        try:
            values[name] = parser.parse_args([f"--{name}={value}"])[name]
        except ArgumentError as error:
            text = kind.__name__ if isinstance(kind, type) else str(kind).replace("typing.", "")
            all_names = ", ".join(f"{key}={value}" for key, value in now.items())
            raise UsageError(
                f"{option}: {name} must be {text}, got {value!r}. The settings are {all_names}"
            ) from error
    return values


def codec_from(module: object, option: str) -> Compresses:
    """Return a module's codec, or the module if it is a codec; raise UsageError otherwise."""
    codec = getattr(module, "codec", None)
    return codec if isinstance(codec, Compresses) else require_ability(module, Compresses, option)
