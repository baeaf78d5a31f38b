"""Parameters of a sweep file, validated against the keys of W&B's distributions."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

from spike_zoo.errors import ConfigError, closest

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    Parameter = dict[str, Any]

#: Distributions between two bounds; the first three have a quantised variant.
_UNIFORM: Final = (
    *("uniform", "log_uniform", "log_uniform_values"),
    *("inv_log_uniform", "inv_log_uniform_values"),
)
#: W&B's distributions -> their required and optional keys.
DISTRIBUTIONS: Final[dict[str, tuple[tuple[str, ...], tuple[str, ...]]]] = {
    "constant": (("value",), ()),
    "categorical": (("values",), ()),
    "categorical_w_probabilities": (("values", "probabilities"), ()),
    **dict.fromkeys((*_UNIFORM, "int_uniform"), (("min", "max"), ())),
    **{f"q_{name}": (("min", "max"), ("q",)) for name in _UNIFORM[:3]},
    **dict.fromkeys(("normal", "log_normal"), ((), ("mu", "sigma"))),
    **dict.fromkeys(("q_normal", "q_log_normal"), ((), ("mu", "sigma", "q"))),
    "beta": ((), ("a", "b")),
    "q_beta": ((), ("a", "b", "q")),
}
_NUMBERS: Final = ("min", "max", "mu", "sigma", "q", "a", "b")
_KEYS: Final = ("distribution", "value", "values", "probabilities", *_NUMBERS)


def read_parameters(file: Path, content: Any) -> dict[str, Parameter]:  # noqa: ANN401  (any YAML value)
    """Return the parameters of a sweep file, with bounds as numbers.

    Bounds given as text are converted to numbers, because YAML 1.1 reads ``1e-5`` as text.
    """
    if not isinstance(content, dict) or not content:
        raise ConfigError(f"{file}: parameters must be a mapping of options, found {content!r}")
    parameters = {}
    for name, definition in content.items():
        place = f"{file}: parameters.{name}"
        if not isinstance(definition, dict):
            raise ConfigError(f"{place} must be a mapping, found {definition!r}")
        parameter = {
            key: _number(f"{place}.{key}", value) if key in _NUMBERS else value
            for key, value in definition.items()
        }
        try:
            _check(parameter)
        except ValueError as error:
            raise ConfigError(f"{place}: {error}") from error
        parameters[str(name)] = parameter
    return parameters


def _number(place: str, value: Any) -> float:  # noqa: ANN401  (any YAML value)
    number = value
    if isinstance(value, str):
        try:
            number = float(value)
        except ValueError:
            number = math.nan
    is_number = isinstance(number, int | float) and not isinstance(number, bool)
    if not is_number or not math.isfinite(number):
        raise ConfigError(f"{place} must be a finite number, found {value!r}")
    return number


def _check(parameter: Parameter) -> None:
    """Raise ``ValueError`` for a parameter that is not one of W&B's distributions."""
    _check_keys(parameter, _KEYS, "")
    name = str(parameter.get("distribution") or _default_distribution(parameter))
    if name not in DISTRIBUTIONS:
        raise ValueError(
            f"unknown distribution {name!r}.{closest(name, DISTRIBUTIONS, most=3)} "
            f"W&B has {', '.join(DISTRIBUTIONS)}"
        )
    required, optional = DISTRIBUTIONS[name]
    keys = ("distribution", *required, *optional)
    _check_keys(parameter, keys, f" for the distribution {name!r}")
    missing = [key for key in required if key not in parameter]
    if missing:
        raise ValueError(f"the distribution {name!r} needs the key {missing[0]!r}")
    _check_choices(parameter)
    low, high = parameter.get("min", 0), parameter.get("max", 1)
    if low >= high:
        raise ValueError(f"min {low} must be less than max {high}")
    if name == "int_uniform" and not (isinstance(low, int) and isinstance(high, int)):
        raise ValueError("min and max of 'int_uniform' must be whole numbers")
    if name.endswith("log_uniform_values") and low <= 0:
        raise ValueError(f"min of {name!r} must be above 0, found {low}")
    if parameter.get("q", 1) <= 0:
        raise ValueError(f"q must be above 0, found {parameter['q']}")
    for key in ("sigma", "a", "b"):
        if parameter.get(key, 1) < 0:
            raise ValueError(f"{key} must be at least 0, found {parameter[key]}")


def _check_keys(parameter: Parameter, known: Sequence[str], what: str) -> None:
    for key in map(str, parameter):
        if key not in known:
            hint = closest(key, known)
            raise ValueError(f"unknown key {key!r}{what}.{hint} Its keys are {', '.join(known)}")


def _default_distribution(parameter: Parameter) -> str:
    """Return the distribution that W&B assumes for a parameter without ``distribution``."""
    if "values" in parameter:
        is_weighted = "probabilities" in parameter
        return "categorical_w_probabilities" if is_weighted else "categorical"
    if "value" in parameter:
        return "constant"
    bounds = [parameter.get("min"), parameter.get("max")]
    if None in bounds:
        raise ValueError("it needs 'value', 'values', 'min' and 'max', or 'distribution'")
    return "int_uniform" if all(isinstance(bound, int) for bound in bounds) else "uniform"


def _check_choices(parameter: Parameter) -> None:
    values = parameter.get("values", [parameter.get("value", "")])
    if not isinstance(values, list) or not values:
        raise ValueError(f"values must be a list with at least one value, found {values!r}")
    if None in values:
        raise ValueError("W&B's agent passes null as 'None'; write the text 'null'")
    weights = parameter.get("probabilities", [1 / len(values)] * len(values))
    is_list = isinstance(weights, list) and len(weights) == len(values)
    if not is_list or not all(isinstance(one, int | float) and one >= 0 for one in weights):
        raise ValueError("probabilities must be one number >= 0 for each value")
    if not math.isclose(sum(weights), 1.0, rel_tol=1e-5):
        raise ValueError(f"probabilities must add up to 1, found {sum(weights):g}")
