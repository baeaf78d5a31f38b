"""W&B logger that falls back to offline mode, never prompts for a login, and uploads no secrets."""

from __future__ import annotations

import os
import re
import shlex
import sys
import warnings
from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from lightning.fabric.loggers.logger import rank_zero_experiment
from lightning.pytorch.loggers import WandbLogger
from lightning.pytorch.utilities import rank_zero_only

from spike_zoo.checkpoints.saved_model import plain_hyper_parameters, read_checkpoint
from spike_zoo.errors import first_line
from spike_zoo.training.provenance import commit, redact
from spike_zoo.utils.environment import ensure_home

if TYPE_CHECKING:
    from lightning.pytorch.callbacks import ModelCheckpoint
    from wandb import Run

PROJECT = "spike_zoo"
ONLINE_MODES = (None, "online", "run", "shared")
TENSORS = ("state_dict", "optimizer_states", "lr_schedulers", "loops")  # of a checkpoint
MAX_TAG, MAX_ARTIFACT_NAME = 64, 128  # W&B's limits
_RESERVED = re.compile(r"[\\/:;,#?%']")  # not allowed in names of projects and ids of runs
_SERVICE = "WANDB_SERVICE"  # of a W&B process that another process started
#: Settings that disable W&B's metadata: it includes the command line with all values, user, host,
#: and the git remote, whose URL may contain a token; the captured console contains paths. This
#: package logs configuration, commit and versions instead. System metrics stay on.
SETTINGS = {
    "x_disable_meta": True,  # command line, host, user, program, working folder
    "host": "",
    "program": "spike_zoo",
    "disable_git": True,
    "disable_code": True,
    "save_code": False,
    "console": "off",
    "init_timeout": 30.0,
    "finish_timeout": 600.0,  # data not uploaded by then are still on disk
}


class SafeWandbLogger(WandbLogger):
    """Lightning's W&B logger; without account or network, the run is logged offline.

    There is no login prompt: if W&B cannot be used, one warning states the command that uploads
    the run later. Values are redacted by :func:`redact` before they are logged. W&B's recording of
    command line, host, git remote and console is disabled (``SETTINGS``).

    Args:
        project: By default the value of ``WANDB_PROJECT``, or ``"spike_zoo"``.
        entity: User or team; by default the user's.
        name: Name of the run; by default name and ``group`` are derived from the run's folder and
            variant.
        group: Name shared by repetitions of a run.
        tags: Tags in addition to method and profile.
        notes: Description of the run.
        id: Id of a run to resume.
        save_dir: Folder of ``wandb/``; the command line sets it to the run's folder.
        offline: Write local files only.
        log_model: Whether the best and the last checkpoint are uploaded as artefacts after a fit,
            see :meth:`log_checkpoints`.
        settings: Settings of W&B; they override ``SETTINGS``.
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
        ensure_home()
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
        # Not passed to Lightning, which rejects it in combination with offline.
        self._log_model = log_model
        self._latest_step = 0

    @property
    @rank_zero_experiment
    def experiment(self) -> Run:
        """The W&B run, started on first use."""
        if self._experiment is None and getattr(self, "_attach_id", None) is None:
            self._experiment = self._start_run()
            # As in Lightning: the x axis of curves is the trainer's step.
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
        """Set what the configuration does not state, the folder of ``wandb/``, and further tags.

        A resumed run continues the latest online run of the folder, if there is one.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self._save_dir = self._wandb_init["dir"] = str(folder)
        earlier = sorted((folder / "wandb").glob("run-*-*")) if is_resumed else []
        run_id = earlier[-1].name.split("-", 2)[2] if earlier else None  # run-DATE_TIME-ID
        defaults = {"name": name, "group": group, "job_type": job_type, "id": run_id}
        for key, value in defaults.items():
            self._wandb_init[key] = self._wandb_init.get(key) or value
        all_tags = [*(self._wandb_init.get("tags") or ()), *tags]
        self._wandb_init["tags"] = [tag[:MAX_TAG] for tag in dict.fromkeys(all_tags)]

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Log values at a step; values of the test after a fit get the fit's last step."""
        if step is not None and step < self._latest_step:  # the test's trainer counts from 0
            metrics = {name: value for name, value in metrics.items() if name != "epoch"}
            step = self._latest_step
        self._latest_step = step or self._latest_step
        super().log_metrics(metrics, step)

    @rank_zero_only
    def log_hyperparams(self, params: dict[str, Any] | Namespace) -> None:
        """Add to the run's configuration, without secrets."""
        named = vars(params) if isinstance(params, Namespace) else dict(params)
        super().log_hyperparams(redact(plain_hyper_parameters(named)))

    @rank_zero_only
    def log_result(self, summary: Mapping[str, Any]) -> None:
        """Write a run's record to the W&B summary, without secrets."""
        self.experiment.summary.update(redact(dict(summary)))

    def after_save_checkpoint(self, checkpoint_callback: ModelCheckpoint) -> None:
        """Do nothing; :meth:`log_checkpoints` uploads checkpoints after the fit."""

    @rank_zero_only
    def log_checkpoints(self, files: Mapping[str, Path], metadata: Mapping[str, Any]) -> None:
        """Upload checkpoints as versions of one artefact named after the run.

        ``spike_zoo.load("wandb:entity/project/name:best")`` loads them. Offline runs, and those
        with ``log_model: false``, upload nothing. ``files`` is alias -> checkpoint.
        """
        import wandb

        if not self._log_model or self.experiment.offline or self.experiment.disabled:
            return
        name = re.sub(r"[^\w.-]", "-", self.experiment.name or self.experiment.id)
        redacted = redact({**metadata, "run": self.experiment.id})
        for alias, path in files.items():
            artifact = wandb.Artifact(name[:MAX_ARTIFACT_NAME], "model", metadata=redacted)
            try:
                shared = _shareable(path, Path(self.experiment.dir).parent / "checkpoints")
                # Both options avoid a further copy. The path is relative because W&B uploads it.
                relative = os.path.relpath(shared)
                artifact.add_file(relative, path.name, policy="immutable", skip_cache=True)
                self.experiment.log_artifact(artifact, aliases=[alias])
            except (wandb.errors.Error, OSError) as error:
                warnings.warn(f"{path}: not uploaded to W&B ({error})", stacklevel=2)

    def _start_run(self) -> Run:
        import wandb

        remove_invalid_variables()
        user_settings = valid_settings(self._wandb_init.get("settings") or {})
        settings = wandb.Settings(**{**SETTINGS, "git_commit": commit(), **user_settings})
        arguments = valid_names({**self._wandb_init, "settings": settings})
        arguments.pop("anonymous", None)  # deprecated: only causes a warning
        user_mode: Any = arguments.pop("mode", None)
        mode: Any = "offline" if self._offline else user_mode or os.environ.get("WANDB_MODE")
        if mode not in ONLINE_MODES:
            return _start_locally(arguments, mode)
        try:
            if not wandb.login(prompt=False, verify=True):
                raise wandb.errors.UsageError("no account: log in once with 'wandb login'")
            return wandb.init(**arguments, mode=mode)
        except wandb.errors.Error as error:  # no account, no network, or not allowed
            reason = str(error).splitlines()[0]
        run = _start_locally(arguments, "offline")
        warnings.warn(
            f"W&B is offline for this run ({reason}). The run continues; upload it later with: "
            f"wandb sync {shlex.quote(str(Path(run.dir).parent))}",
            stacklevel=2,
        )
        return run


