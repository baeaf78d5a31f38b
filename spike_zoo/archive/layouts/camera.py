"""Camera settings of a folder of recordings: geometry, rate scale, rate and Bayer layout."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from spike_zoo.errors import UsageError
from spike_zoo.formats.dat import check_rotation
from spike_zoo.formats.recording import read_recording
from spike_zoo.formats.sidecar import folder_sidecar, own_sidecar
from spike_zoo.spikes.rate_scale import stated_rate_scale
from spike_zoo.spikes.recording import positive_number

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from spike_zoo.spikes.cfa import Cfa
    from spike_zoo.spikes.recording import SpikeRecording
    from spike_zoo.spikes.take import Take

_ONLY_DAT = ("height", "width", "offset", "bit_order", "frame_align")
#: Name, split and reader of a take.
FoundTake = tuple[str, str | None, "Callable[[], Take]"]


@dataclass(frozen=True)
class Camera:
    """Camera settings stated by the user, or defaults of a layout.

    Stated settings override those of files and sidecars, which override the defaults of a layout.
    """

    height: int | None = None  #: rows of ``.dat`` recordings
    width: int | None = None  #: stored columns of ``.dat`` recordings
    rate_scale: float | None = None  #: spikes per plane at white
    fps: float | None = None  #: planes per second
    #: whether ``.dat`` recordings store their rows bottom to top, as the sensors do; None: as their
    #: sidecars state, else true
    flip: bool | None = None
    #: reverse the columns of ``.dat`` recordings; None: as their sidecars state, else false
    mirror: bool | None = None
    #: rotate ``.dat`` recordings clockwise by 0, 90, 180 or 270 degrees, after flip and mirror;
    #: None: as their sidecars state, else 0
    rotate: int | None = None
    offset: int | None = None  #: bytes of ``.dat`` recordings before the first plane
    bit_order: str | None = None  #: ``"little"`` or ``"big"``, of ``.dat`` recordings
    frame_align: str | None = None  #: ``"byte"`` or ``"bit"``, of ``.dat`` recordings
    #: drop the incomplete last plane of a ``.dat`` recording, with a warning
    allow_partial: bool = False
    cfa: Cfa | None = None  #: layout of the Bayer filters of upright images
    #: file of ``calibrate`` (.yaml) whose maps are stored with every recording
    camera: str | None = None
    usual: Camera | None = None  #: defaults of the layout

    def __post_init__(self) -> None:
        check_rotation(self.rotate)
        for option, size in (("height", self.height), ("width", self.width)):
            if size is not None and size < 1:
                raise UsageError(f"--{option} must be at least 1, got {size}")
        stated_rate_scale(self.rate_scale)
        if self.fps is not None and not positive_number("fps", self.fps):
            raise UsageError(f"--fps must be finite and above 0, got {self.fps}")

    def read(self, path: Path) -> SpikeRecording:
        """Open a recording of any format; height and width are used for ``.dat`` only."""
        usual = self.usual or Camera()
        stated = {name: value for name, value in vars(self).items() if name != "usual"}
        if path.suffix.lower() == ".dat":
            stated["height"], stated["width"] = self._size(path, usual)
        else:
            stated |= dict.fromkeys(_ONLY_DAT)
        recording = read_recording(path, **stated, check_rows=True)
        recording.rate_scale = recording.rate_scale or usual.rate_scale
        recording.fps = recording.fps or usual.fps or 0.0
        recording.cfa = recording.cfa or usual.cfa
        return recording

    def _size(self, path: Path, usual: Camera) -> tuple[int | None, int | None]:
        """Return stated or default height and width of a ``.dat``; None if a sidecar has them."""
        sidecar = own_sidecar(path)
        if None in (self.height or sidecar.height, self.width or sidecar.width):
            sidecar = sidecar.or_else(folder_sidecar(path))
        # if a size is passed, the reader ignores the folder's sidecar with all its settings
        height = None if sidecar.height else usual.height
        width = None if sidecar.width else usual.width
        return self.height or height, self.width or width
