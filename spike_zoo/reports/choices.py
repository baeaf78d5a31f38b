"""What a person may choose about a page, and how much fits on one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from spike_zoo.errors import UsageError
from spike_zoo.spikes.rate_scale import stated_rate_scale

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Bits of raw planes, and pixels of pictures, that one scene may bring into a page.
MOST_BITS: Final = 16_000_000
MOST_PIXELS: Final = 12_000_000


@dataclass(frozen=True)
class Choices:
    """What is shown, and how it is computed.

    Attributes:
        methods: Methods that reconstruct, see :func:`spike_zoo.reports.methods.loaded`; by default
            the classical ones and those that ship.
        limits_slow: Whether named methods that take seconds per picture reconstruct only the plane
            that is shown first, as they do by default.
        center: The plane that is shown first; by default the middle one.
        pictures: Planes that are reconstructed, spread over the recording.
        planes: Raw planes that are shown around the centre.
        start: First plane of a recording file that is shown.
        stop: Past its last plane; by default all are shown.
        scenes: Recordings of an archive or of a run's archive that are shown; 0 for none.
        names: Which recordings of an archive; by default some of the test split.
        codec: The method that decodes bitstreams and measures rates.
        deblurring: The method that makes sharp images of blurry ones.
        rates: Whether a recording is compressed at every quality, which takes minutes.
        rate_scale: Spikes per plane at white; by default what the recording states, else an
            estimate.
        truth: A picture of what the recording shows at the centre.
        dat: How a recording file is read: options of :func:`spike_zoo.read_recording`.
        device: Where methods compute: auto, cpu, cuda or mps.
        trust: Whether classes from outside this package may be imported.

    Raises:
        UsageError: If a number is outside its range.
    """

    methods: tuple[str, ...] = ()
    limits_slow: bool = False
    center: int | None = None
    pictures: int = 5
    planes: int = 61
    start: int = 0
    stop: int | None = None
    scenes: int = 1
    names: tuple[str, ...] = ()
    codec: str = "sci"
    deblurring: str = "ssdm-student"
    rates: bool = False
    rate_scale: float | None = None
    truth: str | None = None
    dat: Mapping[str, Any] = field(default_factory=dict)
    device: str = "cpu"
    trust: bool = False

    def __post_init__(self) -> None:
        for option, value, least in (
            ("pictures", self.pictures, 1),
            ("planes", self.planes, 1),
            ("scenes", self.scenes, 0),
        ):
            if value < least:
                raise UsageError(f"--{option} {value}: give at least {least}")
        stated_rate_scale(self.rate_scale)

    def planes_that_fit(self, height: int, width: int) -> int:
        """Return how many raw planes of a size are shown, an odd number."""
        most = max(1, min(self.planes, MOST_BITS // (height * width)))
        return most - 1 + most % 2

    def pictures_that_fit(self, layers: int, height: int, width: int) -> int:
        """Return how many planes are shown in so many pictures of a size each."""
        return max(1, min(self.pictures, MOST_PIXELS // (layers * height * width)))


def split_settings(wanted: str) -> tuple[str, dict[str, int]]:
    """Return a method's name and its settings; paths and W&B's names may hold colons too."""
    name, colon, rest = wanted.rpartition(":")
    parts = [part.partition("=") for part in rest.split(",")]
    if not colon or not all(equals for _, equals, _ in parts):
        return wanted, {}
    try:
        return name, {setting: int(value) for setting, _, value in parts}
    except ValueError as error:
        raise UsageError(f"--methods {wanted}: settings are whole numbers") from error
