"""Protocols of abilities that commands require: reconstruct, deblur or classify.

They are Protocols, not base classes, so that methods without training do not import Lightning. The
base classes describe the methods: :class:`ClipReconstruction`, :class:`DeblurModule`,
:class:`ClassificationModule`.
"""

from __future__ import annotations

from argparse import ArgumentError
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar, get_type_hints, runtime_checkable

from spike_zoo.checkpoints.published import split_settings
from spike_zoo.errors import UsageError, closest

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from spike_zoo.methods.sci.codec.codec import SCICodec
    from spike_zoo.spikes.recording import SpikeRecording

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

    def classify(
        self,
        recording: SpikeRecording,
        *,
        rate_scale: float | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> Tensor:
        """Return the probability of every class, ``(classes,)``.

        ``progress`` is called with the number of clips that are done, and of all clips.
        """
        ...


_MAX_MARGIN: Final = 128  # planes
_VERBS: Final = {Reconstructs: "make images", Deblurs: "deblur", Classifies: "classify"}


def require_ability(module: object, ability: type[Ability], option: str) -> Ability:
    """Return a module unchanged; raise an error if it lacks the ability that a command needs.

    ``option`` named the module on the command line, as ``"--method X"``.
    """
    if not isinstance(module, ability):
        raise UsageError(f"{option}: {type(module).__name__} does not {_VERBS[ability]}")
    return module


def margin_of(method: Reconstructs) -> int:
    """Return the planes that an image of a method needs on either side, at most 128."""
    return min(getattr(method, "margin", method.clip_length // 2), _MAX_MARGIN)


def load_adjusted(method: str, option: str, *, device: str = "cpu", trust: bool = False) -> Any:  # noqa: ANN401  (any module)
    """Load a method and apply the settings in its name, as in ``tfi:average=9``.

    ``option`` named the method, as ``"--method"``. Torch is imported here.
    """
    from spike_zoo.checkpoints.loading import load

    name, settings = split_settings(method)
    return adjusted(load(name, device=device, trust=trust), settings, f"{option} {method}")


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


def codec_from(module: object, option: str) -> SCICodec:
    """Return a module's codec, or the module if it is a codec; raise UsageError otherwise."""
    codec: Any = getattr(module, "codec", module)
    if not hasattr(codec, "compress_stream"):
        raise UsageError(f"{option}: {type(module).__name__} does not compress")
    return codec
