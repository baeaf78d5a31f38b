"""Image quality against ground truth (PSNR, SSIM), one value per image."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import Module
from torchmetrics import Metric
from torchmetrics.functional.image import (
    peak_signal_noise_ratio,
    structural_similarity_index_measure,
)

from spike_zoo.nn.precision import exact_device, without_autocast

Measure = Callable[[Tensor, Tensor], Tensor]

BEST_PSNR = 100.0  # dB of a perfect image, so that means stay finite
MIN_SIDE = 11  # widest window of the measures below
ROUNDING = 0.01  # tolerance of values outside [0, 1]


def check_range(images: Tensor, targets: Tensor) -> None:
    """Raise ValueError for values outside [0, 1] by more than :data:`ROUNDING`."""
    for name, values in (("images", images), ("targets", targets)):
        low, high = (float(limit) for limit in torch.aminmax(values.detach()))
        if low < -ROUNDING or high > 1 + ROUNDING:
            raise ValueError(
                f"{name} must lie in [0, 1], got {low:.4g} to {high:.4g}: divide them by their "
                "largest possible value, or clamp them"
            )


def psnr(images: Tensor, targets: Tensor) -> Tensor:
    """Return the PSNR of each image in dB, data range 1, at most :data:`BEST_PSNR`.

    Shape:
        - images, targets: ``(B, C, H, W)`` in [0, 1].
        - Output: ``(B,)``.

    Raises:
        ValueError: If a value lies outside [0, 1] by more than rounding.

    Example:
        >>> psnr(torch.full((1, 1, 8, 8), 0.6), torch.full((1, 1, 8, 8), 0.5))
        tensor([20.0000])
    """
    check_range(images, targets)
    value = peak_signal_noise_ratio(
        images, targets, data_range=1.0, dim=(1, 2, 3), reduction="none"
    )
    return value.clamp(max=BEST_PSNR)


def ssim(images: Tensor, targets: Tensor) -> Tensor:
    """Return the SSIM of each image: Gaussian window, sigma 1.5, data range 1.

    The mean is over all pixels, with the image mirrored at its border, as in torchmetrics.
    scikit-image leaves out the outer 5 pixels: for TFI averaged over 9 planes, scikit-image
    returns 0.8295, this function 0.8266.

    Shape:
        - images, targets: ``(B, C, H, W)`` in [0, 1].
        - Output: ``(B,)``.

    Raises:
        ValueError: If a value lies outside [0, 1] by more than rounding.

    Example:
        >>> image = torch.linspace(0, 1, 256).reshape(1, 1, 16, 16)
        >>> ssim(image, image)
        tensor([1.])
    """
    check_range(images, targets)
    value = structural_similarity_index_measure(images, targets, data_range=1.0, reduction="none")
    return torch.atleast_1d(value)


def ssim_uniform7(images: Tensor, targets: Tensor, data_range: float = 1.0) -> Tensor:
    """Return the SSIM of each image with scikit-image's default settings.

    Uniform 7x7 window, sample covariances (n - 1), no padding.

    Args:
        images: ``(B, C, H, W)``, H and W at least 7.
        targets: Ground truth, ``(B, C, H, W)``.
        data_range: Largest minus smallest possible value.

    Returns:
        float64 ``(B,)``.
    """
    from skimage.metrics import structural_similarity

    pairs = zip(images.cpu().double().numpy(), targets.cpu().double().numpy(), strict=True)
    values = [structural_similarity(*pair, data_range=data_range, channel_axis=0) for pair in pairs]
    return torch.tensor(values, dtype=torch.float64)


class MeanOfValues(Metric):
    """Mean of values that have been measured before."""

    full_state_update = False
    total: Tensor
    count: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("total", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("count", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def _apply(self, fn: Callable[[Tensor], Tensor], exclude_state: Sequence[str] = ()) -> Module:
        """Move everything but the sums, because some devices have no float64."""
        return super()._apply(fn, exclude_state=("total", "count", *exclude_state))

    def update(self, values: Tensor) -> None:
        """Add values of any shape."""
        self.total += values.detach().cpu().double().sum()
        self.count += values.numel()

    def compute(self) -> Tensor:
        """Return the mean over all values since the last reset."""
        return (self.total / self.count).float()


class MeanPerImage(MeanOfValues):
    """Mean of one measure over images, independent of the batch size.

    Args:
        measure: Maps images and targets ``(B, C, H, W)`` in [0, 1] to ``(B,)``. Higher is better,
            unless its attribute ``higher_is_better`` is False.

    Attributes:
        per_image: The value of every image since the last reset, on this process.
    """

    def __init__(self, measure: Measure) -> None:
        super().__init__()
        self.measure = measure
        self.per_image: list[Tensor] = []

    @property
    def higher_is_better(self) -> bool:  # type: ignore[override]  # torchmetrics has an attribute
        """Whether higher values of the measure are better."""
        return getattr(self.measure, "higher_is_better", True)

    def update(self, images: Tensor, targets: Tensor) -> None:  # type: ignore[override]  # measured here
        """Add a batch.

        Raises:
            ValueError: If the shapes differ or a side is smaller than the measures' windows.
        """
        if images.shape != targets.shape or images.ndim != 4:
            raise ValueError(
                f"images {tuple(images.shape)} and ground truth {tuple(targets.shape)} must have "
                "one shape (B, C, H, W)"
            )
        if min(images.shape[-2:]) < MIN_SIDE:
            raise ValueError(
                f"metrics need images of at least {MIN_SIDE} x {MIN_SIDE} pixels, got "
                f"{images.shape[-1]} x {images.shape[-2]} (W x H)"
            )
        device = exact_device(images.device)
        with without_autocast(device.type):  # bf16 halves the SSIM
            values = self.measure(images.detach().to(device).float(), targets.to(device).float())
        super().update(values)
        self.per_image += values.detach().unbind()

    def reset(self) -> None:
        """Reset the mean and the values per image."""
        super().reset()
        self.per_image = []
