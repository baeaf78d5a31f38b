"""Writing and reading of ``result.json``, and errors of damaged files."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from spike_zoo.errors import FormatError, MissingFileError, VersionError
from spike_zoo.training.result import Cost, RunResult, variant_and_profile
from spike_zoo.training.stored import read_records
from tests.conftest import ROOT
from tests.helpers.results import make_result

COMMITTED = sorted((ROOT / "experiments").glob("*/results/*/records.jsonl"))
#: Record of a codec: costs of four jobs, and quality at four rates by three metrics.
COSTS = {
    job: Cost(macs=29_011_000_000, seconds=0.161799341000005, size=(250, 400))
    for job in ("forward", "compress", "decompress", "reconstruct")
}
CURVES = {
    f"rate_distortion/{name}": tuple(
        (0.0123456789012345 * n, 30.123456789012345 + n) for n in range(8)
    )
    for name in ("psnr", "ssim", "accuracy")
}


def test_missing_record_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match=r"result\.json: there is no such result"):
        RunResult.read(tmp_path)


def _record_text(**fields: Any) -> str:
    """Return the text of a record with replaced costs or curves."""
    own = ("costs", "curves", "macs", "image_size", "seconds_per_image")
    content = {key: value for key, value in make_result().summary().items() if key not in own}
    return json.dumps({**content, "config": {}, "metrics": {}, **fields})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not a result"),
        ("[]", "no field 'schema'"),
        ('{"schema": 2}', "field 'method'"),
        (_record_text(), "lacks the field 'costs'"),
        (_record_text(costs=3), "damaged costs or curves"),
        (_record_text(costs={}, curves={"rate": [[1]]}), "damaged costs or curves"),
    ],
)
def test_a_damaged_record_is_rejected_with_its_field(
    tmp_path: Path, content: str, message: str
) -> None:
    path = tmp_path / "result.json"
    path.write_text(content)
    with pytest.raises(FormatError, match=message):
        RunResult.read(path)


def test_a_record_of_a_newer_schema_is_rejected_with_both_numbers(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    path.write_text(json.dumps({"schema": 7}))
    with pytest.raises(VersionError, match="schema 7, but this version reads schema 2; update"):
        RunResult.read(path)


def test_variant_is_the_last_configuration_that_is_not_a_profile_or_logger() -> None:
    files = [
        "configs/stir.yaml",
        "experiments/stir/variants/one_field.yaml",
        "configs/profiles/smoke.yaml",
        "configs/loggers/wandb.yaml",
    ]
    assert variant_and_profile(files) == ("one_field", "smoke")
    own = [*files[:3], "experiments/stir/profiles/smoke/student.yaml"]
    assert variant_and_profile(own) == ("one_field", "smoke")
    with_long_profile = [*files[:3], "experiments/stir/profiles/long/motion.yaml"]
    assert variant_and_profile(with_long_profile) == ("one_field", "smoke")


def test_a_record_without_configuration_is_read_from_the_summary_of_a_tracking_service() -> None:
    result = make_result(config={"seed_everything": 0})
    summary = {**result.summary(), **result.metrics, "_runtime": 12, "epoch": 3}
    assert RunResult.from_summary(summary) == make_result(config={})
    measured = make_result(costs=COSTS, curves=CURVES)
    with_curves = json.loads(json.dumps({**measured.summary(), **measured.metrics}))
    assert RunResult.from_summary(with_curves) == measured
    del summary["variant"]
    with pytest.raises(FormatError, match="lacks the field 'variant'"):
        RunResult.from_summary(summary)


def test_a_record_is_the_same_after_writing_and_reading_and_its_costs_are_stored_by_name(
    tmp_path: Path,
) -> None:
    result = make_result(checkpoint="runs/x/best.ckpt", costs=COSTS, curves=CURVES)
    result.write(tmp_path / "run" / "result.json")
    assert RunResult.read(tmp_path / "run") == result
    (file,) = (tmp_path / "run").iterdir()
    content = json.loads(file.read_text())
    assert content["costs"]["compress"] == {
        "macs": 29_011_000_000,
        "seconds": 0.161799341000005,
        "size": [250, 400],
    }
    assert content["macs"] == result.macs == 29_011_000_000
    assert content["image_size"] == [250, 400]
    assert content["seconds_per_image"] == result.seconds_per_image == 0.161799341000005


def largest_record(content: dict[str, Any]) -> int:
    """Return the largest size of a record in bytes; a classifier's has three scores per class."""
    names = content["config"].get("model", {}).get("init_args", {}).get("label_names") or []
    return 10_000 + 100 * len(names)


def test_committed_records_are_read_back_identically_and_are_small() -> None:
    assert len(COMMITTED) > 5
    for path in COMMITTED:
        stored = read_records(path)
        for line in path.read_text().splitlines():
            content = json.loads(line)
            assert stored[content["name"]].as_line(content["name"]) == line
            assert len(json.dumps(content["result"], indent=2)) < largest_record(content["result"])
            checkpoint = content["result"]["checkpoint"]
            assert checkpoint is None or not checkpoint.startswith(("/", "~")), "personal folder"


def test_the_record_of_a_codec_has_less_than_ten_kilobytes(tmp_path: Path) -> None:
    stored = [
        record.result
        for path in COMMITTED
        for record in read_records(path).values()
        if "label_names" not in str(record.result.config)
    ]
    largest = max(stored, key=lambda record: len(json.dumps(record.content())))
    replace(largest, costs=COSTS, curves=CURVES).write(tmp_path / "result.json")
    assert (tmp_path / "result.json").stat().st_size < 10_000
