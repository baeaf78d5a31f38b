"""The teacher's networks from files: checkpoints of their stages, exports, published weights."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from spike_zoo.checkpoints import partial as parts
from spike_zoo.errors import ConfigError, MissingFileError
from spike_zoo.files import weights_file
from spike_zoo.methods.ssdm.edsr import FIXED_PARTS

if TYPE_CHECKING:
    from torch import nn

Part = Literal["bsn", "edsr"]
STAGES = {"bsn": "denoise", "edsr": "upsample"}
FIXED: dict[Part, tuple[str, ...]] = {"bsn": (), "edsr": FIXED_PARTS}


def load_part(network: nn.Module, part: Part, path: str | Path | None) -> None:
    """Load weights into one of the teacher's networks.

    Args:
        network: :class:`BSN` or :class:`EDSR`.
        part: Which of them.
        path: A checkpoint or export of a module with the teacher inside, or the authors' file.

    Raises:
        ConfigError: If no path is given.
        MissingFileError: If there is no such file.
        WeightsError: If the file holds no such network.
    """
    name, stage = type(network).__name__, STAGES[part]
    if path is None:
        raise ConfigError(
            f"{part}: the teacher needs weights of {name}; give the checkpoint that "
            f"configs/ssdm_{stage}.yaml trained, or switch the network off"
        )
    file = weights_file(path)
    if not file.is_file():
        raise MissingFileError(
            f"{file}: there is no such file of {name}'s weights; train them with "
            f"'python -m spike_zoo fit --config configs/ssdm_{stage}.yaml', or name another in "
            f"{part}",
            path=str(file),
        )
    parts.load_part(network, file, f"teacher.{part}", optional=FIXED[part])
