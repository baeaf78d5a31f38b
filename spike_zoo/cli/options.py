"""Types and groups of options, and descriptions of those that several commands share."""

from __future__ import annotations

from inspect import unwrap
from typing import (
    TYPE_CHECKING,
    Any,
    Final,
    Literal,
    TypedDict,
    get_args,
    get_type_hints,
    is_typeddict,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    PositiveInt = int
    NonNegativeInt = int
    Port = int
    Quality = int
    Gop = int
    Fps = float
    Softness = float
else:  # jsonargparse rejects other values before the command is called
    from jsonargparse import typing

    PositiveInt, NonNegativeInt = typing.PositiveInt, typing.NonNegativeInt
    Port = Gop = typing.restricted_number_type("UpTo65535", int, [(">=", 1), ("<=", 65535)])
    Quality = typing.restricted_number_type("Quality", int, [(">=", 0), ("<=", 3)])
    Fps = typing.restricted_number_type("Fps", float, [(">=", 0.001), ("<=", 1000)])
    Softness = typing.restricted_number_type("Softness", float, [(">", 0), ("<=", 2)])

#: Option -> its description on the help pages of all commands that do not describe it themselves.
DESCRIPTIONS: Final = {
    "recording": "A recording (.dat, .npz, .npy, .h5 or .spl), a folder of recordings, or a "
    "pattern such as 'clips/*.dat'.",
    "start": "First plane. Default: 0.",
    "stop": "Plane after the last one. Default: the end of the recording.",
    "fps": "Images per second in a video.",
    "rate_scale": "Spikes per plane at white; auto uses the value that the recording states, else "
    "an estimate from the brightest pixels, which is printed.",
    "name": "Name of the recording in an archive.",
    "json": "Print JSON instead.",
    "device": "auto, cpu, cuda or mps.",
    "trust": "Import the class that a checkpoint names even if another package defines it.",
    "overwrite": "Replace existing files.",
    "jobs": "Number of processes; 0: one per core.",
    "cluster": "Run on a Dask cluster: tcp://HOST:PORT, its scheduler file, or slurm:FILE.yaml.",
    "height": "Rows of a .dat file. Default: as its sidecar states.",
    "width": "Columns of a .dat file. Default: as its sidecar states.",
    "offset": "Bytes of a .dat file before its first plane. Default: as its sidecar states, else "
    "0.",
    "bit_order": "little if the first pixel of each byte of a .dat file is its lowest bit; big if "
    "it is the highest, as numpy.packbits writes. Default: as its sidecar states, else little.",
    "frame_align": "For a .dat file whose planes are not whole bytes: byte if each plane starts on "
    "a byte, bit if they are stored without padding. Default: as its sidecar states.",
    "allow_partial": "Drop an incomplete last plane of a .dat file, with a warning.",
    "flip": "Whether a .dat file stores its rows bottom to top, as cameras do; false: top to "
    "bottom. Default: as its sidecar states, else true.",
    "mirror": "Reverse the columns of a .dat file. Default: as its sidecar states, else false.",
    "rotate": "Rotate a .dat file clockwise by 0, 90, 180 or 270 degrees, after flip and mirror. "
    "Default: as its sidecar states, else 0.",
    "camera": "Camera file of calibrate (.yaml) whose maps of gain, dark spikes and defects are "
    "applied. Default: as the recording states, else none.",
    "cfa": "Layout of the colour filters of a Bayer sensor in the upright image. Default: as the "
    "recording states, else grey.",
}


class DatSize(TypedDict, total=False):
    """Size and bit layout of a .dat file, which has no header that states them."""

    height: PositiveInt | None
    width: PositiveInt | None
    offset: NonNegativeInt | None
    bit_order: Literal["little", "big"] | None
    frame_align: Literal["byte", "bit"] | None


class DatOptions(DatSize, total=False):
    """All that a sidecar can state of the planes of a .dat file."""

    camera: str | None
    allow_partial: bool
    flip: bool | None
    mirror: bool | None
    rotate: Literal[0, 90, 180, 270] | None
    cfa: Literal["RGGB", "BGGR", "GRBG", "GBRG"] | None


_Mixes = Literal["all", "photographs", "textures", "unoccluded", "slow", "faster"]
Training = Literal[_Mixes, "one-camera", "light-levels"]


class SceneOptions(TypedDict, total=False):
    """Options of the simulated scenes. Each kind of archive supports some of them.

    Attributes:
        train: Number of training scenes; for "labelled" the number of images of each split; with
            --images the largest number of training images, evenly from all classes.
        val: Number of validation scenes, or largest number of validation images.
        test: Number of test scenes, or largest number of test images.
        height: Rows of a plane.
        width: Columns of a plane.
        planes: Planes of a scene.
        stride: Planes from one sharp image to the next. Default: 10; 7 for "sequence", 16 for
            "deblur".
        margin: Planes before the first and after the last sharp image; for "deblur" before and
            after the exposure. Default: 75; 6 for "sequence", 20 for "deblur".
        motion: Store the optical flow from each sharp image to the image before it. Default: only
            for "sequence".
        flow_offset: Store the optical flow from each sharp image to the planes at this distance
            before and after it, at most the margin. STIR's key times have a distance of 20.
        noise: Noise of the camera in all scenes: none, indoor-v1, lowlight-v1, ssdm-v1, or a camera
            file of calibrate (.yaml). Default: indoor-v1 in every second scene and none in the
            others; ssdm-v1 in all scenes of "deblur".
        training: Training scenes, to compare training data; only with "reconstruction". all (the
            default), photographs, textures, unoccluded (no objects), slow (at most 0.3 pixels per
            plane instead of 1), faster (at most 3), one-camera (rate scale 0.6, no noise),
            light-levels (rate scales 0.05 to 1, no noise).
        testing: Test scenes: eight images at three speeds (eight, the default), the three
            photographs of the committed results (three), or the 24 photographs that ship with this
            package at three speeds (photographs).
        photographs: Photographs of the training and validation scenes: default, those that ship
            with this package; or a folder with at least four photographs for training, in which
            images with transparent parts become moving objects. Validation scenes of a folder,
            and test scenes except with "reconstruction", show shipped photographs. Default: those
            of scikit-image.
        cfa: Layout of the Bayer filters of "colour". Default: RGGB.
        threshold: Firing threshold of S-SDM's camera, only with "deblur": 2, 4 and 8 are 1, 2 and 4
            in the paper. Default: 2.
        motions: Number of motions of each training image. Default: 4 for digits, 1 with --images.
        softness: Blur of the lens: the light is blurred by a Gaussian of this standard deviation
            in pixels before it is integrated, and the images stay sharp. A range such as 0:0.6
            gives each scene another value. Default: 0.
    """

    train: NonNegativeInt | None
    val: NonNegativeInt | None
    test: NonNegativeInt | None
    height: PositiveInt | None
    width: PositiveInt | None
    planes: PositiveInt | None
    stride: PositiveInt | None
    margin: NonNegativeInt | None
    motion: bool | None
    flow_offset: NonNegativeInt | None
    noise: str | None
    training: Training | None
    testing: Literal["eight", "three", "photographs"] | None
    photographs: str | None
    cfa: Literal["RGGB", "BGGR", "GRBG", "GBRG"] | None
    threshold: Literal[2, 4, 8] | None
    motions: PositiveInt | None
    softness: str | None


def resolve_types(command: Callable[..., Any]) -> None:
    """Replace the annotations of a command and of its option group by types.

    jsonargparse would also import all that their modules import for type checkers, such as torch.
    """
    hints = get_type_hints(command)
    command.__annotations__ = unwrap(command).__annotations__ = hints
    for group in filter(is_typeddict, map(_group, command.__annotations__.values())):
        group.__annotations__ = get_type_hints(group)


def types_of(command: Callable[..., Any]) -> dict[str, Any]:
    """Return the name and type of each parameter of a command, also of its option group."""
    types: dict[str, Any] = {}
    for name, kind in command.__annotations__.items():
        group = _group(kind)
        types |= group.__annotations__ if is_typeddict(group) else {name: kind}
    types.pop("return", None)
    return types


def _group(kind: Any) -> Any:  # noqa: ANN401  (any type)
    """Return the option group of ``Unpack[group]``."""
    return next(iter(get_args(kind)), None)
