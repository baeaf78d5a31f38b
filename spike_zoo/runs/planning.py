"""What a run is, known from its command line alone: names, folder and digest."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from spike_zoo.errors import ConfigError, MissingFileError, UsageError
from spike_zoo.files import shipped_weights
from spike_zoo.records.initial_weights import CKPT_PATH, INIT_FROM, MODEL
from spike_zoo.records.provenance import argument_defaults, config_hash, leaves
from spike_zoo.records.result import FILENAME, variant_and_profile
from spike_zoo.runs.configs import recorded_name
from spike_zoo.runs.folders import RUN_DIR_VARIABLE

if TYPE_CHECKING:
    from lightning.pytorch.cli import LightningArgumentParser

VERBS = ("fit", "validate", "test", "predict")
_PLACEHOLDER = re.compile(r"\{(\w*)\}")
_SHORT_HASH = 8
#: Passes the files that a run starts from: what its configuration says -> the file, as JSON.
FILES_VARIABLE = "SPIKE_ZOO_SWEEP_FILES"


@dataclass(frozen=True)
class Plan:
    """A run before it begins.

    Attributes:
        verb: ``"fit"``, ``"test"``, ...
        configs: Configuration files, as stacked.
        config: The complete configuration.
        config_hash: Digest of what it computes.
        variant: Name of the row in a table.
        profile: Name of the profile.
        seed: Seed of the run.
    """

    verb: str
    configs: list[str]
    config: dict[str, Any]
    config_hash: str
    variant: str
    profile: str | None
    seed: int | None

    def filled(self, template: str) -> str:
        """Return a text with ``{variant}``, ``{profile}``, ``{seed}`` and ``{hash}`` filled in."""
        names = {
            "variant": self.variant,
            "profile": self.profile or "none",
            "seed": str(self.seed),
            "hash": self.config_hash[:_SHORT_HASH],
        }

        def value(match: re.Match[str]) -> str:
            if match[1] not in names:
                known = ", ".join(f"{{{name}}}" for name in names)
                raise UsageError(f"{template}: {match[0]} is unknown, known are {known}")
            return names[match[1]]

        return _PLACEHOLDER.sub(value, template)

    @property
    def reads(self) -> dict[str, str]:
        """Dotted key -> file that the run begins with, ``*`` for what is not known of its name."""
        arguments = self.config["model"].get("init_args") or {}
        texts = {f"{MODEL}{name}": value for name, value in arguments.items()}
        texts |= {key: self.config.get(key) for key in (CKPT_PATH, INIT_FROM)}
        shipped = shipped_weights()
        return {
            key: str(shipped.get(text, self.filled(text)))
            for key, text in texts.items()
            if isinstance(text, str) and ("/" in text or text in shipped)
        }

    def out(self, run_dir: Path) -> Path:
        """Return where the verb writes: a fit to the run's folder, others below it."""
        return run_dir if self.verb == "fit" else run_dir / self.verb

    def result(self, run_dir: Path) -> Path:
        """Return the record that the run will write."""
        return self.out(run_dir) / FILENAME


def plan_of(verb: str, config: Any, parser: LightningArgumentParser) -> Plan:  # noqa: ANN401  (Namespace)
    """Return the plan of a parsed command line, before anything in it is filled in."""
    content = dumped(parser, config)
    files = [recorded_name(str(path)) for path in config.config or []]
    variant, profile = variant_and_profile(files)
    seed = config.seed_everything
    return Plan(verb, files, content, config_hash(content), variant, profile, seed)


def dumped(parser: LightningArgumentParser, config: Any, **options: bool) -> dict[str, Any]:  # noqa: ANN401  (Namespace)
    """Return parsed arguments as plain values; options are those of the parser's ``dump``."""
    options.setdefault("skip_unset", False)
    return yaml.safe_load(parser.dump(config, **options))


def fill_in(config: Any, plan: Plan) -> None:  # noqa: ANN401  (jsonargparse's Namespace)
    """Fill names into ``run_dir``, ``ckpt_path`` and names of weights; find files they match.

    An ``init_from`` or a text of the model's with a name in braces is a file that another run made,
    as ``runs/teacher/{profile}/*-{seed}-*/checkpoints/best.ckpt``. A sweep states which run it
    planned that file from; else only one may match.

    Raises:
        MissingFileError: If no file matches; says that the other run comes first.
        ConfigError: If several match, made with other configurations.
    """
    if config.run_dir and _PLACEHOLDER.search(config.run_dir):
        planned = os.environ.get(RUN_DIR_VARIABLE)
        config.run_dir = planned or plan.filled(config.run_dir)
    if config.ckpt_path:
        config.ckpt_path = plan.filled(config.ckpt_path)
    arguments = config.model.get("init_args") or {}
    known = json.loads(os.environ.get(FILES_VARIABLE, "{}"))
    named = [(arguments, name, f"{MODEL}{name}") for name in vars(arguments)]
    for holder, name, key in [*named, (config, INIT_FROM, INIT_FROM)]:
        value = holder[name]
        if isinstance(value, str) and _PLACEHOLDER.search(value):
            pattern = plan.filled(value)
            holder[name] = _matching(known.get(pattern, pattern), key)


def defaults_of(config: dict[str, Any], stated: dict[str, Any]) -> dict[str, Any]:
    """Return dotted key -> value for keys at their default; ``stated`` is without defaults."""
    trainer = config.get("trainer", {})
    found = {f"trainer.{k}": v for k, v in trainer.items() if k not in stated.get("trainer", {})}
    for part in ("model", "data"):
        defaults = dict(leaves(argument_defaults(config[part]["class_path"])))
        for key, value in leaves(config[part].get("init_args") or {}):
            if key in defaults and defaults[key] == value:
                found[f"{part}.init_args.{key}"] = value
    return found


def as_list(value: Any) -> Any:  # noqa: ANN401  (any value of a configuration)
    """Return a value as YAML has it: a tuple as a list."""
    return list(value) if isinstance(value, tuple) else value


def _matching(pattern: str, name: str) -> str:
    path = Path(pattern)
    found = sorted(Path(path.anchor).glob(str(path.relative_to(path.anchor))))
    if not found:
        raise MissingFileError(
            f"{pattern}: {name} names what another run makes, and it is not there; "
            "'python -m spike_zoo sweep' runs what a sweep needs first"
        )
    if len(found) > 1:
        listed = ", ".join(map(str, found))
        raise ConfigError(
            f"{pattern}: {name} may be any of {listed}; name the one that is "
            "meant, or remove runs of older configurations"
        )
    return str(found[0])
