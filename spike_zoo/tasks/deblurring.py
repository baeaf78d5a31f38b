"""What all that deblurs by spikes shares: evaluation, prediction, sequences of recordings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, cast

import torch
from torch import Tensor, nn
from torchmetrics import MetricCollection

from spike_zoo.errors import ConfigError, GeometryError, PlaneRangeError
from spike_zoo.methods.base import EVALUATED_SPLITS, RebuildableModule, datamodule_of
from spike_zoo.methods.ssdm.ldn import RATIO
from spike_zoo.methods.ssdm.sdm import mean_rate
from spike_zoo.metrics import psnr, reconstruction_metrics
from spike_zoo.spikes import centred_window
from spike_zoo.spikes.windows import check_centers

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from spike_zoo.batch import DeblurBatch, Split
    from spike_zoo.methods.ssdm.colour import ChannelOrder
    from spike_zoo.spikes import SpikeRecording

PREVIEW_PLANES = 9  # playback over so many stands beside a deblurred image


class Exposure(NamedTuple):
    """One blurry image with all that is known about it.

    Shape:
        - blur: ``(1, 3, H, W)`` in [0, 1], R,G,B.
        - spikes: ``(1, T, h, w)``, 0 or 1.
        - images: ``(N, 3, H, W)`` in [0, 1], sharp.

    Attributes:
        planes: What each sharp image shows, N planes of ``spikes``.
        span: First and past-the-last plane of the exposure.
        rate_scale: Spikes per plane at white.
    """

    blur: Tensor
    spikes: Tensor
    images: Tensor
    planes: list[int]
    span: tuple[int, int]
    rate_scale: float

    @property
    def middle(self) -> int:
        """The plane in the middle of the exposure."""
        start, stop = self.span
        return start + (stop - start) // 2

    @property
    def middle_image(self) -> int:
        """Which sharp image is nearest to the middle of the exposure."""
        return min(range(len(self.planes)), key=lambda n: abs(self.planes[n] - self.middle))


class Compared(NamedTuple):
    """Images of one exposure beside what they should be and what they were made of.

    Shape:
        - found, before, truth: ``(N, C, H, W)`` in [0, 1].
    """

    found: Tensor
    before: Tensor
    truth: Tensor


def exposures(batch: DeblurBatch) -> Iterator[Exposure]:
    """Yield the exposures of a batch one by one."""
    for index in range(len(batch["blur"])):
        start, stop = batch["exposure"][index].tolist()
        yield Exposure(
            blur=batch["blur"][index : index + 1],
            spikes=batch["spikes"][index : index + 1],
            images=batch["images"][index],
            planes=batch["planes"][index].tolist(),
            span=(start, stop),
            rate_scale=float(batch["rate_scale"][index]),
        )


class DeblurModule(RebuildableModule):
    """A method that turns a blurry image and spikes into sharp images, R,G,B in [0, 1] outside.

    A subclass defines :meth:`images_at` and, where it learns, ``training_step`` and
    ``configure_optimizers``. All sharp images of an exposure count in ``psnr``, the one in its
    middle alone in ``psnr_middle``, and so on; ``psnr_gain`` is how much better they are than what
    the method was given.

    Args:
        lpips: ``"auto"`` measures LPIPS where its backbone is at hand, ``"off"`` never does, a
            path names the backbone's file.
        protocols: Published evaluation protocols to report beside the usual metrics: ``"ssdm"``
            (``test/psnr_official``, ``test/ssim_official``).

    Attributes:
        monitor: Log key by which a run's best checkpoint is chosen.
        monitor_mode: Whether its ``"max"`` or ``"min"`` is the best.
        ratio: Pixels of an image along one of the spikes'.
        window_length: Planes around a time that must be recorded.
        channel_order: What the weights were trained on.
    """

    monitor: str = "val/psnr"
    monitor_mode: str = "max"
    ratio: ClassVar[int] = RATIO
    window_length: int = 1
    channel_order: ChannelOrder = "rgb"

    def __init__(self, *, lpips: str = "auto", protocols: Sequence[str] = ()) -> None:
        super().__init__()
        self.lpips = lpips
        self.protocols = tuple(protocols)
        self.split_metrics = nn.ModuleDict()
        self.middle_metrics = nn.ModuleDict()

    def longest_window(self, stage: str) -> int:
        """Return the planes around a time that a stage of Lightning's looks at."""
        return self.window_length

    def images_at(
        self, blur: Tensor, spikes: Tensor, times: Sequence[int], span: tuple[int, int]
    ) -> Tensor:
        """Deblur at some planes of ``spikes``.

        Args:
            blur: ``(B, 3, 4h, 4w)``, R,G,B in [0, 1].
            spikes: ``(B, T, h, w)``, 0 or 1.
            times: Planes inside the exposure.
            span: First and past-the-last plane of the exposure.

        Returns:
            float32 ``(len(times), B, 3, 4h, 4w)``, R,G,B in [0, 1].
        """
        raise NotImplementedError

    def compared(self, exposure: Exposure) -> Compared | None:
        """Return what is evaluated of one exposure: its sharp images; None where it has none."""
        if not exposure.planes:
            return None
        found = self.images_at(exposure.blur, exposure.spikes, exposure.planes, exposure.span)
        return Compared(found[:, 0], exposure.blur.expand_as(exposure.images), exposure.images)

    def image_of(self, exposure: Exposure) -> Tensor:
        """Return one image that stands for an exposure, ``(1, 3, H, W)``: its middle."""
        times = [exposure.middle]
        return self.images_at(exposure.blur, exposure.spikes, times, exposure.span)[0]

    def setup(self, stage: str) -> None:
        """Make the metrics of the splits that will be evaluated; they hold no weights.

        Raises:
            ConfigError: If the data has fewer planes around an exposure than windows take.
        """
        margin = getattr(datamodule_of(self), "margin", None)
        least = self.longest_window(stage) // 2
        if margin is not None and margin < least:
            raise ConfigError(
                f"data.init_args.margin: {margin} planes before and after an exposure, the windows "
                f"of {type(self).__name__} at its ends take {least}; set it to at least {least}"
            )
        if not self.split_metrics:
            metrics = reconstruction_metrics(lpips=self.lpips, protocols=self.protocols)
            for split in EVALUATED_SPLITS:
                self.split_metrics[split] = metrics.clone(prefix=f"{split}/")
                self.middle_metrics[split] = metrics.clone(prefix=f"{split}/", postfix="_middle")

    def validation_step(self, batch: DeblurBatch, batch_idx: int) -> dict[str, Tensor]:
        """Add a batch to the validation metrics and return pictures of its first exposure."""
        return self._evaluate(batch, "val")

    def test_step(self, batch: DeblurBatch, batch_idx: int) -> dict[str, Tensor]:
        """Add a batch to the test metrics and return pictures of its first exposure."""
        return self._evaluate(batch, "test")

    def predict_step(self, batch: DeblurBatch, batch_idx: int) -> Tensor:
        """Return one image of each exposure, ``(B, C, H, W)`` in [0, 1]."""
        return torch.cat([self.image_of(exposure) for exposure in exposures(batch)])

    def _evaluate(self, batch: DeblurBatch, split: Split) -> dict[str, Tensor]:
        pictures: dict[str, Tensor] = {}
        for exposure in exposures(batch):
            images = self.compared(exposure)
            if images is None:  # a real camera's: nobody knows the truth
                pictures = pictures or pictures_of(exposure, self.image_of(exposure)[0])
                continue
            number = exposure.middle_image if len(images.found) > 1 else 0
            self._measure(images, number, split)
            pictures = pictures or pictures_of(exposure, images.found[number], images.truth[number])
        return pictures

    def _measure(self, images: Compared, middle: int, split: Split) -> None:
        """Add the images of one exposure to the metrics of a split."""
        count = len(images.found)
        metrics = cast(MetricCollection, self.split_metrics[split])
        metrics.update(images.found, images.truth)
        at_middle = cast(MetricCollection, self.middle_metrics[split])
        at_middle.update(images.found[middle : middle + 1], images.truth[middle : middle + 1])
        before = psnr(images.before, images.truth)
        gain = psnr(images.found, images.truth) - before
        means = {f"{split}/psnr_before": before.mean(), f"{split}/psnr_gain": gain.mean()}
        options: dict[str, Any] = {"on_step": False, "on_epoch": True}
        self.log_dict(metrics, **options, batch_size=count, prog_bar=split == "val")
        self.log_dict(at_middle, **options, batch_size=1)
        self.log_dict(means, **options, batch_size=count, sync_dist=True)

    def deblur(
        self,
        blurry: Tensor | NDArray[Any],
        recording: SpikeRecording,
        centers: Sequence[int],
        *,
        exposure: tuple[int, int] | None = None,
        memory_gib: float | None = None,
    ) -> Tensor:
        """Return the sharp images at some planes of a recording.

        Args:
            blurry: ``(3, 4h, 4w)``, R,G,B, float in [0, 1] or uint8.
            recording: The spikes, ``(T, h, w)``.
            centers: Planes inside the exposure.
            exposure: First and past-the-last plane of the exposure, for methods that look at all
                of it; all but 20 planes at either end where not given.
            memory_gib: About how much memory features may take; one image always goes. What suits
                the device where not given.

        Returns:
            float32 ``(len(centers), 3, 4h, 4w)``, R,G,B in [0, 1], on the CPU.

        Raises:
            GeometryError: If the image is not 4 times as wide and high as the spikes.
            PlaneRangeError: If a window around a plane leaves the recording.
        """
        images = self.deblur_stream(
            blurry, recording, centers, exposure=exposure, memory_gib=memory_gib
        )
        result = torch.empty(len(centers), *tuple(blurry.shape)[-3:])
        for index, image in enumerate(images):
            result[index] = image
        return result

    def deblur_stream(
        self,
        blurry: Tensor | NDArray[Any],
        recording: SpikeRecording,
        centers: Sequence[int],
        *,
        exposure: tuple[int, int] | None = None,
        memory_gib: float | None = None,
    ) -> Iterator[Tensor]:
        """Yield the images of :meth:`deblur` one by one, ``(3, 4h, 4w)``, in constant memory."""
        image = as_image(blurry)
        check_pair(image, recording)
        check_windows(centers, self.window_length, len(recording))
        return self._stream(image, recording, centers, exposure, memory_gib)

    def _stream(
        self,
        image: Tensor,
        recording: SpikeRecording,
        centers: Sequence[int],
        exposure: tuple[int, int] | None,
        memory_gib: float | None,
    ) -> Iterator[Tensor]:
        raise NotImplementedError


