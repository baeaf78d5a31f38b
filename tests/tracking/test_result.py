"""The record of a run survives its file, and damaged ones are named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from spike_zoo.errors import FormatError, MissingFileError, VersionError
from spike_zoo.tracking.result import RunResult, described_configs
from tests.helpers.results import make_result


def test_record_is_the_same_after_writing_and_reading(tmp_path: Path) -> None:
    result = make_result(checkpoint="runs/x/checkpoints/best.ckpt")
    result.write(tmp_path / "run" / "result.json")
    assert RunResult.read(tmp_path / "run") == result
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["result.json"]


def test_missing_record_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match=r"result\.json: there is no such result"):
        RunResult.read(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [("{", "not a result"), ("[]", "no field 'schema'"), ('{"schema": 1}', "field 'method'")],
)
def test_damaged_record_is_refused_naming_the_field(
    tmp_path: Path, content: str, message: str
) -> None:
    path = tmp_path / "result.json"
    path.write_text(content)
    with pytest.raises(FormatError, match=message):
        RunResult.read(path)


def test_record_of_a_newer_schema_is_refused_with_both_numbers(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    path.write_text(json.dumps({"schema": 7}))
    with pytest.raises(VersionError, match="schema 7, this version reads up to 2"):
        RunResult.read(path)


def test_variant_is_the_last_configuration_that_is_not_a_profile_or_logger() -> None:
    files = [
        "configs/stir.yaml",
        "experiments/stir/variants/one_field.yaml",
        "configs/profiles/smoke.yaml",
        "configs/loggers/wandb.yaml",
    ]
    assert described_configs(files) == ("one_field", "smoke")
    own = [*files[:3], "experiments/stir/profiles/smoke/student.yaml"]
    assert described_configs(own) == ("one_field", "smoke")


def test_record_comes_back_from_a_tracking_services_summary_but_for_its_configuration() -> None:
    result = make_result(config={"seed_everything": 0})
    summary = {**result.summary(), **result.metrics, "_runtime": 12, "epoch": 3}
    assert RunResult.from_summary(summary) == make_result(config={})
    del summary["variant"]
    with pytest.raises(FormatError, match="lacks the field 'variant'"):
        RunResult.from_summary(summary)
