"""Validation of the parameters of sweep files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from spike_zoo.errors import ConfigError
from spike_zoo.tables.sweeps.parameters import DISTRIBUTIONS, read_parameters

FILE = Path("s.yaml")


def test_the_distributions_and_their_keys_equal_those_of_wandbs_schema() -> None:
    schema = pytest.importorskip("sweeps.config.schema").sweep_config_jsonschema["definitions"]
    schema_keys: dict[str, set[str]] = {}
    for definition in schema.values():
        for alternative in definition.get("anyOf", [definition]):
            properties = alternative.get("properties", {})
            for name in properties.get("distribution", {}).get("enum", []):
                schema_keys[name] = set(properties) - {"distribution"}
    own_keys = {
        name: {*required, *optional} for name, (required, optional) in DISTRIBUTIONS.items()
    }
    assert own_keys == schema_keys


def test_bounds_that_yaml_reads_as_text_are_numbers() -> None:
    content = {"rate": {"min": "1e-5", "max": "1e-3", "distribution": "log_uniform_values"}}
    (rate,) = read_parameters(FILE, content).values()
    assert (rate["min"], rate["max"]) == (1e-5, 1e-3)


@pytest.mark.parametrize(
    ("parameter", "message"),
    [
        ({"distribution": "loguniform", "min": 0.1, "max": 1}, "unknown .* mean 'log_uniform'"),
        ({"values": 0.25}, "values must be a list with at least one value, found 0.25"),
        ({"values": []}, "values must be a list with at least one value"),
        ({"values": [1, None]}, "write the text 'null'"),
        ({"value": None}, "write the text 'null'"),
        ({"value": 0.1, "vals": 1}, "unknown key 'vals'"),
        ({"vals": [1]}, "unknown key 'vals'. Did you mean 'values'"),
        ({"value": 0.1, "min": 1}, "unknown key 'min' for the distribution 'constant'"),
        ({"min": 0.1}, "needs 'value', 'values', 'min' and 'max'"),
        ({"min": "low", "max": 1}, r"\.min must be a finite number, found 'low'"),
        ({"min": True, "max": 2}, r"\.min must be a finite number, found True"),
        ({"min": 2, "max": 1}, "min 2 must be less than max 1"),
        ({"distribution": "int_uniform", "min": 0.5, "max": 2}, "must be whole numbers"),
        ({"distribution": "log_uniform_values", "min": 0, "max": 1}, "must be above 0, found 0"),
        ({"distribution": "q_uniform", "min": 0, "max": 1, "q": 0}, "q must be above 0"),
        ({"distribution": "normal", "sigma": -1}, "sigma must be at least 0, found -1"),
        ({"distribution": "uniform", "min": 0}, "'uniform' needs the key 'max'"),
        ({"values": [1, 2], "probabilities": [0.5]}, "one number >= 0 for each value"),
        ({"values": [1, 2], "probabilities": [0.5, 0.4]}, "must add up to 1, found 0.9"),
        ({"parameters": {"b": {"value": 1}}}, "unknown key 'parameters'"),
        ([1, 2], "must be a mapping"),
    ],
)
def test_a_mistake_is_named_with_file_and_parameter(parameter: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=rf"s\.yaml: parameters\.a.*{message}"):
        read_parameters(FILE, {"a": parameter})
