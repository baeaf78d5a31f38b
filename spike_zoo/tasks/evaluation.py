"""Results of a validation or test step, read by the callbacks for records, images and videos."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor

RECONSTRUCTION, TRUTH = "reconstruction", "ground truth"  # captions; comparisons of runs use them


class Origin(NamedTuple):
    """Recording and plane of a sample; None if the sample is not a single plane."""

    name: str
    plane: int | None = None


class CaptionedImages(NamedTuple):
    """Images of one sample by caption, ``(C, H, W)`` or ``(H, W)`` in [0, 1].

    ``note`` is added to the caption, for tasks whose result is not an image.
    """

    origin: Origin
    images: Mapping[str, Tensor]
    stem: str  # file name without suffix
    note: str = ""

    @property
    def caption(self) -> str:
        """Caption with recording, plane and note."""
        name, plane = self.origin
        place = name if plane is None else f"{name}, plane {plane}"
        return f"{place}: {self.note}" if self.note else place


class SamplePrediction(NamedTuple):
    """Prediction for one sample: an image ``(C, H, W)`` in [0, 1], or labels or numbers by name."""

    origin: Origin
    image: Tensor | None = None
    values: Mapping[str, float | str] = {}


class MeasuredImage(NamedTuple):
    """Origin and rate scale of one measured image."""

    origin: Origin  #: recording and plane of the image
    #: Plane counted from the first plane of the clip or exposure as the data define it; independent
    #: of the number of planes read before. None if ``origin.plane`` is None.
    offset: int | None
    rate_scale: float  #: spikes per plane at white


class Labels(NamedTuple):
    """True and predicted classes of the measured samples, for classification tasks."""

    truth: Tensor  # int64 (N,)
    predicted: Tensor  # int64 (N,)
    names: Sequence[str]  # of every class
    features: Tensor | None = None  # before the classifier, (N, F), if the method returns them


class Evaluation(NamedTuple):
    """Result of a validation or test step for one batch."""

    #: images of samples, at least of the first sample of a batch that is not empty
    samples: Sequence[CaptionedImages]
    measured: Sequence[MeasuredImage] = ()  #: all measured images, in order
    #: name of a metric without the split -> values ``(len(measured),)``
    values: Mapping[str, Tensor] = {}
    #: Returns many images of the first sample in order of time, for tasks that turn one sample
    #: into a video. None if a video consists of the samples of one recording.
    sequence: Callable[[], Sequence[CaptionedImages]] | None = None
    labels: Labels | None = None  #: classes of the measured samples, for classification tasks
    #: name of a metric that only some images have -> index in ``measured`` -> value
    partial_values: Mapping[str, Mapping[int, float]] = {}


def playback(spikes: Tensor, rate_scale: float | Tensor, center: int, window: int) -> Tensor:
    """Return the mean of the planes in a window, divided by the rate scale (playback, TFP).

    Spikes are ``(T, h, w)`` of 0 and 1, the result is ``(h, w)`` in [0, 1]. The window has an odd
    number of planes; those outside the clip are left out.
    """
    first = max(0, center - window // 2)
    rate = spikes[first : center + window // 2 + 1].float().mean(dim=0)
    return (rate / rate_scale).clamp(0.0, 1.0)
