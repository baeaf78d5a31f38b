"""LightningCLI for fit, validate, test and predict, with a folder and a record per run."""

import sys
import time
from argparse import ArgumentError
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from typing import Any

import torch
import yaml
from jsonargparse import Namespace
from lightning import Callback, LightningDataModule, LightningModule, Trainer
from lightning.pytorch.callbacks import LearningRateMonitor
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.plugins.io import CheckpointIO
from lightning.pytorch.utilities import rank_zero_only
from lightning.pytorch.utilities.exceptions import SIGTERMException

from spike_zoo.checkpoints.loading import fetch_weights, initialise
from spike_zoo.checkpoints.published import located_weights
from spike_zoo.data.base import ArchiveDataModule
from spike_zoo.errors import ConfigError, UsageError
from spike_zoo.tasks.base import MethodModule
from spike_zoo.training import checkpoints, defaults, folders, initial_weights, libraries, resuming
from spike_zoo.training.configs import add_run_options, check_configs, compile_networks, with_files
from spike_zoo.training.cost import CostMeter
from spike_zoo.training.csv_logger import last_values
from spike_zoo.training.divergence import StopAtDivergence, WarnOfConstantImages
from spike_zoo.training.evaluation import PerImageMetrics
from spike_zoo.training.folders import FOLDER, LAST, is_child
from spike_zoo.training.images import SampleImages
from spike_zoo.training.initial_weights import CKPT_PATH, INIT_FROM
from spike_zoo.training.planning import defaults_of, dumped, fill_in, plan_of
from spike_zoo.training.problems import check_options_known
from spike_zoo.training.progress import progress_callbacks
from spike_zoo.training.provenance import commit, config_hash, versions
from spike_zoo.training.result import FILENAME, RunResult, as_curve, shortest
from spike_zoo.training.stopping import StopBetweenBatches
from spike_zoo.training.wandb_logger import finish_wandb
from spike_zoo.utils.yaml_files import limit_aliases_of_options


def run_trainer(verb: str, arguments: Sequence[str]) -> None:
    """Run one of Lightning's verbs with stacked configurations."""
    libraries.quiet_libraries()
    check_configs(arguments)
    exit_code = 1  # until the run ends: W&B lists it as failed otherwise
    try:
        with libraries.process_arguments([verb, *with_files(arguments)]):
            ZooCLI(**cli_settings())
        exit_code = 0
    finally:
        finish_wandb(exit_code=exit_code)


def cli_settings() -> dict[str, Any]:
    """Return the arguments of :class:`ZooCLI`."""
    limit_aliases_of_options()
    # of a callback's default value, such as that of Timer
    yaml.SafeDumper.add_multi_representer(Enum, lambda dumper, x: dumper.represent_data(x.value))
    strict, verbs = {"exit_on_error": False}, ZooCLI.subcommands()
    return {
        "model_class": LightningModule,
        "datamodule_class": LightningDataModule,
        "save_config_callback": defaults.SaveRunConfig,
        "save_config_kwargs": {"save_to_log_dir": False},
        "subclass_mode_model": True,
        "subclass_mode_data": True,
        "seed_everything_default": 0,
        "auto_configure_optimizers": False,
        "parser_class": _Parser,
        "parser_kwargs": strict | {"prog": "spike-zoo"} | dict.fromkeys(verbs, strict),
    }


