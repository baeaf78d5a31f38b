"""Selection and instantiation of the variants of experiments/."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from lightning.pytorch.cli import LightningCLI

from spike_zoo.checkpoints.saved_model import plain_hyper_parameters
from spike_zoo.data import ArchiveDataModule
from spike_zoo.tables.sweeps.line_reader import LineReader
from spike_zoo.tables.sweeps.spec import needed_first, read_sweep
from spike_zoo.training.configs import with_files
from spike_zoo.training.provenance import leaves
from tests.conftest import ROOT

EXPERIMENTS = ROOT / "experiments"


@cache  # reading the sweeps of a method takes a tenth of a second, and tests ask per variant
def smoke_variants(method: str) -> set[Path]:
    """Return the variants of a method that ``make smoke-tables ALL=1`` runs."""
    return variants_of(EXPERIMENTS / method / "sweep.yaml")


def variants_of(sweep: Path) -> set[Path]:
    """Return the variants of a sweep and its required sweeps."""
    specs = needed_first(read_sweep(sweep))
    configs = (spec.parameters.get("config", {}) for spec in specs)
    return {ROOT / name for config in configs for name in config.get("values", [])}


def variants_to_run(variants: Iterable[Path], *, others: Iterable[Path] = ()) -> list[Path]:
    """Return one variant of each class and stage, and those that ``make smoke-tables`` omits.

    The other variants run in ``make smoke-tables``; tests only instantiate them.

    Args:
        variants: All variants.
        others: Other tested configurations; their classes and stages need no variant.
    """
    kinds = {class_and_stage(path) for path in others}
    chosen = []
    for path in sorted(variants, key=lambda path: (path.stem != "full", path)):
        kind = class_and_stage(path)
        if kind not in kinds or path not in smoke_variants(path.parent.parent.name):
            chosen.append(path)
        kinds.add(kind)
    return chosen


def class_and_stage(path: Path) -> tuple[object, object]:
    """Return class path and stage of the module in a configuration file."""
    model = stated_module(path)
    return model["class_path"], model.get("init_args", {}).get("stage")


def stated_module(path: Path) -> dict[str, Any]:
    """Return class path and arguments of the module in a configuration file."""
    model: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))["model"]
    return model


def assert_builds(path: Path, line: Sequence[str], *, except_for: Collection[str] = ()) -> None:
    """Assert that a command line instantiates the module of a variant, and its data.

    Args:
        path: The variant.
        line: Verb and arguments.
        except_for: Arguments that the command line overrides.
    """
    module, data = builder().build(line[0], line[1:])
    class_name = f"{type(module).__module__}.{type(module).__name__}"
    expected = stated_module(path)
    assert class_name.startswith(expected["class_path"].rpartition(".")[0])
    assert class_name.endswith(expected["class_path"].rpartition(".")[2])
    built, expected_leaves = (
        dict(leaves(plain_hyper_parameters(module.hparams))),
        leaves(expected.get("init_args", {})),
    )
    for name, value in expected_leaves:
        assert name in except_for or built[name] == value, name
    assert isinstance(data, ArchiveDataModule)


@cache
def builder() -> Builder:
    """Return the cached builder; creating its parsers takes longer than parsing a line."""
    return Builder()


class Builder(LineReader):
    """Instantiate the module and data of command lines without running them."""

    def build(self, verb: str, arguments: Sequence[str]) -> tuple[Any, Any]:
        """Return the module and the data of a command line."""
        self.config = self.parser.parse_args([verb, *with_files(arguments)])
        self.subcommand = verb
        vars(self).pop("config_dump", None)  # of the previous line
        LightningCLI.instantiate_classes(self)
        return self.model, self.datamodule

    def instantiate_trainer(self, **kwargs: Any) -> Any:
        """Return None, because nothing is run."""


def profiles_of(sweep: Path) -> list[Path]:
    """Return the profiles of a sweep; a long profile applies only to the sweep of its name."""
    profiles = sorted((EXPERIMENTS.parent / "configs" / "profiles").glob("*.yaml"))
    short = [file for file in profiles if not file.stem.startswith("long")]
    return short + [file for file in profiles if sweep.stem == f"sweep_{file.stem}"]
