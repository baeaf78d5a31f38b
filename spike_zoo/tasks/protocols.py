"""Protocols of methods' abilities (reconstruct, deblur, classify, compress) and their checks.

They are Protocols, not base classes, so that methods without training do not import Lightning.
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
    """Ability to reconstruct the image at a plane from spikes.

    Attributes:
        clip_length: Planes of one clip.
        inference_options: Attributes that change how images are computed, but not the images.
    """

    clip_length: int
    inference_options: tuple[str, ...]

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
        """Yield the images of :meth:`reconstruct` one by one, ``(1, H, W)``, in constant memory."""
        ...


@runtime_checkable
class EstimatesFlow(Protocol):
    """Ability to estimate optical flow as a step of the reconstruction.

    Attributes:
        estimates_flow: Whether the method estimates flow with its current settings. Fields that a
            network learned without any loss on flow are not optical flow.
        flow_source: Name of an estimator that several methods share; empty for the method's own.
        motion_planes: Planes between an image's plane and the earlier or later plane of its flow.
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
        """Return the optical flow from some planes to earlier and later ones, ``(N, 2, 2, H, W)``.

        Index 0 of the second axis is the earlier plane, 1 the later one; (dx, dy) in pixels.
        """
        ...


@runtime_checkable
class Deblurs(Protocol):
    """Ability to deblur an image with the spikes of its exposure.

    Attributes:
        channel_order: Channel order that the weights were trained on, ``"rgb"`` or ``"bgr"``.
        ratio: Width of the image divided by the width of the spikes; the same for the height.
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
    """Ability to classify a recording.

    Attributes:
        label_names: Names of the classes, by index; empty if unknown.
    """

    label_names: Sequence[str]

    def classify(self, recording: SpikeRecording, *, rate_scale: float | None = None) -> Tensor:
        """Return the probability of every class, ``(classes,)``."""
        ...


class Decoded(Protocol):
    """Decoded bitstream, or one decoded group of pictures."""

    @property
    def header(self) -> Header:
        """Header of the bitstream."""
        ...

    @property
    def features(self) -> Tensor:
        """Features, ``(n, 3, H, W)``, on the CPU."""
        ...

    @property
    def feature_index(self) -> Tensor | Sequence[int]:
        """Index of each feature in the bitstream, counted from 0, ``(n,)``."""
        ...

    @property
    def motion(self) -> Tensor:
        """Flow from each feature to the one before it, ``(n, 2, H, W)`` in pixels, on the CPU.

        Zero for the first feature of every group.
        """
        ...

    @property
    def errors(self) -> Sequence[BitstreamError]:
        """Errors of the groups that could not be decoded."""
        ...


@runtime_checkable
class Compresses(Protocol):
    """Ability to compress recordings into bitstreams, and to decode features, images and classes.

    Methods named ``*_stream`` hold one group of pictures in memory at a time, so that a recording
    may be larger than the memory.
    """

    def header(
        self,
        recording: SpikeRecording,
        *,
        quality: int,
        gop: int,
        rate_scale: float | None = None,
    ) -> Header:
        """Return the header of a recording's bitstream.

        Raises:
            SpikeZooError: If the recording cannot be coded with these settings.
        """
        ...

    def compress(self, recording: SpikeRecording, quality: int = 2, gop: int = 8) -> bytes:
        """Compress a recording into a complete bitstream.

        Args:
            recording: The spikes.
            quality: 0 to 3; 3 is the best quality.
            gop: Frames in a group of pictures.
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
        """Decode a complete bitstream.

        Args:
            data: The bitstream.
            strict: Whether damage raises an error; otherwise damaged groups are left out and listed
                in ``errors``.

        Raises:
            BitstreamError: See :mod:`spike_zoo.coding.errors`.
        """
        ...

    def decompress_stream(self, reader: BitstreamReader) -> Iterator[Decoded]:
        """Decode and yield the groups of pictures of a reader, in order.

        If the reader is not strict, groups that cannot be decoded are left out and listed in the
        reader's ``errors``.
        """
        ...

    def reconstruct(self, decoded: Decoded) -> Tensor:
        """Return the image at every feature, ``(n, 1, H, W)`` in [0, 1]."""
        ...

    def reconstruct_stream(self, groups: Iterable[Decoded]) -> Iterator[tuple[int, Tensor]]:
        """Yield the index of every feature and the image at it, ``(1, H, W)``, in order.

        Args:
            groups: Output of :meth:`decompress_stream`. Images at the border of two groups are
                computed from both, as in :meth:`reconstruct`.
        """
        ...

    def classify(self, decoded: Decoded) -> Tensor:
        """Return the probability of every class, ``(classes,)``."""
        ...


@runtime_checkable
class Adjustable(Protocol):
    """Ability to change settings of a method without training.

    Attributes:
        hparams: Settings of the method.
    """

    hparams: Mapping[str, Any]

    def adjusted(self, **settings: int) -> Reconstructs:
        """Return a copy of the method with other settings.

        Raises:
            ValueError: If a setting is outside its range.
        """
        ...


@runtime_checkable
class Monitored(Protocol):
    """Module that states the metric that selects a run's best checkpoint.

    Attributes:
        monitor: Log key of the metric.
        monitor_mode: ``"max"`` or ``"min"``: which value of the metric is the best.
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
    """Return a module unchanged; raise an error if it lacks the ability that a command needs.

    Args:
        module: The module.
        ability: Protocol of this module.
        option: Option that named the module on the command line, as ``"--method X"``.

    Raises:
        UsageError: If the module lacks the ability; names the option.
    """
    if not isinstance(module, ability):
        raise UsageError(f"{option}: {type(module).__name__} does not {_VERBS[ability]}")
    return module


def adjusted(module: object, settings: Mapping[str, int], option: str) -> Reconstructs:
    """Return a method that reconstructs with other settings.

    Args:
        module: The method.
        settings: Name -> value; if empty, the method is returned unchanged.
        option: Option that named the method on the command line, as ``"--method X"``.

    Raises:
        UsageError: If the method does not reconstruct, lacks a setting or rejects a value.
    """
    if not settings:
        return require_ability(module, Reconstructs, option)
    hparams = module.hparams if isinstance(module, Adjustable) else {}
    for name in settings:
        if name not in hparams:
            raise UsageError(
                f"{option}: there is no setting {name!r} to change; its settings: "
                f"{', '.join(hparams) or 'none'}"
            )
    try:
        return cast("Adjustable", module).adjusted(**settings)
    except ValueError as error:
        raise UsageError(f"{option}: {error}") from error


def codec_from(module: object, option: str) -> Compresses:
    """Return a module's codec, or the module if it is a codec; raise UsageError otherwise."""
    codec = getattr(module, "codec", None)
    return codec if isinstance(codec, Compresses) else require_ability(module, Compresses, option)