class _Parser(LightningArgumentParser):
    """Parser that rejects abbreviations; nested options have parsers of the same class."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, allow_abbrev=False, **{"prog": "spike-zoo", **kwargs})


class ZooCLI(LightningCLI):
    """LightningCLI with a folder per run, CSV metrics, resuming and ``result.json``."""

    @staticmethod
    def subcommands() -> dict[str, set[str]]:
        """Return the verb of this command line: parsers of all verbs take four times as long.

        Sweeps, which parse command lines of several verbs, have parsers of all of them.
        """
        verbs = LightningCLI.subcommands()
        return {verb: verbs[verb] for verb in sys.argv[1:2] if verb in verbs} or verbs

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add the options of a run to those of model, data and trainer."""
        add_run_options(parser)

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:  # noqa: ANN401
        """Parse arguments; choose the run's folder and its checkpoint before classes are built."""
        self.begin = time.perf_counter()
        try:
            super().parse_arguments(parser, args)
        except ArgumentError as error:
            check_options_known(
                error, libraries.options_of(self._parser(sys.argv[1])), sys.argv[1:]
            )
            raise
        verb = self.config.subcommand
        config, parser = self.config[verb], self._parser(verb)
        named = any(argument.partition("=")[0] == "--init_from" for argument in sys.argv)
        if verb != "fit" and not named:
            config.init_from = None  # that of a fit's configuration
        elif config.init_from is not None:
            config.init_from = str(fetch_weights(config.init_from))
        self.plan = plan_of(verb, config, parser)
        fill_in(config, self.plan)
        self.run_dir, is_named = folders.folder_of(config.run_dir, self.plan.configs)
        config.run_dir = str(self.run_dir)
        self.out = self.plan.out(self.run_dir)
        self.resumes = self.is_longer = False
        self.new_folders = folders.new_folders(self.run_dir, self.out)
        with self._folder_removed_on_failure():
            if verb == "predict" and not is_child():
                folders.check_no_predictions(self.out)
            if config.ckpt_path is not None:
                checkpoint = resuming.find_checkpoint(
                    config.ckpt_path, self.run_dir, allow_missing=verb == "fit" and is_named
                )
                self._use_checkpoint(checkpoint, config, parser)
            elif verb == "fit" and not is_child():
                folders.check_no_earlier_fit(self.run_dir)

    def _use_checkpoint(
        self, checkpoint: Path | None, config: Namespace, parser: LightningArgumentParser
    ) -> None:
        """Resume the run if its settings are equal, or copy the settings of another checkpoint."""
        config.ckpt_path = checkpoint and str(checkpoint)
        if checkpoint is None:
            return
        if is_fit := self.config.subcommand == "fit":
            resuming.check_has_optimizer(checkpoint)
        is_of_run = checkpoint.resolve().parent == (self.run_dir / FOLDER).resolve()
        self.resumes = is_fit and is_of_run
        if self.resumes:
            self.is_longer = resuming.check_unchanged(self.run_dir, *_settings(parser, config))
        elif config.init_from is not None:
            raise UsageError(
                "--init_from names weights alone, --ckpt_path a checkpoint; give one of them"
            )
        elif resuming.copy_model_arguments(
            config.model, checkpoint, resuming.explicit_arguments(sys.argv)
        ):
            self.plan = plan_of(self.config.subcommand, config, parser)

    def _parse_ckpt_path(self) -> None:
        """Do nothing: Lightning would import what a checkpoint names and override all options."""

    def before_instantiate_classes(self) -> None:
        """Set the options that are the same for every run."""
        config = self.config[self.subcommand]
        libraries.check_limits(self.subcommand, config.trainer)
        config.weights_only = True  # a checkpoint must not run code
        config.trainer.default_root_dir = str(self.out)
        defaults.configure_loggers(config.trainer.logger, self.out)
        if self.subcommand != "fit":
            config.trainer.enable_checkpointing = False
        if self.subcommand == "predict":
            config.return_predictions = False  # a callback writes them as files

    def instantiate_classes(self) -> None:
        """Build all classes, load initial weights, compile; remove the run's folder on failure."""
        with self._folder_removed_on_failure():
            config = self.config[self.subcommand]
            initial = None if config.init_from is None else located_weights(config.init_from)
            super().instantiate_classes()
            if initial is not None and not self.resumes:
                for line in initialise(self.model, initial, strict=config.init_strict):
                    _print(f"init_from {config.init_from}: {line}")
            compile_networks(self.model, self._get(self.config, "compile"))

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Build the trainer with the run's loggers, callbacks and checkpoint plugin."""
        given = self._get(self.config_init, "trainer")
        libraries.configure_devices(self.subcommand, given)
        given["logger"] = defaults.loggers_of(
            given["logger"], self.plan, self.run_dir, self.model, is_resumed=self.resumes
        )
        configured = [*_as_list(given["callbacks"]), *progress_callbacks(given)]
        given["callbacks"] = [*configured, *self._callbacks(given)]
        plugins = _as_list(given["plugins"])
        if not any(isinstance(plugin, CheckpointIO) for plugin in plugins):
            given["plugins"] = [*plugins, checkpoints.AtomicCheckpointIO()]
        trainer = super().instantiate_trainer(**kwargs)
        libraries.check_rank(trainer)
        libraries.check_precision(trainer)
        return trainer

    def _run_subcommand(self, subcommand: str) -> None:
        lock = folders.lock_for_training(self.run_dir) if subcommand == "fit" else nullcontext()
        with self._folder_removed_on_failure(), lock:
            self.start = folders.RunStart(
                getattr(self.datamodule, "data_sha256", None), self._origins()
            )
            if subcommand in ("validate", "test") and not is_child():
                settings = _settings(self._parser(subcommand), self.config[subcommand])
                folders.check_same_test(self.out, self.start, *settings)
            super()._run_subcommand(subcommand)

    def before_fit(self) -> None:
        """Record the initial data and weights; reject a resumed run if they differ.

        A missing test split is reported before the training.
        """
        is_tested = self._get(self.config, "test_after_fit")
        is_complete = not self._get(self.config, "trainer").fast_dev_run
        if is_tested and is_complete and isinstance(self.datamodule, ArchiveDataModule):
            self.datamodule.setup("test")
        if self.resumes:
            resuming.check_same_data(self.run_dir, self.start)
        if not is_child():
            checkpoint = self._get(self.config, CKPT_PATH) if self.resumes else None
            resuming.truncate_log(self.out / "metrics.csv", checkpoint and Path(checkpoint))
            self.start.write(self.run_dir)

    def after_fit(self) -> None:
        """Test the best checkpoint on one device and write ``result.json``."""
        trainer = self.trainer
        if trainer.interrupted or self._get(self.config, "trainer").fast_dev_run:
            return
        before = {} if self.stopper.has_begun else self._metrics_without_training()
        best, metrics = checkpoints.with_best(trainer)
        is_main = trainer.is_global_zero
        if trainer.world_size > 1:
            torch.distributed.destroy_process_group()
        if is_main:
            self._test_and_record(best, {**before, **metrics})
            (self.run_dir / FOLDER / checkpoints.PREVIOUS_LAST).unlink(missing_ok=True)

    def after_test(self) -> None:
        """Write ``result.json`` below ``test/``."""
        trainer: Any = self.trainer
        self._record(trainer.callbacks, trainer.callback_metrics, self._get(self.config, CKPT_PATH))

    def after_validate(self) -> None:
        """Print the path of the metrics."""
        _print(f"metrics: {self.out / 'metrics.csv'}")

    def after_predict(self) -> None:
        """Print the folder of the predictions."""
        _print(f"predictions: {self.out}")

    def _metrics_without_training(self) -> dict[str, float]:
        """Report a fit without any batch, and return the run's earlier metrics.

        They are read from its record, or from its log if it was killed before its test ended. A new
        run without training is rejected: its record would describe that of another run.
        """
        trainer = self.trainer
        reason = (
            f"nothing was trained: {trainer.current_epoch} epochs and {trainer.global_step} "
            f"updates are done, trainer.max_epochs is {trainer.max_epochs}, trainer.max_steps "
            f"{trainer.max_steps}, trainer.limit_train_batches {trainer.limit_train_batches}"
        )
        if not self.resumes:
            raise ConfigError(
                f"{reason}. Raise the limit, or start a new run from weights with --init_from FILE"
            )
        _print(f"{self.run_dir}: {reason}; the best checkpoint is tested")
        if (self.out / FILENAME).is_file():
            return RunResult.read(self.out).metrics
        return last_values(self.out / "metrics.csv")

    def _test_and_record(self, best: str, metrics: dict[str, Any]) -> None:
        callbacks = defaults.measuring_callbacks(self.out)
        if self._get(self.config, "test_after_fit"):
            tester = libraries.tester_of(
                self._get(self.config_init, "trainer"), self.trainer, callbacks
            )
            tester.test(
                self.model, datamodule=self.datamodule, ckpt_path=best or None, weights_only=True
            )
            metrics.update(tester.callback_metrics)
        self._record(callbacks, metrics, best or None)

    def _record(
        self, callbacks: Sequence[Callback], metrics: dict[str, Any], checkpoint: str | None
    ) -> None:
        meter = next(c for c in callbacks if isinstance(c, CostMeter))
        tested = next(c for c in callbacks if isinstance(c, PerImageMetrics))
        curves = self.model.curves if isinstance(self.model, MethodModule) else {}
        result = RunResult(
            method=defaults.method_of(self.model),
            variant=self.plan.variant,
            configs=self.plan.configs,
            profile=self.plan.profile,
            seed=self._get(self.config, "seed_everything"),
            data_sha256=self.start.data_sha256,
            metrics={name: shortest(float(value)) for name, value in sorted(metrics.items())},
            parameters=sum(parameter.numel() for parameter in self.model.parameters()),
            costs=meter.costs,
            wall_seconds=self.clock.state_dict()["seconds"],
            config=dumped(self._parser(self.subcommand), self.config[self.subcommand]),
            config_hash=config_hash(self.plan.config, self.start.begins_with),
            versions=versions(),
            commit=commit(),
            checkpoint=checkpoint and initial_weights.relative_to_cwd(checkpoint),
            checkpoint_sha256=checkpoint and initial_weights.weights_sha256(Path(checkpoint)),
            begins_with=self.start.begins_with,
            finished=datetime.now(UTC).isoformat(timespec="seconds"),
            images=tested.images,
            images_sha256=tested.images_sha256,
            curves={name: as_curve(points) for name, points in curves.items()},
        )
        path = self.out / FILENAME
        result.write(path)
        defaults.report_result(self.trainer.loggers, result, self.out / FOLDER)
        _print(f"result: {path}" + (f"\ncheckpoint: {checkpoint}" if checkpoint else ""))

    def _origins(self) -> dict[str, dict[str, Any]]:
        """Return option -> identity of the checkpoints that the run starts from.

        The checkpoint of a resumed run is left out, unless the run becomes longer with it.
        """
        config = dumped(self._parser(self.subcommand), self.config[self.subcommand])
        origins = {
            key: initial_weights.checkpoint_identity(path)
            for key, path in initial_weights.named_checkpoints(config)
        }
        if self.resumes and not self.is_longer:
            origins.pop(CKPT_PATH, None)
            origins |= resuming.earlier_start(self.run_dir)
        return {
            key: {**origin, "path": initial_weights.relative_to_cwd(origin["path"])}
            for key, origin in origins.items()
        }

    @contextmanager
    def _folder_removed_on_failure(self) -> Iterator[None]:
        """Remove the run's new folders if the run fails before training or evaluation."""
        has_failed = True
        try:
            yield
            has_failed = False
        except SIGTERMException:
            if is_child():  # the first process of the run reports the signal
                raise SystemExit(0) from None
            if self.stopper.is_interrupted:
                raise KeyboardInterrupt from None  # SIGINT stopped it
            raise
        finally:
            if has_failed and not is_child():
                folders.remove_failed_run(self.new_folders)

    def _callbacks(self, trainer: Any) -> list[Callback]:  # noqa: ANN401  (parsed arguments)
        """Return the callbacks of the verb that no configuration has to name."""
        self.clock, self.stopper = checkpoints.WallClock(self.begin), StopBetweenBatches()
        if self.subcommand != "fit":
            is_initialised = self._get(self.config, INIT_FROM) is not None
            return defaults.evaluation_callbacks(self.subcommand, self.out, is_initialised)
        monitored = self.model if trainer["limit_val_batches"] != 0 else None
        checkpointing = checkpoints.checkpoints_of(
            self.run_dir,
            monitored,
            is_resumed=self.resumes,
            has_images=getattr(self.datamodule, "targets", None) is None,
        )
        samples = SampleImages(self.out / "images")
        rates = [LearningRateMonitor(logging_interval="step")] if trainer["logger"] else []
        callbacks: list[Callback] = [StopAtDivergence(self.run_dir / FOLDER / LAST)]
        if self._get(self.config, CKPT_PATH) and (self.is_longer or not self.resumes):
            callbacks.append(resuming.SettingsOfThisRun())
        callbacks += [WarnOfConstantImages(), self.clock, self.stopper, checkpoints.ExactResume()]
        return [*callbacks, samples, *rates, *checkpointing]


def _settings(
    parser: LightningArgumentParser,
    config: Any,  # noqa: ANN401  (Namespace)
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return parsed arguments as plain values, and those of them that are defaults."""
    content = dumped(parser, config)
    return content, defaults_of(content, dumped(parser, config, skip_default=True))


def _as_list(value: Any) -> list[Any]:  # noqa: ANN401  (Trainer's unions)
    """Return None as an empty list, a list as its copy and any other value in a list."""
    if value is None:
        return []
    return list(value) if isinstance(value, list) else [value]


@rank_zero_only
def _print(text: str) -> None:
    print(text)
