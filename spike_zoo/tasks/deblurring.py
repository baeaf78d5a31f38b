"""Base class of deblurring methods: sharp images from a blurry image and its spikes."""

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import torch
from numpy.typing import NDArray
from torch import Tensor

from spike_zoo.spikes.recording import SpikeRecording, check_recording
from spike_zoo.spikes.windows import Planes, wanted_planes, whole_windows
from spike_zoo.tasks.base import MethodModule
from spike_zoo.tasks.evaluators.deblurring import DeblurEvaluator
from spike_zoo.tasks.exposures import Exposure, ExposureResult, as_image, check_pair


class DeblurModule(MethodModule):
    """Base class of deblurring methods; inputs and outputs are R,G,B in [0, 1].

    A subclass defines :meth:`images_at` and, if it is trained, ``training_step`` and
    ``configure_optimizers``. :class:`DeblurEvaluator` describes the metrics.

    Args:
        lpips: ``"auto"`` measures LPIPS if its backbone is available, ``"off"`` never does, a path
            is that of the backbone's file.
        protocols: Published evaluation protocols to report besides the usual metrics, for example
            ``"ssdm"`` (``test/psnr_official``, ``test/ssim_official``).
    """

    evaluator_class: ClassVar[type[DeblurEvaluator]] = DeblurEvaluator

    #: width of an image divided by the width of the spikes; the same for the height
    ratio: ClassVar[int] = 4
    window_length: int = 1  #: planes of the window around each output plane

    def __init__(self, *, lpips: str = "auto", protocols: Sequence[str] = ()) -> None:
        super().__init__(self.evaluator_class(lpips=lpips, protocols=protocols))

    def longest_window(self, stage: str) -> int:
        """Return the length of the longest spike window in a stage of Lightning, in planes."""
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

    def restore_exposure(self, exposure: Exposure) -> ExposureResult | None:
        """Deblur at the planes of the sharp images; return None if the exposure has none."""
        if not exposure.planes:
            return None
        deblurred = self.images_at(exposure.blur, exposure.spikes, exposure.planes, exposure.span)
        return ExposureResult(
            deblurred[:, 0], exposure.blur.expand_as(exposure.images), exposure.images
        )

    def image_of(self, exposure: Exposure) -> Tensor:
        """Return the image at the middle plane of an exposure, ``(1, 3, H, W)``."""
        times = [exposure.middle]
        return self.images_at(exposure.blur, exposure.spikes, times, exposure.span)[0]

    def deblur(
        self,
        blurry: Tensor | NDArray[Any],
        recording: SpikeRecording,
        centers: Planes,
        *,
        exposure: tuple[int, int] | None = None,
        memory_gib: float | None = None,
    ) -> Tensor:
        """Return the sharp images at some planes of a recording.

        Args:
            blurry: ``(3, 4h, 4w)``, R,G,B, float in [0, 1] or uint8.
            recording: The spikes, ``(T, h, w)``.
            centers: Planes inside the exposure, or one plane.
            exposure: First and past-the-last plane of the exposure, for methods that use all of
                it; by default all but 20 planes at either end.
            memory_gib: Approximate limit of the memory of features; at least one image is computed
                at a time. The default depends on the device.

        Returns:
            float32 ``(N, 3, 4h, 4w)``, R,G,B in [0, 1], one image per plane, on the CPU.
        """
        check_recording(recording)
        planes = wanted_planes(centers, len(recording))
        images = self.deblur_stream(
            blurry, recording, planes, exposure=exposure, memory_gib=memory_gib
        )
        result = torch.empty(len(planes), *tuple(blurry.shape)[-3:])
        for index, image in enumerate(images):
            result[index] = image
        return result

    def deblur_stream(
        self,
        blurry: Tensor | NDArray[Any],
        recording: SpikeRecording,
        centers: Planes,
        *,
        exposure: tuple[int, int] | None = None,
        memory_gib: float | None = None,
    ) -> Iterator[Tensor]:
        """Yield the images of :meth:`deblur` one by one, ``(3, 4h, 4w)``, in constant memory."""
        image = as_image(blurry)
        check_recording(recording)
        check_pair(image, recording, self.ratio)
        planes = whole_windows(centers, self.window_length, len(recording))
        return self._stream(image, recording, planes, exposure, memory_gib)

    def _stream(
        self,
        image: Tensor,
        recording: SpikeRecording,
        centers: Sequence[int],
        exposure: tuple[int, int] | None,
        memory_gib: float | None,
    ) -> Iterator[Tensor]:
        raise NotImplementedError
