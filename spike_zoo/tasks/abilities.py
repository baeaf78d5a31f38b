"""What a method can do, as Protocols, and the one way in which commands ask for it.

A Protocol and not a base class: a method without anything to train needs no trainer's libraries.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar, runtime_checkable

from spike_zoo.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

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
    """It tells what a recording shows.

    Attributes:
        label_names: What the classes are called, by index; empty where nobody said.
    """

    label_names: Sequence[str]

    def classify(self, recording: SpikeRecording, *, rate_scale: float | None = None) -> Tensor:
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
class BringsWeights(Protocol):
    """It may have weights of its own, so that it can be measured without a checkpoint.

    Attributes:
        has_own_weights: Whether it has.
    """

    has_own_weights: bool


@runtime_checkable
class Monitored(Protocol):
    """It says by what a run's best checkpoint is chosen.

    Attributes:
        monitor: Log key.
        monitor_mode: Whether its ``"max"`` or ``"min"`` is the best.
    """

    monitor: str
    monitor_mode: str


_VERBS: Final = {Reconstructs: "make pictures", Deblurs: "deblur", Classifies: "classify"}


def able(module: object, ability: type[Ability], option: str) -> Ability:
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
