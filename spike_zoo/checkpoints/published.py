"""Names that ``spike_zoo.load`` accepts: methods without weights, shipped and published weights."""

from pathlib import Path
from typing import NamedTuple

from spike_zoo.checkpoints.artifacts import is_artifact
from spike_zoo.checkpoints.hub import is_on_hub
from spike_zoo.errors import MissingFileError, UsageError, closest
from spike_zoo.utils.files import EXPORT_NAME, how_to_make, shipped_weights, weights_file


class Weightless(NamedTuple):
    """A method that needs no weights."""

    class_path: str  #: import path of the class
    explanation: str  #: one sentence for readers who are new to spike cameras
    in_colour: bool = False  #: whether the method needs a sensor with Bayer filters
    #: settings that reports offer in addition, such as ``"average=9"``
    variants: tuple[str, ...] = ()


_CLASSICAL = "spike_zoo.methods.classical"

#: The methods that need no weights: ``load``, ``--method``, completion, reports and the
#: explanations of their images are derived from this mapping.
WEIGHTLESS = {
    "tfp": Weightless(
        f"{_CLASSICAL}.TFP",
        "TFP (texture from playback) averages the spikes of a window of planes: little noise, but "
        "what moves is blurred.",
    ),
    "tfi": Weightless(
        f"{_CLASSICAL}.TFI",
        "TFI (texture from interval) takes one over the time between two spikes of a pixel: sharp, "
        "but noisy; with average=9 it is the mean of nine planes.",
        variants=("average=9",),
    ),
    "tfstp": Weightless(
        f"{_CLASSICAL}.TFSTP",
        "TFSTP (texture from short-term plasticity) estimates the brightness from the state of a "
        "model synapse, from past spikes only.",
    ),
    "tfi-aligned": Weightless(
        f"{_CLASSICAL}.AlignedTFI",
        "tfi-aligned averages TFI along the estimated motion, over 65 planes.",
    ),
    "tfp-colour": Weightless(
        f"{_CLASSICAL}.ColourTFP", "tfp-colour demosaicks the image of TFP.", in_colour=True
    ),
    "tfi-colour": Weightless(
        f"{_CLASSICAL}.ColourTFI",
        "tfi-colour demosaicks the image of TFI, the mean of nine planes.",
        in_colour=True,
    ),
    "ssl-csc": Weightless(
        f"{_CLASSICAL}.FilledColour",
        "ssl-csc averages the samples of each colour along the motion, without learning.",
        in_colour=True,
    ),
    "tfi-aligned-colour": Weightless(
        f"{_CLASSICAL}.ColourAlignedTFI",
        "tfi-aligned-colour averages demosaicked planes along the motion and adds the residual of "
        "the samples.",
        in_colour=True,
    ),
}

#: Published files: an entry that identifies them -> the class whose ``from_official`` reads them.
PUBLISHED = {
    "spike_enc2.0.weight": "spike_zoo.methods.ssdm.SSDMStudentModule",
    "encoder.conv0.net.0.weight": "spike_zoo.methods.stir.STIRModule",
}


def weightless_names(*, in_colour: bool = False) -> list[str]:
    """Return the methods without weights for one kind of sensor, each followed by its variants."""
    return [
        ":".join(filter(None, (name, variant)))
        for name, method in WEIGHTLESS.items()
        if method.in_colour == in_colour
        for variant in ("", *method.variants)
    ]


def shipped_names() -> list[str]:
    """Return the names of the methods without weights and of the shipped weights."""
    return [*WEIGHTLESS, *shipped_weights()]


def located_weights(name_or_path: str | Path) -> Path:
    """Return the weights file of a shipped name or a path; MissingFileError lists the names."""
    name = str(name_or_path)
    path = weights_file(name_or_path)
    if not path.is_file():
        if Path(name).is_dir():
            raise MissingFileError.at(
                name,
                f"this folder holds no {EXPORT_NAME}, so it is no export; give one that 'python "
                "-m spike_zoo export' wrote, or a checkpoint, as runs/RUN/checkpoints/best.ckpt",
            )
        if command := how_to_make(name):
            raise MissingFileError.at(name, f"there is no such file. {command}")
        stem, settings = split_settings(name)
        if settings and stem in WEIGHTLESS:
            values = ", ".join(f"{setting}={value}" for setting, value in settings.items())
            raise MissingFileError.at(name, f"in Python it is load({stem!r}).adjusted({values})")
        raise MissingFileError.at(
            name,
            f"neither a file nor a shipped method.{closest(name, shipped_names())} Shipped are "
            f"{', '.join(shipped_names())}; else give a .ckpt, a .safetensors, an export folder "
            "or hf:owner/name.",
        )
    return path


def split_settings(wanted: str) -> tuple[str, dict[str, str]]:
    """Split ``name:setting=value,...``, as ``tfi:average=9``, into name and settings.

    Colons in paths and names of W&B artifacts are part of the name. A setting that is stated twice
    is a UsageError.
    """
    name, colon, rest = wanted.rpartition(":")
    parts = [part.partition("=") for part in rest.split(",")]
    if not colon or not all(equals for _, equals, _ in parts) or Path(wanted).exists():
        return wanted, {}
    settings = {setting.replace("-", "_"): value for setting, _, value in parts}
    if len(settings) < len(parts):
        raise UsageError(f"{wanted}: states a setting twice")
    return name, settings


def check_method(wanted: str) -> None:
    """Raise MissingFileError for an unknown method, without importing torch; remote names pass."""
    name, _ = split_settings(wanted)
    if not (name in WEIGHTLESS or is_artifact(name) or is_on_hub(name)):
        located_weights(name)
