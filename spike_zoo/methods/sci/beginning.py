"""The checkpoints that a stage begins with, read part by part."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from spike_zoo.errors import ConfigError, MissingFileError
from spike_zoo.nn.files import weights_file
from spike_zoo.nn.parts import load_part

if TYPE_CHECKING:
    from collections.abc import Mapping

    from spike_zoo.methods.sci.network import SCICodec
    from spike_zoo.methods.sci.stages import Row


def read_parts(codec: SCICodec, row: Row, files: Mapping[str, Any]) -> None:
    """Load the parts that a stage does not train from the checkpoints of the stages before it.

    Args:
        codec: What takes the weights.
        row: The stage.
        files: Name of each stage -> the path of its checkpoint.

    Raises:
        ConfigError: If a path is missing; names the setting.
        MissingFileError: If there is no such file.
        WeightsError: If it holds another network, as one of another width.
    """
    for stage in row.begins_with:
        path = files.get(stage)
        if path is None:
            raise ConfigError(
                f"{stage}: this stage begins with a checkpoint of stage {stage!r}; name it in "
                f"model.init_args.{stage}, as runs/sci/{stage}/checkpoints/best.ckpt, which "
                f"configs/sci_{stage}.yaml trains"
            )
        file = weights_file(path)
        if not file.is_file():
            raise MissingFileError(
                f"{file}: there is no such checkpoint of stage {stage!r}; train it with "
                f"'python -m spike_zoo fit --config configs/sci_{stage}.yaml --run_dir "
                f"runs/sci/{stage}', or name another in {stage}",
                path=str(file),
            )
        load_part(codec.get_submodule(stage), file, f"codec.{stage}")
