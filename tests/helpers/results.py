"""Records of runs for tests."""

from typing import Any

from spike_zoo.training.result import Cost, RunResult

COST = Cost(macs=29_011_000_000, seconds=0.5, size=(256, 256))


def make_result(**changes: Any) -> RunResult:
    """Return a record with plausible values; changes replace fields."""
    values: dict[str, Any] = {
        "method": "stir",
        "variant": "full",
        "configs": ["configs/stir.yaml"],
        "profile": "cpu",
        "seed": 0,
        "data_sha256": "ab" * 32,
        "metrics": {"test/psnr": 30.0, "test/ssim": 0.9},
        "parameters": 5_107_960,
        "costs": {"forward": COST},
        "wall_seconds": 12.0,
        "config": {},
        "config_hash": "0" * 16,
        "versions": {"torch": "2"},
        "commit": "abc",
    }
    return RunResult(**{**values, **changes})
