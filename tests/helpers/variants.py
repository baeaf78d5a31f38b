"""Variants of experiments/: which of them ``make test`` runs, and what building the rest shows."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from lightning.pytorch.cli import LightningCLI

from spike_zoo.data import ArchiveDataModule
from spike_zoo.records.provenance import leaves
from spike_zoo.runs.configs import with_files
from spike_zoo.sweeps import needed_first, read_sweep
from spike_zoo.sweeps.line_reader import LineReader
from tests.conftest import ROOT

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence


EXPERIMENTS = ROOT / "experiments"


def swept(method: str) -> set[Path]:
    """Return the variants that ``make smoke-tables`` runs: of a sweep and those it needs."""
    specs = needed_first(read_sweep(EXPERIMENTS / method / "sweep.yaml"))
    named = (spec.parameters.get("config", {}) for spec in specs)
    return {ROOT / name for config in named for name in config.get("values", [])}


def run_here(variants: Iterable[Path], *, beside: Iterable[Path] = ()) -> list[Path]:
    """Return one variant of each class and stage, and those that ``make smoke-tables`` leaves out.

    The others run there, as a sweep runs them; here they are built.

    Args:
        variants: All there are.
        beside: Other configurations that run: of what they are, no variant has to.
    """
    kinds = {kind_of(path) for path in beside}
    chosen = []
    for path in sorted(variants, key=lambda path: (path.stem != "full", path)):
        kind = kind_of(path)
        if kind not in kinds or path not in swept(path.parent.parent.name):
            chosen.append(path)
        kinds.add(kind)
    return chosen


def kind_of(path: Path) -> tuple[object, object]:
    """Return class and stage of the module that a file states."""
    model = stated(path)
    return model["class_path"], model.get("init_args", {}).get("stage")


def stated(path: Path) -> dict[str, Any]:
    """Return class and arguments of the module that a file states."""
    model: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))["model"]
    return model


def assert_builds(path: Path, line: Sequence[str], *, apart_from: Collection[str] = ()) -> None:
    """Look whether a command line builds the module that a variant states, and its data.

    Args:
        path: The variant.
        line: Verb and arguments.
        apart_from: Arguments that the line gives another value.
    """
    module, data = builder().build(line[0], line[1:])
    home = f"{type(module).__module__}.{type(module).__name__}"
    wanted = stated(path)
    assert home.startswith(wanted["class_path"].rpartition(".")[0])
    assert home.endswith(wanted["class_path"].rpartition(".")[2])
    built, stated_leaves = dict(leaves(dict(module.hparams))), leaves(wanted.get("init_args", {}))
    for name, value in stated_leaves:
        assert name in apart_from or built[name] == value, name
    assert isinstance(data, ArchiveDataModule)


@cache
def builder() -> Builder:
    """Return a builder; to make its parsers takes longer than to read a line."""
    return Builder()


class Builder(LineReader):
    """Builds what command lines name, and runs nothing."""

    def build(self, verb: str, arguments: Sequence[str]) -> tuple[Any, Any]:
        """Return the module and the data of a verb's line."""
        self.config = self.parser.parse_args([verb, *with_files(arguments)])
        self.subcommand = verb
        vars(self).pop("config_dump", None)  # of the line before
        LightningCLI.instantiate_classes(self)
        return self.model, self.datamodule

    def instantiate_trainer(self, **kwargs: Any) -> Any:
        """Build none: nothing is run."""


def profiles_of(sweep: Path) -> list[Path]:
    """Return the profiles that a sweep runs under; long ones are for sweeps of that name alone."""
    found = sorted((EXPERIMENTS.parent / "configs" / "profiles").glob("*.yaml"))
    short = [file for file in found if not file.stem.startswith("long")]
    return short + [file for file in found if sweep.stem == f"sweep_{file.stem}"]
