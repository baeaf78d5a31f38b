"""Expansion of W&B's command macros into the command of a run."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from spike_zoo.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from spike_zoo.sweeps.points import Point
    from spike_zoo.sweeps.spec import SweepSpec

_VARIABLE = re.compile(r"\$\{envvar:([A-Z0-9_]*)\}")


def expand_command(spec: SweepSpec, point: Point, environment: Mapping[str, str]) -> list[str]:
    """Return the command of one run, as ``wandb agent`` starts it.

    ``${envvar:NAME}`` may be inside a part of the command. The other macros are complete parts:
    ``${env}``, ``${interpreter}``, ``${program}``, ``${args}`` and its variants.

    Raises:
        ConfigError: If a macro or environment variable is unknown. W&B's agent would drop the macro
            and use the name of the variable as its value.
    """
    macros = {
        "env": ["/usr/bin/env"],
        "interpreter": ["python"],
        "program": [spec.program] if spec.program else [],
        **_argument_macros(point),
    }
    expanded: list[str] = []
    for part in spec.command:
        text = _with_variables(spec, part, environment)
        if not (text.startswith("${") and text.endswith("}")):
            expanded.append(text)
        elif text[2:-1] in macros:
            expanded += macros[text[2:-1]]
        else:
            known = ", ".join(f"${{{name}}}" for name in macros)
            raise ConfigError(
                f"{spec.path}: command: unknown macro {part}; the known macros are {known}"
            )
    return expanded


def _with_variables(spec: SweepSpec, part: str, environment: Mapping[str, str]) -> str:
    def value(match: re.Match[str]) -> str:
        if match[1] not in environment:
            raise ConfigError(f"{spec.path}: command: {part}: the variable {match[1]} is not set")
        return environment[match[1]]

    return _VARIABLE.sub(value, part)


def _argument_macros(point: Point) -> dict[str, list[str]]:
    pairs = [f"{name}={value}" for name, value in point.items()]
    switches = [
        f"--{name}" if isinstance(value, bool) else f"--{name}={value}"
        for name, value in point.items()
        if value is not False
    ]
    return {
        "args": [f"--{pair}" for pair in pairs],
        "args_no_equals": [text for n, value in point.items() for text in (f"--{n}", str(value))],
        "args_no_hyphens": pairs,
        "args_no_boolean_flags": switches,
        "args_json": [json.dumps(point)],
        "args_append_hydra": [f"+{pair}" for pair in pairs],
        "args_override_hydra": [f"++{pair}" for pair in pairs],
    }
