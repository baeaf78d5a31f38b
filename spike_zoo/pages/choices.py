"""Options of a report, and limits of its size."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from spike_zoo.errors import UsageError
from spike_zoo.spikes.rate_scale import stated_rate_scale

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Largest number of bits of raw planes, and of pixels of pictures, per scene of a report.
MAX_BITS: Final = 16_000_000
MAX_PIXELS: Final = 12_000_000


@dataclass(frozen=True)
class Choices:
    """Options of a report.

    Attributes:
        methods: Methods that reconstruct, as for :func:`spike_zoo.pages.methods.load_methods`; by
            default five of increasing quality.
        limits_slow: Whether a named method that takes seconds per picture reconstructs only the
            plane of the first picture. Default methods always do.
        center: Plane of the first picture; by default the middle plane.
        pictures: Number of planes to reconstruct, spread over the recording.
        planes: Number of raw planes around the centre.
        start: First plane of a recording file.
        stop: Plane after the last one; by default the end of the recording.
        scenes: Number of recordings of an archive or of a run's archive; 0 for none.
        names: Names of recordings of an archive; by default recordings of the test split.
        codec: The method that decodes bitstreams and measures rates.
        deblurring: The method that deblurs.
        rates: Whether to compress the recording at every quality, which takes minutes.
        rate_scale: Spikes per plane at white; by default the value that the recording states, else
            an estimate.
        truth: Path of a ground-truth picture at the centre plane.
        dat: Options of :func:`spike_zoo.read_recording` for a recording file.
        device: Device of the methods: auto, cpu, cuda or mps.
        trust: Whether classes from outside this package may be imported.
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
        """Return the number of raw planes of a size to show, an odd number."""
        most = max(1, min(self.planes, MAX_BITS // (height * width)))
        return most - 1 + most % 2

    def pictures_that_fit(self, layers: int, height: int, width: int) -> int:
        """Return the number of planes to reconstruct with a number of layers of a size."""
        return max(1, min(self.pictures, MAX_PIXELS // (layers * height * width)))


def split_settings(wanted: str) -> tuple[str, dict[str, int]]:
    """Split ``name:setting=value,...`` into name and settings.

    Colons in paths and names of W&B artifacts are part of the name.
    """
    name, colon, rest = wanted.rpartition(":")
    parts = [part.partition("=") for part in rest.split(",")]
    if not colon or not all(equals for _, equals, _ in parts):
        return wanted, {}
    try:
        return name, {setting: int(value) for setting, _, value in parts}
    except ValueError as error:
        raise UsageError(f"--methods {wanted}: settings are whole numbers") from error
