"""Share of pixels that a rate scale clips to white."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from torch import Tensor

_REPORTED: Final = 0.01


class ClippedPixels:
    """Counter of the pixels at white, the highest value, in images in [0, 1].

    A rate scale of 1 spike per plane clips nothing.
    """

    def __init__(self, rate_scale: float) -> None:
        self.rate_scale = rate_scale
        self._white = self._lit = self._pixels = 0

    def counted(self, images: Iterable[Tensor]) -> Iterator[Tensor]:
        """Yield the images unchanged and count their pixels."""
        for image in images:
            self._white += int((image >= 1).sum())
            self._lit += int((image > 0).any())
            self._pixels += image.numel()
            yield image

    @property
    def share(self) -> float:
        """Clipped part of all pixels, 0 to 1."""
        return self._white / max(self._pixels, 1) if self.rate_scale < 1 else 0.0

    @property
    def note(self) -> str:
        """One line on black images, or on clipped pixels if they are more than 1 %; else empty."""
        if self._pixels and not self._lit:
            return (
                "warning: all images are black. Methods that measure intervals need two spikes of "
                "a pixel in their window; --method plain or tfp does not"
            )
        if self.share <= _REPORTED:
            return ""
        return (
            f"warning: {self.share:.1%} of the pixels are clipped or just white at a rate scale of "
            f"{self.rate_scale:.3g}; a larger --rate-scale clips fewer"
        )
