"""W&B as a logger that never stops a run, asks for nothing, and uploads no secrets."""

from __future__ import annotations

import os
import re
import sys
import warnings
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from lightning.fabric.loggers.logger import rank_zero_experiment
from lightning.pytorch.loggers import WandbLogger
from lightning.pytorch.utilities import rank_zero_only

from spike_zoo.checkpoints.saved_model import read_checkpoint
from spike_zoo.records.provenance import commit
from spike_zoo.records.redaction import redact

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lightning.pytorch.callbacks import ModelCheckpoint
    from wandb import Run

FINISH_SECONDS = 600.0  # for what is still to be uploaded when a run ends
INIT_SECONDS = 30.0
PROJECT = "spike_zoo"
ONLINE_MODES = (None, "online", "run", "shared")
TENSORS = ("state_dict", "optimizer_states", "lr_schedulers", "loops")  # of a checkpoint
LONGEST_TAG, LONGEST_ARTIFACT_NAME = 64, 128  # W&B's limits
#: What W&B would note by itself holds the command line with all its values, user, host, and the
#: git remote, whose address may carry a token; its console capture holds paths. The run's
#: configuration, commit and versions are logged by us instead. System metrics stay on.
SETTINGS = {
    "x_disable_meta": True,  # command line, host, user, program, working folder
    "host": "",
    "program": "spike_zoo",
    "disable_git": True,
    "disable_code": True,
    "save_code": False,
    "console": "off",
    "init_timeout": INIT_SECONDS,
    "finish_timeout": FINISH_SECONDS,  # what is not uploaded by then is on the disk
}


