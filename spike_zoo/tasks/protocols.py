"""What a method can do, as Protocols, and the one way in which commands ask for it.

A Protocol and not a base class: a method without anything to train needs no trainer's libraries.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar, cast, runtime_checkable

from spike_zoo.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from spike_zoo.coding import BitstreamError, BitstreamReader, Header
    from spike_zoo.spikes import SpikeRecording

Ability = TypeVar("Ability")


@runtime_checkable
class Reconstructs(Protocol):
    """It turns spikes into the image at a plane.

    Attributes:
        clip_length: Planes of one clip.
        picture_options: Attributes that say how pictures are computed, not what they show.
    """

    clip_length: int
    picture_options: tuple[str, ...]

    def reconstruct(
        self,
        recording: SpikeRecording,
        centers: Sequence[int],
        *,
        rate_scale: float | None = None,
    ) -> Tensor:
        """Return the images at some planes of a recording, ``(N, 1, H, W)`` in [0, 1]."""
        ...

    def reconstruct_stream(
        self,
        recording: SpikeRecording,
        centers: Sequence[int],
        *,
        rate_scale: float | None = None,
    ) -> Iterator[Tensor]:
        """Yield them one by one, ``(1, H, W)``, in constant memory."""
        ...


@runtime_checkable
class EstimatesFlow(Protocol):
    """It estimates optical flow on its way to an image.

    Attributes:
        estimates_flow: Whether it does, with its present settings. Fields that a network learned
            for the image alone, without any loss on motion, are not optical flow.
        flow_source: Name of an estimator that several methods share; empty for a method's own.
        motion_planes: Planes from an image's plane to the times before and after it.
    """

    estimates_flow: bool
    flow_source: str
    motion_planes: int

    def motion(
        self,
        recording: SpikeRecording,
        centers: Sequence[int],
        *,
        rate_scale: float | None = None,
    ) -> Tensor:
        """Return where every pixel was before and is after, ``(N, 2, 2, H, W)``.

        First the earlier, then the later time; (dx, dy) in pixels, counted from the pixel itself.
        """
        ...


@runtime_checkable
class Deblurs(Protocol):
    """It turns a blurry image and the spikes of its exposure into sharp images.

    Attributes:
        channel_order: What its weights were trained on, ``"rgb"`` or ``"bgr"``.
        ratio: Pixels of the image along one of the spikes'.
    """

    channel_order: Any
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
    """It classifies a recording.

    Attributes:
        label_names: What the classes are called, by index; empty where unknown.
    """

    label_names: Sequence[str]

    def classify(self, recording: SpikeRecording, *, rate_scale: float | None = None) -> Tensor:
        """Return the probability of every class, ``(classes,)``."""
        ...


class Decoded(Protocol):
    """What a codec makes of a bitstream, or of one group of pictures of it."""

    @property
    def header(self) -> Header:
        """What the bitstream holds."""
        ...

    @property
    def features(self) -> Tensor:
        """Features, ``(n, 3, H, W)``, on the CPU."""
        ...

    @property
    def feature_index(self) -> Tensor | Sequence[int]:
        """Which of the bitstream's features each is, counted from 0, ``(n,)``."""
        ...

    @property
    def motion(self) -> Tensor:
        """Backward motion of each to the one before it, ``(n, 2, H, W)`` in pixels, on the CPU.

        Zero for the first of every group.
        """
        ...

    @property
    def errors(self) -> Sequence[BitstreamError]:
        """What is wrong with groups that are left out."""
        ...


