"""White balance and black level of images in colour."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

import numpy as np

from spike_zoo.errors import UsageError
from spike_zoo.spikes.cfa import cfa_masks
from spike_zoo.spikes.recording import SpikeRecording, stated_cfa

if TYPE_CHECKING:
    from torch import Tensor

GREY_WORLD: Final = "grey-world"
_SATURATED: Final = 0.95  # of the rate scale; pixels above are ignored
_PLANES: Final = 256


@dataclass(frozen=True)
class WhiteBalance:
    """Black level and channel gains of colour images."""

    #: Gains of red, green and blue. The smallest is 1, so that saturated pixels stay white.
    gains: tuple[float, float, float] = (1.0, 1.0, 1.0)
    black: float = 0.0  #: value of black, 0 to 1; white stays 1

    @classmethod
    def of(
        cls, option: str | None, black: float, recording: SpikeRecording, rate_scale: float
    ) -> Self:
        """Return the white balance of the options ``--white-balance`` and ``--black-level``."""
        if not 0 <= black < 1:
            raise UsageError(f"--black-level {black:g}: must be at least 0 and below 1")
        if option is None:
            return cls(black=black)
        gains = _grey_world(recording, rate_scale) if option == GREY_WORLD else _numbers(option)
        smallest = min(gains)
        red, green, blue = (float(gain / smallest) for gain in gains)
        return cls((red, green, blue), black)

    def __call__(self, image: Tensor) -> Tensor:
        """Apply black level and gains to an image ``(3, H, W)``; clip to [0, 1]."""
        gains = image.new_tensor(self.gains).view(3, 1, 1)
        return ((image - self.black) / (1 - self.black) * gains).clamp(0, 1)

    def __str__(self) -> str:
        red, green, blue = self.gains
        black = f", black level {self.black:g}" if self.black else ""
        return f"gains of red, green, blue {red:.3g}, {green:.3g}, {blue:.3g}{black}"


def _numbers(option: str) -> list[float]:
    try:
        gains = [float(part) for part in option.split(",")]
    except ValueError:
        gains = []
    if len(gains) != 3 or not all(0 < gain < 1000 for gain in gains):
        raise UsageError(
            f"--white-balance {option}: give three gains of red, green and blue above 0, such "
            f"as 1.8,1,1.4, or {GREY_WORLD}"
        )
    return gains


def _grey_world(recording: SpikeRecording, rate_scale: float) -> list[float]:
    """Return gains for equal means of the colours, without saturated pixels."""
    count, height, width = recording.shape
    first = max(0, (count - _PLANES) // 2)
    rates = recording.read(first, min(first + _PLANES, count)).mean(axis=0)
    counted = rates < _SATURATED * rate_scale
    masks = cfa_masks(stated_cfa(recording), height, width)
    means = [rates[mask & counted].mean() if (mask & counted).any() else 0.0 for mask in masks]
    if min(means) <= 0:
        raise UsageError(
            f"--white-balance {GREY_WORLD}: a colour has no spikes, or all its pixels are "
            "saturated; give three gains, such as 1.8,1,1.4"
        )
    return list(means[1] / np.array(means))