def _start_locally(arguments: Mapping[str, Any], mode: Any) -> Run:  # noqa: ANN401  (W&B's)
    """Start a run that needs no network; if W&B fails, it is disabled with a warning."""
    import wandb

    try:
        return wandb.init(**arguments, mode=mode)
    except (ValueError, OSError, wandb.errors.Error) as error:
        warnings.warn(f"W&B is disabled for this run ({first_line(error)})", stacklevel=2)
        return wandb.init(mode="disabled")


def finish_wandb(exit_code: int = 0) -> None:
    """Finish the W&B run of this process, if there is one; exit code 0 means success."""
    wandb = sys.modules.get("wandb")
    if wandb is not None and wandb.run is not None:
        wandb.finish(exit_code=exit_code)


def _shareable(path: Path, folder: Path) -> Path:
    """Write a copy of a checkpoint without the paths that Lightning stores, and return its path."""
    content = read_checkpoint(path)
    redacted = {
        name: value if name in TENSORS else redact(value) for name, value in content.items()
    }
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(redacted, folder / path.name)
    return folder / path.name


def valid_settings(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that W&B accepts; warn of the others."""
    import wandb

    valid = dict(given)
    for name, value in given.items():
        try:
            wandb.Settings(**{name: value})
        except (ValueError, wandb.errors.Error) as error:
            _warn(f"logger settings {name}", error)
            del valid[name]
    return valid


def valid_names(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a run with ``-`` for reserved characters of its project and id."""
    valid = dict(arguments)
    for name in ("project", "id"):
        value = arguments.get(name)
        if isinstance(value, str) and _RESERVED.search(value):
            valid[name] = _RESERVED.sub("-", value)
            warnings.warn(f"W&B: {name} {value!r} is changed to {valid[name]!r}", stacklevel=2)
    return valid


def remove_invalid_variables() -> None:
    """Remove variables ``WANDB_*`` that W&B rejects from the environment, and warn of them."""
    import wandb
    from wandb.sdk.lib.service.service_token import WandbServiceConnectionError

    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        try:
            if name == _SERVICE:
                wandb.setup()
            else:
                wandb.Settings().update_from_env_vars({name: os.environ[name]})
        except (ValueError, OSError, WandbServiceConnectionError, wandb.errors.Error) as error:
            _warn(f"variable {name}", error)
            del os.environ[name]


def _warn(what: str, error: Exception) -> None:
    reasons = getattr(error, "errors", None)  # of pydantic, whose text repeats the value
    text = reasons()[0]["msg"] if callable(reasons) else first_line(error)
    warnings.warn(f"W&B: {what} is ignored ({text})", stacklevel=2)