@runtime_checkable
class Compresses(Protocol):
    """It turns recordings into bitstreams, and those into features, images and classes.

    What streams holds one group of pictures at a time, so that a recording may be longer than
    memory.
    """

    def header(
        self,
        recording: SpikeRecording,
        *,
        quality: int,
        gop: int,
        rate_scale: float | None = None,
    ) -> Header:
        """Return what the bitstream of a recording begins with.

        Raises:
            SpikeZooError: If the recording cannot be coded so.
        """
        ...

    def compress(self, recording: SpikeRecording, quality: int = 2, gop: int = 8) -> bytes:
        """Return a recording as a whole bitstream.

        Args:
            recording: The spikes.
            quality: 0 to 3, the highest is the best.
            gop: Frames of a group of pictures.
        """
        ...

    def compress_stream(
        self,
        recording: SpikeRecording,
        *,
        quality: int,
        gop: int,
        rate_scale: float | None = None,
    ) -> Iterator[bytes]:
        """Yield the payload of every group of pictures of a recording, in order."""
        ...

    def decompress(self, data: bytes, strict: bool = True) -> Decoded:
        """Return all that a bitstream holds.

        Args:
            data: The bitstream.
            strict: Raise an error for damage; otherwise leave it out and list it in ``errors``.

        Raises:
            BitstreamError: See :mod:`spike_zoo.coding.errors`.
        """
        ...

    def decompress_stream(self, reader: BitstreamReader) -> Iterator[Decoded]:
        """Yield every group of pictures that a reader finds, in order.

        Of a reader that is not strict, groups that cannot be decoded are left out, and the reader's
        ``errors`` say why.
        """
        ...

    def reconstruct(self, decoded: Decoded) -> Tensor:
        """Return the image at every feature, ``(n, 1, H, W)`` in [0, 1]."""
        ...

    def reconstruct_stream(self, groups: Iterable[Decoded]) -> Iterator[tuple[int, Tensor]]:
        """Yield the number of every feature and the image at it, ``(1, H, W)``, in order.

        Args:
            groups: As :meth:`decompress_stream` yields them. Images at the border of two see both,
                as they do in :meth:`reconstruct`.
        """
        ...

    def classify(self, decoded: Decoded) -> Tensor:
        """Return the probability of every class, ``(classes,)``."""
        ...


@runtime_checkable
class Adjustable(Protocol):
    """It has settings that a person may change without training anything.

    Attributes:
        hparams: The settings it was made with.
    """

    hparams: Mapping[str, Any]

    def adjusted(self, **settings: int) -> Reconstructs:
        """Return the same method with other settings.

        Raises:
            ValueError: If a setting is outside its range.
        """
        ...


@runtime_checkable
class Monitored(Protocol):
    """It says by what a run's best checkpoint is chosen.

    Attributes:
        monitor: Log key.
        monitor_mode: Whether its ``"max"`` or ``"min"`` is the best.
    """

    monitor: str
    monitor_mode: str


_VERBS: Final = {
    Reconstructs: "make pictures",
    Deblurs: "deblur",
    Classifies: "classify",
    Compresses: "compress",
}


def require_ability(module: object, ability: type[Ability], option: str) -> Ability:
    """Return a module that can do what a command needs.

    Args:
        module: The module.
        ability: One of the Protocols here.
        option: What named it on the command line, as ``"--method X"``.

    Raises:
        UsageError: If it cannot; names the option.
    """
    if not isinstance(module, ability):
        raise UsageError(f"{option}: {type(module).__name__} does not {_VERBS[ability]}")
    return module


def adjusted(module: object, settings: Mapping[str, int], option: str) -> Reconstructs:
    """Return a method that reconstructs with other settings.

    Args:
        module: The method.
        settings: Name -> value; empty leaves the method as it is.
        option: What named the method on the command line, as ``"--method X"``.

    Raises:
        UsageError: If it does not reconstruct, has no such setting, or rejects a value.
    """
    if not settings:
        return require_ability(module, Reconstructs, option)
    for name in settings:
        if not isinstance(module, Adjustable) or name not in module.hparams:
            raise UsageError(f"{option}: there is no setting {name!r} to change")
    try:
        return cast("Adjustable", module).adjusted(**settings)
    except ValueError as error:
        raise UsageError(f"{option}: {error}") from error


def codec_from(module: object, option: str) -> Compresses:
    """Return what compresses of a module: its codec, or itself; UsageError if neither does."""
    codec = getattr(module, "codec", None)
    return codec if isinstance(codec, Compresses) else require_ability(module, Compresses, option)
