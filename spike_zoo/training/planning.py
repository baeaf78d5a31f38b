"""Plan of a run from its command line: configuration, digest, names, folder and input files."""

from __future__ import annotations

import contextlib
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from spike_zoo.errors import ConfigError, MissingFileError, SpikeZooError, UsageError
from spike_zoo.training.configs import recorded_name
from spike_zoo.training.folders import CONFIG, RUN_DIR_VARIABLE
from spike_zoo.training.initial_weights import CKPT_PATH, INIT_FROM, MODEL
from spike_zoo.training.provenance import argument_defaults, config_hash, leaves
from spike_zoo.training.result import FILENAME, RunResult, variant_and_profile
from spike_zoo.utils.files import shipped_weights

if TYPE_CHECKING:
    from lightning.pytorch.cli import LightningArgumentParser

VERBS = ("fit", "validate", "test", "predict")
_PLACEHOLDER = re.compile(r"\{(\w*)\}")
#: Passes the files that a run starts from, as JSON: pattern of the configuration -> file.
FILES_VARIABLE = "SPIKE_ZOO_SWEEP_FILES"


@dataclass(frozen=True)
class Plan:
    """Plan of a run."""

    verb: str  # fit, test, ...
    configs: list[str]  # files in the order of the command line
    config: dict[str, Any]  # complete
    config_hash: str  # digest of the settings that change the result
    variant: str  # name of the row in a table
    profile: str | None
    seed: int | None

    def filled(self, template: str) -> str:
        """Replace ``{variant}``, ``{profile}``, ``{seed}`` and ``{hash}`` in a text."""
        names = {
            "variant": self.variant,
            "profile": self.profile or "none",
            "seed": str(self.seed),
            "hash": self.config_hash[:8],
        }

        for name in _PLACEHOLDER.findall(template):
            if name not in names:
                known = ", ".join(f"{{{name}}}" for name in names)
                raise UsageError(f"{template}: {{{name}}} is unknown, known are {known}")
        return _PLACEHOLDER.sub(lambda match: names[match[1]], template)

    @property
    def initial_weights(self) -> dict[str, str]:
        """Dotted key -> file that the run starts from, with ``*`` for unknown parts of its name."""
        arguments = self.config["model"].get("init_args") or {}
        texts = {f"{MODEL}{name}": value for name, value in leaves(arguments)}
        texts |= {key: self.config.get(key) for key in (CKPT_PATH, INIT_FROM)}
        shipped = shipped_weights()
        return {
            key: str(shipped.get(text, self.filled(text)))
            for key, text in texts.items()
            if isinstance(text, str) and ("/" in text or text in shipped)
        }

    def out(self, run_dir: Path) -> Path:
        """Return the output folder: ``run_dir`` for ``fit``, else ``run_dir/<verb>``."""
        return run_dir if self.verb == "fit" else run_dir / self.verb

    def result(self, run_dir: Path) -> Path:
        """Return the path of the record that the run writes."""
        return self.out(run_dir) / FILENAME


def plan_of(verb: str, config: Any, parser: LightningArgumentParser) -> Plan:  # noqa: ANN401  (Namespace)
    """Return the plan of a parsed command line, before placeholders are replaced."""
    content = dumped(parser, config)
    files = [name for path in config.config or [] for name in _recorded_names(Path(str(path)))]
    variant, profile = variant_and_profile(files)
    seed = config.seed_everything
    return Plan(verb, files, content, config_hash(content), variant, profile, seed)


def _recorded_names(file: Path) -> list[str]:
    """Return the name of a configuration in records, or the names that a run's own one records."""
    if file.name == CONFIG:
        with contextlib.suppress(SpikeZooError):  # not of a run, or the run has no record
            return RunResult.read(file.parent).configs
    return [recorded_name(str(file))]


def dumped(parser: LightningArgumentParser, config: Any, **options: bool) -> dict[str, Any]:  # noqa: ANN401  (Namespace)
    """Return parsed arguments as plain values; ``options`` are those of the parser's ``dump``."""
    options.setdefault("skip_unset", False)
    return yaml.safe_load(parser.dump(config, **options))


def fill_in(config: Any, plan: Plan) -> None:  # noqa: ANN401  (jsonargparse's Namespace)
    """Replace placeholders in ``run_dir``, ``ckpt_path`` and names of weights; find these weights.

    An ``init_from`` or a string argument of the model with a placeholder is a file of another run,
    such as ``runs/teacher/{profile}/*-{seed}-*/checkpoints/best.ckpt``. A sweep states the file of
    the run that it planned. Without a sweep, exactly one file must match.
    """
    if config.run_dir and _PLACEHOLDER.search(config.run_dir):
        planned = os.environ.get(RUN_DIR_VARIABLE)
        config.run_dir = planned or plan.filled(config.run_dir)
    if config.ckpt_path:
        config.ckpt_path = plan.filled(config.ckpt_path)
    arguments = config.model.get("init_args") or {}
    planned_files = json.loads(os.environ.get(FILES_VARIABLE, "{}"))
    texts = [(arguments, name, f"{MODEL}{name}") for name in arguments.keys()]  # noqa: SIM118  (dotted names)
    for holder, name, key in [*texts, (config, INIT_FROM, INIT_FROM)]:
        value = holder[name]
        if isinstance(value, str) and _PLACEHOLDER.search(value):
            pattern = plan.filled(value)
            holder[name] = _matching(planned_files.get(pattern, pattern), key)


def defaults_of(config: dict[str, Any], explicit: dict[str, Any]) -> dict[str, Any]:
    """Return dotted key -> value of the settings at their default; ``explicit`` is without them."""
    trainer = config.get("trainer", {})
    result = {f"trainer.{k}": v for k, v in trainer.items() if k not in explicit.get("trainer", {})}
    for part in ("model", "data"):
        defaults = dict(leaves(argument_defaults(config[part]["class_path"])))
        for key, value in leaves(config[part].get("init_args") or {}):
            if key in defaults and defaults[key] == value:
                result[f"{part}.init_args.{key}"] = value
    return result


def _matching(pattern: str, name: str) -> str:
    path = Path(pattern)
    files = sorted(Path(path.anchor).glob(str(path.relative_to(path.anchor))))
    if not files:
        raise MissingFileError(
            f"{pattern}: {name} names a file that another run makes, and it does not exist; "
            "'python -m spike_zoo sweep' runs what a sweep needs first"
        )
    if len(files) > 1:
        names = ", ".join(map(str, files))
        raise ConfigError(
            f"{pattern}: {name} matches several files: {names}; name one of them, or remove runs "
            "of older configurations"
        )
    return str(files[0])