def pictures_of(
    exposure: Exposure, found: Tensor, truth: Tensor | None = None
) -> dict[str, Tensor]:
    """Return what is shown of one exposure: captions and pictures ``(C, H, W)`` in [0, 1]."""
    rate = mean_rate(exposure.spikes, *centred_window(exposure.middle, PREVIEW_PLANES))
    pictures = {
        "blurry": exposure.blur[0],
        f"playback, {PREVIEW_PLANES} planes": (rate[0] / exposure.rate_scale).clamp(0.0, 1.0),
        "reconstruction": found.float(),
    }
    return pictures if truth is None else {**pictures, "ground truth": truth}


def as_image(blurry: Tensor | NDArray[Any]) -> Tensor:
    """Return a blurry image as float32 ``(3, H, W)`` in [0, 1].

    Raises:
        GeometryError: If it is of another shape.
    """
    image = torch.as_tensor(blurry)
    if image.ndim == 4 and len(image) == 1:
        image = image[0]
    if image.ndim != 3 or image.shape[0] != 3:
        raise GeometryError(f"a blurry image is R,G,B of shape (3, H, W), got {tuple(image.shape)}")
    return image.float() / 255 if image.dtype == torch.uint8 else image.float()


def check_pair(image: Tensor, recording: SpikeRecording) -> None:
    """Refuse an image whose size is not that of the recording times the ratio.

    Raises:
        GeometryError: With the size that would fit.
    """
    _, height, width = recording.shape
    if tuple(image.shape[-2:]) != (RATIO * height, RATIO * width):
        raise GeometryError(
            f"the blurry image is {image.shape[-2]}x{image.shape[-1]}, the spikes are "
            f"{height}x{width}: the image must be {RATIO} times as high and wide, "
            f"{RATIO * height}x{RATIO * width}. Resize or crop it, or give the recording that "
            "belongs to it."
        )


def check_windows(centers: Sequence[int], length: int, planes: int) -> None:
    """Refuse windows that leave a recording.

    Nothing is mirrored at its ends: the spikes would tell of a motion that turns back.

    Raises:
        PlaneRangeError: If the recording is shorter than a window, or naming the first centre.
    """
    if planes < length:
        raise PlaneRangeError(
            f"the recording has {planes} planes, one window takes {length}; record more planes "
            "before and after the exposure"
        )
    check_centers(centers, planes)
    half = length // 2
    for center in centers:
        if not half <= center < planes - half:
            raise PlaneRangeError(
                f"the window of {length} planes around plane {center} leaves the recording with "
                f"planes 0..{planes - 1}; choose planes from {half} to {planes - 1 - half}"
            )
