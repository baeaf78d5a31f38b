"""Options of a report, and limits of its size."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from spike_zoo.formats.sidecar import RecordingSettings

#: Largest number of raw planes, of their bits, and of pixels of images, per scene of a report.
MAX_PLANES: Final = 61
MAX_BITS: Final = 16_000_000
MAX_PIXELS: Final = 12_000_000


@dataclass(frozen=True)
class Choices:
    """Options of a report, as of the command ``report``."""

    methods: Sequence[str] | None = None
    #: Whether a named method that takes seconds per image reconstructs only the plane of the
    #: first image. Default methods always do.
    limits_slow: bool = False
    center: int | None = None
    images: int = 5
    start: int = 0
    stop: int | None = None
    scenes: int = 1
    name: Sequence[str] | None = None
    coding_method: str = "sci"  #: the method that decodes a bitstream, and compresses
    deblurring: str = "ssdm-student"  #: the method that deblurs
    rates: bool = False
    truth: str | None = None
    #: of the recordings, also as options by name; those of ``.dat`` files only for a recording file
    dat: RecordingSettings = field(default_factory=RecordingSettings)
    device: str = "cpu"
    trust: bool = False

    def __post_init__(self) -> None:
        if isinstance(self.dat, dict):
            object.__setattr__(self, "dat", RecordingSettings(**self.dat))

    def planes_that_fit(self, height: int, width: int) -> int:
        """Return the number of raw planes of a size to show, an odd number."""
        most = max(1, min(MAX_PLANES, MAX_BITS // (height * width)))
        return most - 1 + most % 2

    def images_that_fit(self, layers: int, height: int, width: int) -> int:
        """Return the number of planes to reconstruct with a number of layers of a size."""
        return max(1, min(self.images, MAX_PIXELS // (layers * height * width)))
