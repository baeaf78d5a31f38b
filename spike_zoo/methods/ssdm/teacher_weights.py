"""The teacher's networks from files: checkpoints of their stages, exports, published weights."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from spike_zoo.errors import ConfigError, MissingFileError
from spike_zoo.nn.files import EXPORT_NAME
from spike_zoo.nn.official import check_entries, read_state_dict

if TYPE_CHECKING:
    from torch import nn

Part = Literal["bsn", "edsr"]
STAGES = {"bsn": "denoise", "edsr": "upsample"}


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
    file = Path(path) / EXPORT_NAME if Path(path).is_dir() else Path(path)
    if not file.is_file():
        raise MissingFileError(
            f"{file}: there is no such file of {name}'s weights; train them with "
            f"'python -m spike_zoo fit --config configs/ssdm_{stage}.yaml', or name another in "
            f"{part}",
            path=str(file),
        )
    state, prefix = read_state_dict(file), f"teacher.{part}."
    inside = {n.removeprefix(prefix): t for n, t in state.items() if n.startswith(prefix)}
    expected = network.state_dict()
    fixed = {name: tensor for name, tensor in expected.items() if "_mean." in name}
    found = fixed | (inside or state)
    check_entries(found, expected, str(file), name)
    network.load_state_dict(found)