class SafeWandbLogger(WandbLogger):
    """Lightning's logger for W&B; training goes on offline where there is no account or network.

    Nothing asks for a login: where W&B cannot be used, one warning names the command that uploads
    the run later. Values are logged as :func:`redact` shows them, and W&B's own record of
    command line, host, git remote and console is off (``SETTINGS``).

    Args:
        project: By default what ``WANDB_PROJECT`` says, else ``"spike_zoo"``.
        entity: User or team; by default your own.
        name: Of the run; by default this and ``group`` come from the run's folder and variant.
        group: What the run is a repetition of.
        tags: Words to filter by, beside method and profile.
        notes: A longer text.
        id: Of a run to continue.
        save_dir: Where ``wandb/`` goes; the command line puts it into the run's folder.
        offline: Write files alone.
        log_model: Whether the best and the last checkpoint become artefacts after a fit, see
            :meth:`log_checkpoints`.
        settings: Of W&B; come before ``SETTINGS``.
    """

    def __init__(
        self,
        project: str | None = None,
        *,
        entity: str | None = None,
        name: str | None = None,
        group: str | None = None,
        tags: Sequence[str] = (),
        notes: str | None = None,
        id: str | None = None,
        save_dir: str = ".",
        offline: bool = False,
        log_model: bool = False,
        settings: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(
            name,
            save_dir,
            id=id,
            offline=offline,
            project=project or os.environ.get("WANDB_PROJECT", PROJECT),
            entity=entity,
            group=group,
            tags=list(tags),
            notes=notes,
            settings=settings,
        )
        self._log_model = log_model  # Lightning rejects it beside offline, where it has no effect
        self._latest_step = 0

    @property
    @rank_zero_experiment
    def experiment(self) -> Run:
        """The run, begun when it is first asked for."""
        if self._experiment is None and getattr(self, "_attach_id", None) is None:
            self._experiment = self._begin()
            # as Lightning does: curves run over the trainer's steps
            self._experiment.define_metric("trainer/global_step")
            self._experiment.define_metric("*", step_metric="trainer/global_step", step_sync=True)
        return super().experiment

    def describe(
        self,
        name: str,
        *,
        folder: Path,
        group: str,
        job_type: str,
        tags: Sequence[str] = (),
        is_resumed: bool = False,
    ) -> None:
        """Say what the run is, before it begins; what the configuration says comes first.

        Args:
            name: Of the run.
            folder: Where ``wandb/`` goes.
            group: What the run is a repetition of.
            job_type: What kind of run it is.
            tags: Words to filter by, beside those of the configuration.
            is_resumed: Continue the run that was begun online in the folder, if there is one.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self._save_dir = self._wandb_init["dir"] = str(folder)
        earlier = _online_id(folder) if is_resumed else None
        filled = {"name": name, "group": group, "job_type": job_type, "id": earlier}
        for key, value in filled.items():
            self._wandb_init[key] = self._wandb_init.get(key) or value
        every = [*(self._wandb_init.get("tags") or ()), *tags]
        self._wandb_init["tags"] = [tag[:LONGEST_TAG] for tag in dict.fromkeys(every)]

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Log values at a step; those of the test after a fit stand at the fit's last step."""
        if step is not None and step < self._latest_step:  # that test's trainer counts from 0
            metrics = {name: value for name, value in metrics.items() if name != "epoch"}
            step = self._latest_step
        self._latest_step = step or self._latest_step
        super().log_metrics(metrics, step)

    @rank_zero_only
    def log_hyperparams(self, params: dict[str, Any] | Namespace) -> None:
        """Add to the run's configuration, without secrets."""
        named = vars(params) if isinstance(params, Namespace) else dict(params)
        hidden = ("_class_path", "_instantiator")
        kept = {name: value for name, value in named.items() if name not in hidden}
        super().log_hyperparams(redact(kept))

    @rank_zero_only
    def log_result(self, summary: Mapping[str, Any]) -> None:
        """Put a run's record into its summary, without secrets."""
        self.experiment.summary.update(redact(dict(summary)))

    def after_save_checkpoint(self, checkpoint_callback: ModelCheckpoint) -> None:
        """Do nothing: checkpoints are uploaded after the fit, by name."""

    @rank_zero_only
    def log_checkpoints(self, files: Mapping[str, Path], metadata: Mapping[str, Any]) -> None:
        """Upload checkpoints as versions of one artefact named after the run.

        ``spike_zoo.load("wandb:entity/project/name:best")`` opens them. Offline runs, and those
        with ``log_model: false``, leave them files.

        Args:
            files: Alias -> checkpoint.
            metadata: Shown beside them.
        """
        import wandb

        if not self._log_model or self.experiment.offline or self.experiment.disabled:
            return
        name = re.sub(r"[^\w.-]", "-", self.experiment.name or self.experiment.id)
        shown = redact({**metadata, "run": self.experiment.id})
        for alias, path in files.items():
            artifact = wandb.Artifact(name[:LONGEST_ARTIFACT_NAME], "model", metadata=shown)
            try:
                shared = _shareable(path, Path(self.experiment.dir).parent / "checkpoints")
                # no further copy: it is read only; relative, for its path is uploaded too
                here = os.path.relpath(shared)
                artifact.add_file(here, path.name, policy="immutable", skip_cache=True)
                self.experiment.log_artifact(artifact, aliases=[alias])
            except (wandb.errors.Error, OSError) as error:
                warnings.warn(f"{path}: not uploaded to W&B ({error})", stacklevel=2)

    def _begin(self) -> Run:
        import wandb

        given = self._wandb_init.get("settings") or {}
        settings = wandb.Settings(**{**SETTINGS, "git_commit": commit(), **given})
        arguments = {**self._wandb_init, "settings": settings}
        arguments.pop("anonymous", None)  # has no effect but a warning
        asked: Any = arguments.pop("mode", None)
        mode: Any = "offline" if self._offline else asked or os.environ.get("WANDB_MODE")
        if mode not in ONLINE_MODES:
            return wandb.init(**arguments, mode=mode)
        try:
            if not wandb.login(prompt=False, verify=True):
                raise wandb.errors.UsageError("no account: log in once with 'wandb login'")
            return wandb.init(**arguments, mode=mode)
        except wandb.errors.Error as error:  # no account, no network, or not allowed
            reason = str(error).splitlines()[0]
        run = wandb.init(**arguments, mode="offline")
        warnings.warn(
            f"W&B is offline for this run ({reason}). Everything else goes on; upload it later "
            f"with: wandb sync {Path(run.dir).parent}",
            stacklevel=2,
        )
        return run


def finish_wandb(exit_code: int = 0) -> None:
    """End the W&B run of this process, if there is one, so that the next one is its own."""
    wandb = sys.modules.get("wandb")
    if wandb is not None and wandb.run is not None:
        wandb.finish(exit_code=exit_code)


def _shareable(path: Path, folder: Path) -> Path:
    """Return a copy of a checkpoint without the paths that Lightning notes in it."""
    content = read_checkpoint(path)
    shown = {name: value if name in TENSORS else redact(value) for name, value in content.items()}
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(shown, folder / path.name)
    return folder / path.name


def _online_id(folder: Path) -> str | None:
    """Return the id of the newest run in a folder that was begun online."""
    found = sorted((folder / "wandb").glob("run-*-*"))
    return found[-1].name.rpartition("-")[2] if found else None
