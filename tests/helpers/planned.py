"""Planned runs with a fake process that writes the record of a run."""

import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from spike_zoo.tables.sweeps.records import PlannedRun
from spike_zoo.training.provenance import config_hash
from spike_zoo.training.stored import RECORDS_FILENAME
from tests.helpers.results import make_result

FAKE_RUN = """
import hashlib, json, os, pathlib, sys, time
folder, seconds, record = pathlib.Path(sys.argv[1]), float(sys.argv[2]), sys.argv[3]
with (folder / "begun").open("a") as file:
    file.write("begun\\n")
print("working", flush=True)
time.sleep(seconds)
if record == "none":
    sys.exit("no luck")
(folder / "metrics.csv").write_text("step\\n1\\n")
(folder / "checkpoints").mkdir(exist_ok=True)
record = json.loads(record)
weights = record.pop("weights")
(folder / "checkpoints" / "best.ckpt").write_text(weights)
record["checkpoint_sha256"] = hashlib.sha256(weights.encode()).hexdigest()
for file in json.loads(os.environ["SPIKE_ZOO_SWEEP_FILES"]).values():
    digest = hashlib.sha256(pathlib.Path(file).read_bytes()).hexdigest()
    record["begins_with"]["model.init_args.teacher"] = {"path": file, "sha256": digest}
digests = {key: one["sha256"] for key, one in record["begins_with"].items()}
if digests:
    text = json.dumps({**record["config"], "begins_with": digests}, sort_keys=True)
    record["config_hash"] = hashlib.sha256(text.encode()).hexdigest()[:16]
(folder / "result.json.part").write_text(json.dumps(record))
(folder / "result.json.part").replace(folder / "result.json")
"""


def planned_run(
    folder: Path,
    name: str = "full-0",
    *,
    seconds: float = 0.0,
    fails: bool = False,
    weights: str = "weights",
    **changes: Any,
) -> PlannedRun:
    """Return a planned run in a folder; its process waits ``seconds``, then succeeds or fails."""
    config = {"model": {"class_path": "m.M", "init_args": {"width": 1, "name": name}}}
    record = make_result(config=config, config_hash=config_hash(config))
    run_dir = folder / "runs" / name
    text = "none" if fails else json.dumps({**asdict(record), "weights": weights})
    values: dict[str, Any] = {
        "name": name,
        "command": (sys.executable, "-c", FAKE_RUN, str(run_dir), str(seconds), text),
        "run_dir": run_dir,
        "result": run_dir / "result.json",
        "config": config,
        "defaults": {},
        "config_hash": record.config_hash,
        "profile": record.profile,
        "data_sha256": record.data_sha256,
        "records": folder / "results" / RECORDS_FILENAME,
    }
    return PlannedRun(**{**values, **changes})


def start_count(run: PlannedRun) -> int:
    """Return how many processes of this run were started."""
    file = run.run_dir / "begun"
    return len(file.read_text().splitlines()) if file.is_file() else 0


def change_stored_record(
    run: PlannedRun, change: Callable[[dict[str, Any]], Any] | None = None
) -> None:
    """Change the stored record of a run by ``change``, or remove the record if None."""
    lines = map(json.loads, run.records.read_text().splitlines())
    remaining = [line for line in lines if change or line["name"] != run.name]
    for line in remaining:
        if change and line["name"] == run.name:
            change(line["result"])
    run.records.write_text("".join(json.dumps(line) + "\n" for line in remaining))
