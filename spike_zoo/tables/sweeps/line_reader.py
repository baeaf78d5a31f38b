"""Parser of the command lines of fit, validate, test and predict."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import Namespace
from lightning.pytorch.cli import LightningArgumentParser

from spike_zoo.training.configs import with_files
from spike_zoo.training.libraries import quiet_libraries
from spike_zoo.training.planning import Plan, defaults_of, plan_of
from spike_zoo.training.resuming import copy_model_arguments, explicit_arguments
from spike_zoo.training.trainer import ZooCLI, cli_settings


class LineReader(ZooCLI):
    """Parser of command lines that instantiates no trainer, model or data."""

    def __init__(self) -> None:
        quiet_libraries()
        super().__init__(**cli_settings())

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:  # noqa: ANN401
        """Set an empty configuration; :meth:`read` parses the command lines."""
        self.config = Namespace({"subcommand": None, "seed_everything": False})  # type: ignore[no-untyped-call]  # jsonargparse has no hints there

    def before_instantiate_classes(self) -> None:
        """Skip the preparation of classes."""

    def instantiate_classes(self) -> None:
        """Skip the instantiation of classes."""

    def read(self, verb: str, arguments: Sequence[str]) -> tuple[Plan, str | None, dict[str, Any]]:
        """Return the plan of a command line, its ``--run_dir`` and the keys with default values."""
        parser = self._parser(verb)
        config = self.parser.parse_args([verb, *with_files(arguments)])[verb]
        if verb != "fit" and config.ckpt_path and Path(config.ckpt_path).is_file():
            copy_model_arguments(
                config.model, Path(config.ckpt_path), explicit_arguments(arguments)
            )
        plan = plan_of(verb, config, parser)
        explicit = yaml.safe_load(parser.dump(config, skip_default=True))
        return plan, config.run_dir, defaults_of(plan.config, explicit)
