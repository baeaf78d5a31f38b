"""Parameters of a sweep file, validated against the keys of W&B's distributions."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from spike_zoo.errors import ConfigError, closest

if TYPE_CHECKING:
    from pathlib import Path

    Parameter = dict[str, Any]


class Distribution(NamedTuple):
    """Required and optional keys of a distribution."""

    required: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()


#: Distributions between two bounds; the first three have a quantised variant.
_UNIFORM: Final = (
    *("uniform", "log_uniform", "log_uniform_values"),
    *("inv_log_uniform", "inv_log_uniform_values"),
)
DISTRIBUTIONS: Final[dict[str, Distribution]] = {
    "constant": Distribution(("value",)),
    "categorical": Distribution(("values",)),
    "categorical_w_probabilities": Distribution(("values", "probabilities")),
    **dict.fromkeys(_UNIFORM, Distribution(("min", "max"))),
    **{f"q_{name}": Distribution(("min", "max"), ("q",)) for name in _UNIFORM[:3]},
    **dict.fromkeys(("normal", "log_normal"), Distribution((), ("mu", "sigma"))),
    **dict.fromkeys(("q_normal", "q_log_normal"), Distribution((), ("mu", "sigma", "q"))),
    "beta": Distribution((), ("a", "b")),
    "q_beta": Distribution((), ("a", "b", "q")),
    "int_uniform": Distribution(("min", "max")),
}
"""W&B's distributions, by name."""
_NUMBERS: Final = ("min", "max", "mu", "sigma", "q", "a", "b")
_KEYS: Final = ("distribution", "value", "values", "probabilities", *_NUMBERS)


def read_parameters(file: Path, content: Any) -> dict[str, Parameter]:  # noqa: ANN401  (any YAML value)
    """Return the parameters of a sweep file, with bounds as numbers.

    Bounds given as text are converted to numbers, because YAML 1.1 reads ``1e-5`` as text.

    Raises:
        ConfigError: If a parameter is not a valid distribution of W&B; states file and parameter.
    """
    if not isinstance(content, dict) or not content:
        raise ConfigError(f"{file}: parameters must be a mapping of options, found {content!r}")
    return {
        str(name): _parameter(f"{file}: parameters.{name}", definition)
        for name, definition in content.items()
    }


def _parameter(place: str, content: Any) -> Parameter:  # noqa: ANN401  (any YAML value)
    if not isinstance(content, dict):
        raise ConfigError(f"{place} must be a mapping, found {content!r}")
    parameter = {
        key: _number(f"{place}.{key}", value) if key in _NUMBERS else value
        for key, value in content.items()
    }
    name = str(parameter.get("distribution") or _default_distribution(place, parameter))
    if name not in DISTRIBUTIONS:
        raise ConfigError(
            f"{place}: unknown distribution {name!r}.{closest(name, DISTRIBUTIONS, most=3)} "
            f"W&B has {', '.join(DISTRIBUTIONS)}"
        )
    required, optional = DISTRIBUTIONS[name]
    allowed = ("distribution", *required, *optional)
    unknown = [str(key) for key in parameter if key not in allowed]
    if unknown:
        raise ConfigError(
            f"{place}: unknown key {unknown[0]!r} for the distribution {name!r}."
            f"{closest(unknown[0], allowed)} Its keys are {', '.join(allowed)}"
        )
    missing = [key for key in required if key not in parameter]
    if missing:
        raise ConfigError(f"{place}: the distribution {name!r} needs the key {missing[0]!r}")
    _check_choices(place, parameter)
    _check_range(place, name, parameter)
    return parameter


def _default_distribution(place: str, parameter: Parameter) -> str:
    """Return the distribution that W&B assumes for a parameter without ``distribution``."""
    if "values" in parameter:
        is_weighted = "probabilities" in parameter
        return "categorical_w_probabilities" if is_weighted else "categorical"
    if "value" in parameter:
        return "constant"
    bounds = [parameter.get("min"), parameter.get("max")]
    if None not in bounds:
        return "int_uniform" if all(isinstance(bound, int) for bound in bounds) else "uniform"
    unknown = [str(key) for key in parameter if key not in _KEYS]
    hint = closest(unknown[0], _KEYS) if unknown else ""
    if unknown:
        raise ConfigError(f"{place}: unknown key {unknown[0]!r}.{hint} Use {', '.join(_KEYS)}")
    raise ConfigError(f"{place} needs 'value', 'values', 'min' and 'max', or 'distribution'")


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


def _check_choices(place: str, parameter: Parameter) -> None:
    values = parameter.get("values", [parameter.get("value", "")])
    if not isinstance(values, list) or not values:
        raise ConfigError(
            f"{place}: values must be a list with at least one value, found {values!r}"
        )
    if None in values:
        raise ConfigError(f"{place}: W&B's agent passes null as 'None'; write the text 'null'")
    weights = parameter.get("probabilities")
    if weights is None:
        return
    is_list = isinstance(weights, list) and len(weights) == len(values)
    if not is_list or not all(
        isinstance(weight, int | float) and weight >= 0 for weight in weights
    ):
        raise ConfigError(f"{place}: probabilities must be one number >= 0 for each value")
    if not math.isclose(sum(weights), 1.0, rel_tol=1e-5):
        raise ConfigError(f"{place}: probabilities must add up to 1, found {sum(weights):g}")


def _check_range(place: str, name: str, parameter: Parameter) -> None:
    """Check the ranges of a distribution's numbers."""
    low, high = parameter.get("min", 0), parameter.get("max", 1)
    if low >= high:
        raise ConfigError(f"{place}: min {low} must be less than max {high}")
    if name == "int_uniform" and not (isinstance(low, int) and isinstance(high, int)):
        raise ConfigError(f"{place}: min and max of 'int_uniform' must be whole numbers")
    if name.endswith("log_uniform_values") and low <= 0:
        raise ConfigError(f"{place}: min of {name!r} must be above 0, found {low}")
    if parameter.get("q", 1) <= 0:
        raise ConfigError(f"{place}: q must be above 0, found {parameter['q']}")
    for key in ("sigma", "a", "b"):
        if parameter.get(key, 1) < 0:
            raise ConfigError(f"{place}: {key} must be at least 0, found {parameter[key]}")
