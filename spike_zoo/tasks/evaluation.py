"""What one step of validation or test found out: all that records, pictures and videos read."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from torch import Tensor

RECONSTRUCTION, TRUTH = "reconstruction", "ground truth"  # captions that runs are compared by


class Origin(NamedTuple):
    """Where a sample comes from.

    Attributes:
        name: The recording.
        plane: Its plane; None for a sample that is no single plane.
    """

    name: str
    plane: int | None = None


class SamplePictures(NamedTuple):
    """Pictures of one sample.

    Attributes:
        origin: What they show.
        pictures: Caption -> picture ``(C, H, W)`` or ``(H, W)`` in [0, 1], in the order in which
            they stand side by side.
        stem: What files of it are called.
        note: What is said of it, for tasks whose answer is no picture.
    """

    origin: Origin
    pictures: Mapping[str, Tensor]
    stem: str
    note: str = ""

    @property
    def caption(self) -> str:
        """Recording, plane and note, in words."""
        name, plane = self.origin
        place = name if plane is None else f"{name}, plane {plane}"
        return f"{place}: {self.note}" if self.note else place


class SamplePrediction(NamedTuple):
    """What is predicted of one sample.

    Attributes:
        origin: Where the sample comes from.
        image: ``(C, H, W)`` in [0, 1], for tasks whose answer is a picture.
        values: Name -> value, for tasks whose answer is a label or a number.
    """

    origin: Origin
    image: Tensor | None = None
    values: Mapping[str, float | str] = {}


class MeasuredImage(NamedTuple):
    """One image that was measured.

    Attributes:
        origin: What it shows.
        offset: Its plane counted from the first of its clip or exposure as the data names it, which
            stays the same however many planes are read before; None as for the origin.
        rate_scale: Spikes per plane at white.
    """

    origin: Origin
    offset: int | None
    rate_scale: float


class Labels(NamedTuple):
    """The classes of measured samples, for tasks whose answer is one.

    Shape:
        - truth, predicted: int64 ``(N,)``, indices of classes.
        - features: ``(N, F)``, what the method knows of each sample before it decides, where it
          states.

    Attributes:
        names: What every class is called, by index.
    """

    truth: Tensor
    predicted: Tensor
    names: Sequence[str]
    features: Tensor | None = None


class Evaluation(NamedTuple):
    """What a step of validation or test made of one batch.

    Attributes:
        shown: Samples that pictures may be kept of; at least the first where there is any.
        measured: Every image that was measured, in order.
        values: Metric, without its split -> its value for each of them, ``(len(measured),)``.
        sequence: Makes many pictures of the first sample, in order of time, for tasks that turn one
            sample into a video; where it is None, samples of one recording follow each other.
        labels: Classes of what was measured, for tasks that predict them.
    """

    shown: Sequence[SamplePictures]
    measured: Sequence[MeasuredImage] = ()
    values: Mapping[str, Tensor] = {}
    sequence: Callable[[], Sequence[SamplePictures]] | None = None
    labels: Labels | None = None


def playback(spikes: Tensor, rate_scale: float | Tensor, center: int, window: int) -> Tensor:
    """Return the mean of some planes at the recording's scale, shown beside a result.

    Args:
        spikes: ``(T, h, w)``, 0 or 1.
        rate_scale: Spikes per plane at white.
        center: The middle one of the planes, which are cut to those there are.
        window: How many, odd.

    Returns:
        ``(h, w)`` in [0, 1].
    """
    first = max(0, center - window // 2)
    rate = spikes[first : center + window // 2 + 1].float().mean(dim=0)
    return (rate / rate_scale).clamp(0.0, 1.0)
