"""fit, validate, test and predict: LightningCLI, with one folder per run and a record of it."""

from __future__ import annotations

import logging
import os
import sys
import time
import warnings
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import yaml
from lightning import Callback, LightningDataModule, LightningModule, Trainer
from lightning.pytorch.callbacks import LearningRateMonitor, ModelCheckpoint
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI, SaveConfigCallback
from lightning.pytorch.utilities import rank_zero_only

from spike_zoo.cli.devices import settle_devices
from spike_zoo.cli.limits import check_limits
from spike_zoo.cli.loggers import loggers_of, method_of, place_loggers, report_result
from spike_zoo.cli.planning import fill_in, plan_of
from spike_zoo.errors import ExistingFileError, MissingFileError
from spike_zoo.methods.artifacts import fetch_artifact, is_artifact
from spike_zoo.methods.loading import read_checkpoint
from spike_zoo.tracking import (
    CostMeter,
    PerImageMetrics,
    PredictionPictures,
    RunResult,
    SafeWandbLogger,
    SampleImages,
    SampleVideo,
    commit,
    finish_wandb,
    versions,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

VERBS = ("fit", "validate", "test", "predict")
#: Given by whoever starts several processes of one run, so that all name the same folder.
RUN_IDS = ("WANDB_RUN_ID", "SLURM_JOB_ID", "TORCHELASTIC_RUN_ID")
#: Warnings of libraries that a user can do nothing about, or that describe what we do on purpose.
_CHATTER = (
    ".*set_vital.*",
    ".*LeafSpec.*",
    ".*does not have many workers.*",
    ".*callbacks used to create the checkpoint.*",
    ".*Checkpoint directory .* exists and is not empty.*",
    ".*is not supported by the model summary.*",
)
_PARENT_RUN_DIR = "SPIKE_ZOO_RUN_DIR"


def run_trainer(verb: str, arguments: Sequence[str]) -> None:
    """Run one of Lightning's verbs with stacked configurations."""
    quiet_libraries()
    with _process_arguments([verb, *arguments]):
        try:
            ZooCLI(**cli_settings())
        except BaseException:  # W&B lists the run as failed
            finish_wandb(exit_code=1)
            raise
    finish_wandb()


def cli_settings() -> dict[str, Any]:
    """Return the arguments of :class:`ZooCLI`."""
    strict = {"exit_on_error": False, "allow_abbrev": False}
    return {
        "model_class": LightningModule,
        "datamodule_class": LightningDataModule,
        "save_config_callback": SaveRunConfig,
        "save_config_kwargs": {"save_to_log_dir": False},
        "subclass_mode_model": True,
        "subclass_mode_data": True,
        "seed_everything_default": 0,
        "auto_configure_optimizers": False,
        "parser_kwargs": {**strict, "prog": "spike-zoo", **dict.fromkeys(VERBS, strict)},
    }


class SaveRunConfig(SaveConfigCallback):
    """Write the complete configuration into the run's folder and to W&B."""

    def save_config(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Write ``config.yaml``, whole or not at all.

        Without the checkpoint: that of the next command would be undone by it.
        """
        content = yaml.safe_load(self.parser.dump(self.config, skip_none=False))
        content.pop("ckpt_path", None)
        text = yaml.safe_dump(content, sort_keys=False)
        folder = Path(trainer.default_root_dir)
        folder.mkdir(parents=True, exist_ok=True)
        part = folder / "config.yaml.part"
        part.write_text(text, encoding="utf-8")
        part.replace(folder / "config.yaml")
        for logger in trainer.loggers:
            if isinstance(logger, SafeWandbLogger):
                logger.log_hyperparams({"config": content, "versions": versions()})


class ZooCLI(LightningCLI):
    """LightningCLI with a folder per run, CSV metrics always, resuming and ``result.json``."""

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add what a run needs beside model, data and trainer."""
        parser.add_argument(
            "--run_dir",
            type=str | None,
            default=None,
            help="Folder of the run; {variant}, {profile}, {seed} and {hash} (of what it computes) "
            "are filled in. runs/<configuration>-<UTC time> where not given.",
        )
        parser.add_argument(
            "--test_after_fit",
            type=bool,
            default=True,
            help="Whether a fit ends by testing its best checkpoint on one device.",
        )

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:  # noqa: ANN401
        """Parse, find the run's folder and the checkpoint before anything is built."""
        self.begin = time.perf_counter()
        super().parse_arguments(parser, args)
        verb = self.config.subcommand
        config = self.config[verb]
        self.plan = plan_of(verb, config, self._parser(verb))
        fill_in(config, self.plan)
        self._is_run_dir_given = config.run_dir is not None
        self.run_dir = Path(config.run_dir or _default_run_dir(self.plan.configs))
        config.run_dir = str(self.run_dir)
        os.environ[_PARENT_RUN_DIR] = str(self.run_dir)
        self.out = self.plan.out(self.run_dir)
        config.ckpt_path = self._checkpoint(config.ckpt_path, is_fit=verb == "fit")

    def before_instantiate_classes(self) -> None:
        """Set what no configuration should have to say."""
        config = self.config[self.subcommand]
        check_limits(self.subcommand, config.trainer)
        settle_devices(self.subcommand, config.trainer)
        config.weights_only = True  # checkpoints from others must not run code
        config.trainer.default_root_dir = str(self.out)
        place_loggers(config.trainer.logger, self.out)
        if self.subcommand != "fit":
            config.trainer.enable_checkpointing = False
        if self.subcommand == "predict":
            config.return_predictions = False  # they are written as files

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Build the trainer with the run's loggers and callbacks."""
        trainer = self._get(self.config_init, "trainer")
        is_resumed = self.subcommand == "fit" and bool(self._get(self.config, "ckpt_path"))
        trainer["logger"] = loggers_of(
            trainer["logger"], self.plan, self.run_dir, self.model, is_resumed=is_resumed
        )
        given = trainer["callbacks"] or []
        given = given if isinstance(given, list) else [given]
        trainer["callbacks"] = [*given, *self._callbacks(given, trainer)]
        return super().instantiate_trainer(**kwargs)

    def after_fit(self) -> None:
        """Test the best checkpoint on one device and write ``result.json``."""
        trainer = self.trainer
        if trainer.interrupted or self._get(self.config, "trainer").fast_dev_run:
            return
        metrics = dict(trainer.callback_metrics)
        kept = [c for c in trainer.checkpoint_callbacks if isinstance(c, ModelCheckpoint)]
        best = next((c.best_model_path for c in kept if c.best_model_path), "")
        for callback in kept:
            if callback.monitor and callback.best_model_score is not None:
                metrics[callback.monitor] = callback.best_model_score
        is_main = trainer.is_global_zero
        if trainer.world_size > 1:
            torch.distributed.destroy_process_group()
        if is_main:
            self._test_and_record(best, metrics)

    def after_test(self) -> None:
        """Write ``result.json`` below ``test/``."""
        meter = next(c for c in self.trainer.callbacks if isinstance(c, CostMeter))  # type: ignore[attr-defined]  # Lightning's list
        checkpoint = self._get(self.config, "ckpt_path")
        tested = next(c for c in self.trainer.callbacks if isinstance(c, PerImageMetrics))  # type: ignore[attr-defined]  # Lightning's list
        self._record(meter, dict(self.trainer.callback_metrics), checkpoint, tested)

    def after_validate(self) -> None:
        """Say where the numbers are."""
        _say(f"metrics: {self.out / 'metrics.csv'}")

    def after_predict(self) -> None:
        """Say where the pictures are."""
        _say(f"pictures: {self.out}")

    def _test_and_record(self, best: str, metrics: dict[str, Any]) -> None:
        meter, tested = CostMeter(), PerImageMetrics(self.out)
        if self._get(self.config, "test_after_fit"):
            settings = self._get(self.config_init, "trainer")
            tester = Trainer(
                accelerator=settings["accelerator"],
                devices=1,
                precision=settings["precision"],
                limit_test_batches=settings["limit_test_batches"],
                enable_progress_bar=settings["enable_progress_bar"],
                enable_model_summary=False,
                enable_checkpointing=False,
                deterministic=settings["deterministic"],
                logger=self.trainer.loggers,
                callbacks=[
                    meter,
                    SampleImages(self.out / "images"),
                    SampleVideo(self.out / "images"),
                    tested,
                ],
                default_root_dir=str(self.out),
            )
            tester.test(
                self.model, datamodule=self.datamodule, ckpt_path=best or None, weights_only=True
            )
            metrics.update(tester.callback_metrics)
        self._record(meter, metrics, best or None, tested)

    def _record(
        self,
        meter: CostMeter,
        metrics: dict[str, Any],
        checkpoint: str | None,
        tested: PerImageMetrics,
    ) -> None:
        config = yaml.safe_load(
            self._parser(self.subcommand).dump(self._config_of_verb(), skip_none=False)
        )
        result = RunResult(
            method=method_of(self.model),
            variant=self.plan.variant,
            configs=self.plan.configs,
            profile=self.plan.profile,
            seed=self._get(self.config, "seed_everything"),
            data_sha256=getattr(self.datamodule, "data_sha256", None),
            metrics={name: float(value) for name, value in sorted(metrics.items())},
            parameters=sum(parameter.numel() for parameter in self.model.parameters()),
            macs=meter.macs,
            image_size=meter.image_size,
            seconds_per_image=meter.seconds_per_image,
            wall_seconds=time.perf_counter() - self.begin,
            config=config,
            config_hash=self.plan.config_hash,
            versions=versions(),
            commit=commit(),
            checkpoint=checkpoint and _as_seen_from_here(checkpoint),
            images=tested.images,
            images_sha256=tested.images_sha256,
        )
        path = self.out / "result.json"
        result.write(path)
        report_result(self.trainer.loggers, result, self.out / "checkpoints")
        _say(f"result: {path}" + (f"\ncheckpoint: {checkpoint}" if checkpoint else ""))

    def _config_of_verb(self) -> Any:  # noqa: ANN401  (jsonargparse's namespace)
        return self.config[self.subcommand]

    def _checkpoint(self, named: str | None, *, is_fit: bool) -> str | None:
        """Return the checkpoint's file, ``best`` and ``last`` being those of the run's folder."""
        folder = self.run_dir / "checkpoints"
        if named is None:
            if is_fit and not _is_child() and (folder / "last.ckpt").exists():
                raise ExistingFileError(
                    f"{self.run_dir}: holds a run already. Resume it with --ckpt_path last, or "
                    "choose another --run_dir."
                )
            return None
        if is_artifact(named):
            path = fetch_artifact(named)
        else:
            path = folder / f"{named}.ckpt" if named in ("best", "last") else Path(named)
        if path.is_file():
            read_checkpoint(path)
            return str(path)
        if is_fit and named == "last" and self._is_run_dir_given:
            _say(f"{self.run_dir}: nothing to resume, the fit begins")
            return None
        raise MissingFileError(
            f"{path}: there is no such checkpoint; name a file, or --run_dir with 'best' or 'last'",
            path=str(path),
        )

    def _callbacks(self, given: list[Callback], trainer: Any) -> list[Callback]:  # noqa: ANN401
        if self.subcommand == "predict":
            return [PredictionPictures(self.out)]
        pictures = SampleImages(self.out / "images")
        if self.subcommand != "fit":
            video = SampleVideo(self.out / "images")
            return [pictures, video, CostMeter(), PerImageMetrics(self.out)]
        callbacks: list[Callback] = [pictures]
        if trainer["logger"]:
            callbacks.append(LearningRateMonitor(logging_interval="step"))
        if not any(isinstance(callback, ModelCheckpoint) for callback in given):
            callbacks += self._checkpointing(is_validated=trainer["limit_val_batches"] != 0)
        return callbacks

    def _checkpointing(self, *, is_validated: bool) -> list[Callback]:
        """Keep the last state of every epoch and of a stopped run, and the best one validated."""
        folder = self.run_dir / "checkpoints"
        last = ModelCheckpoint(
            dirpath=folder,
            filename="last",
            save_on_train_epoch_end=True,
            save_on_exception=True,
            enable_version_counter=False,
        )
        monitor = getattr(self.model, "monitor", None)
        if not is_validated or monitor is None:
            return [last]
        best = ModelCheckpoint(
            dirpath=folder,
            filename="best",
            monitor=monitor,
            mode=getattr(self.model, "monitor_mode", "min"),
            enable_version_counter=False,
        )
        return [best, last]


def _default_run_dir(config_paths: Sequence[str]) -> str:
    if _is_child() and _PARENT_RUN_DIR in os.environ:
        return os.environ[_PARENT_RUN_DIR]
    stem = Path(config_paths[0]).stem if config_paths else "run"
    given = next((os.environ[name] for name in RUN_IDS if name in os.environ), None)
    return f"runs/{stem}-{given or datetime.now(UTC).strftime('%Y%m%dT%H%M%S')}"


def _is_child() -> bool:
    """Tell whether another process of this run was there first."""
    return int(os.environ.get("LOCAL_RANK", "0")) > 0


@contextmanager
def _process_arguments(arguments: list[str]) -> Iterator[None]:
    """Let Lightning read the arguments where it looks for them, also in the processes it starts."""
    before = sys.argv
    sys.argv = [before[0], *arguments]
    try:
        yield
    finally:
        sys.argv = before


def quiet_libraries() -> None:
    """Leave out chatter and advertisements of libraries."""
    for message in _CHATTER:
        warnings.filterwarnings("ignore", message=message)
    for name in ("lightning.pytorch.utilities.rank_zero", "lightning.fabric.utilities.rank_zero"):
        logging.getLogger(name).addFilter(lambda record: "Tip:" not in record.getMessage())


def _as_seen_from_here(path: str) -> str:
    """Return a path relative to the working folder where it lies below: records travel."""
    absolute = Path(path).resolve()
    return str(absolute.relative_to(Path.cwd()) if absolute.is_relative_to(Path.cwd()) else path)


@rank_zero_only
def _say(text: str) -> None:
    print(text)
