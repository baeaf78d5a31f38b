"""Records of a sweep in one file: concurrent changes and coarse times."""

import os
import subprocess
import sys
from pathlib import Path

from spike_zoo.training.stored import read_records, store_record
from tests.helpers.results import make_result

STORE = "import sys; from pathlib import Path; from spike_zoo.training.stored import store_record"
STORE += "; store_record(Path(sys.argv[1]), 'theirs', Path(sys.argv[2]))"


def test_no_record_is_lost_where_times_are_coarse(tmp_path: Path) -> None:
    records, run = tmp_path / "records.jsonl", tmp_path / "run"
    make_result().write(run / "result.json")

    def truncate_time() -> None:
        os.utime(records, (1, 1))

    store_record(records, "first", run)
    truncate_time()
    assert set(read_records(records)) == {"first"}
    subprocess.run([sys.executable, "-c", STORE, str(records), str(run)], check=True)
    truncate_time()
    assert set(read_records(records)) == {"first", "theirs"}
    store_record(records, "ours", run)
    assert set(read_records(records)) == {"first", "ours", "theirs"}
