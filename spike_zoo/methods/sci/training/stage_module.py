"""Modules that train one stage of SCI: what they begin with, what learns, what is frozen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from lightning.pytorch.utilities import rank_zero_info
from lightning.pytorch.utilities.types import OptimizerLRScheduler

from spike_zoo.checkpoints.partial import learn_only, load_part, set_frozen_to_eval
from spike_zoo.errors import ConfigError, MissingFileError
from spike_zoo.files import weights_file
from spike_zoo.methods.sci.training.stage_table import GIVES, as_table
from spike_zoo.nn.optimizers import adam
from spike_zoo.nn.schedules import make_scheduler
from spike_zoo.tasks.base import TaskModule

if TYPE_CHECKING:
    from collections.abc import Mapping

    from spike_zoo.methods.sci.codec.codec import SCICodec
    from spike_zoo.methods.sci.training.stage_table import Stage, StageSpec


class StagedModule(TaskModule):
    """What every module that trains a stage of SCI does, whatever its task.

    A subclass saves its hyper-parameters (``fem``, ``motion``: checkpoints to begin with;
    ``learning_rate``, ``schedule``, ``warmup``) and then calls :meth:`train_stage`.

    Attributes:
        stage: Name of the stage.
        row: What it does.
        codec: The networks.
    """

    stage: Stage
    row: StageSpec
    codec: SCICodec
    _has_weights = False

    def train_stage(self, stage: Stage, row: StageSpec, codec: SCICodec) -> None:
        """Take the networks of a stage, let its parts learn and freeze the others."""
        self.stage, self.row, self.codec = stage, row, codec
        learn_only(codec, row.learns)
        self.register_load_state_dict_post_hook(_note_weights)  # type: ignore[no-untyped-call]  # torch's

    def train(self, mode: bool = True) -> Self:
        """Set the mode of what learns; frozen parts stay in evaluation mode."""
        super().train(mode)
        set_frozen_to_eval(self.codec, self.row.learns)
        return self

    def setup(self, stage: str) -> None:
        """Make the metrics; before a fit, read the parts that the stage begins with.

        A checkpoint's weights come before theirs, so that it needs none of these files.

        Raises:
            ConfigError: If the file of one is not named.
            MissingFileError: If it is not there.
            WeightsError: If it holds another network.
        """
        super().setup(stage)
        resumes = self._trainer is not None and self._trainer.ckpt_path
        if stage == "fit" and not (resumes or self._has_weights):
            self.begin()

    def begin(self) -> None:
        """Read the parts that the stage begins with, see :func:`read_parts`.

        A fit does it; by itself it puts trained parts together, without training them together.
        """
        read_parts(self.codec, self.row, self.hparams)
        self._has_weights = True

    def finalize(self) -> None:
        """Make the entropy model final, where there is one, of the weights as they are."""
        if self.codec.coding is not None:
            self.codec.update_tables()

    def on_fit_start(self) -> None:
        """Write the schedule into the log, with what has how many parameters in this stage."""
        counts = "\n".join(
            f"| {name} | {sum(one.numel() for one in part.parameters()):,} | "
            f"{sum(one.numel() for one in part.parameters() if one.requires_grad):,} |"
            for name, part in self.codec.named_children()
        )
        rank_zero_info(
            f"{as_table()}\n\nstage {self.stage}:\n| module | params | trainable |\n"
            f"|---|---|---|\n{counts}"
        )

    def on_train_start(self) -> None:
        """Put frozen parts into evaluation mode: a trainer takes modes as it finds them."""
        super().on_train_start()
        self.train()

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Return Adam over exactly what the stage trains.

        Raises:
            ConfigError: If the schedule is a fraction of a run without an end.
        """
        hparams = self.hparams
        learning = [one for one in self.codec.parameters() if one.requires_grad]
        optimizer = adam(learning, hparams["learning_rate"])
        scheduler = make_scheduler(
            optimizer, hparams["schedule"], self.trainer, warmup=hparams["warmup"]
        )
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": scheduler, "interval": "step"},
        }


def read_parts(codec: SCICodec, row: StageSpec, files: Mapping[str, Any]) -> None:
    """Load the parts that a stage begins with from the checkpoints of the stages before it.

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
                f"runs/sci/{stage}', or name another in model.init_args.{stage}",
                path=str(file),
            )
        for part in GIVES[stage]:
            if getattr(codec, part) is not None:
                load_part(codec.get_submodule(part), file, f"codec.{part}")


def _note_weights(module: Any, keys: Any) -> None:  # noqa: ANN401  (torch's hook)
    module._has_weights = not keys.missing_keys
