"""Names that ``spike_zoo.load`` accepts: methods without weights, shipped and published weights."""

from __future__ import annotations

from pathlib import Path

from spike_zoo.checkpoints.artifacts import is_artifact
from spike_zoo.checkpoints.hub import is_on_hub
from spike_zoo.errors import MissingFileError, closest
from spike_zoo.files import EXPORT_NAME, shipped_weights, weights_file

#: Methods that need no weights: name -> class path.
WEIGHTLESS = {
    "tfp": "spike_zoo.methods.classical.TFP",
    "tfi": "spike_zoo.methods.classical.TFI",
    "tfstp": "spike_zoo.methods.classical.TFSTP",
    "tfi-aligned": "spike_zoo.methods.classical.AlignedTFI",
    "tfp-colour": "spike_zoo.methods.classical.ColourTFP",
    "tfi-colour": "spike_zoo.methods.classical.ColourTFI",
    "tfi-aligned-colour": "spike_zoo.methods.classical.ColourAlignedTFI",
    "ssl-csc": "spike_zoo.methods.classical.FilledColour",
}

#: Published files: an entry that identifies them -> the class whose ``from_official`` reads them.
PUBLISHED = {
    "spike_enc2.0.weight": "spike_zoo.methods.ssdm.SSDMStudentModule",
    "encoder.conv0.net.0.weight": "spike_zoo.methods.stir.STIRModule",
}


def shipped_names() -> list[str]:
    """Return the names of the methods without weights and of the shipped weights."""
    return [*WEIGHTLESS, *shipped_weights()]


def located_weights(name_or_path: str | Path) -> Path:
    """Return the weights file of a shipped name or a path.

    Raises:
        MissingFileError: If there is no such name or file; lists the names.
    """
    name = str(name_or_path)
    path = weights_file(name_or_path)
    if not path.is_file():
        if Path(name).is_dir():
            raise MissingFileError(
                f"{name}: this folder holds no {EXPORT_NAME}, so it is no export; give one that "
                "'python -m spike_zoo export' wrote, or a checkpoint, as runs/RUN/checkpoints/"
                "best.ckpt",
                path=name,
            )
        raise MissingFileError(
            f"{name}: neither a file nor a shipped method.{closest(name, shipped_names())} "
            f"Shipped are {', '.join(shipped_names())}; else give a .ckpt, a .safetensors, an "
            "export folder or hf:owner/name.",
            path=name,
        )
    return path


def check_method(name: str) -> None:
    """Raise MissingFileError for an unknown method, without importing torch; remote names pass."""
    if not (name in WEIGHTLESS or is_artifact(name) or is_on_hub(name)):
        located_weights(name)
