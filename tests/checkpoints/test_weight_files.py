"""Safe reading of weights files, and digests of state dicts."""

import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from spike_zoo.checkpoints.weight_files import read_weights, state_digest
from spike_zoo.errors import MissingFileError, WeightsError

STATE = {"a.weight": torch.arange(6.0).view(2, 3), "a.steps": torch.tensor(7)}


def test_both_file_formats_return_the_written_tensors(tmp_path: Path) -> None:
    save_file(STATE, tmp_path / "a.safetensors")
    torch.save(STATE, tmp_path / "a.pth")
    for name in ("a.safetensors", "a.pth"):
        weights = read_weights(tmp_path / name)
        assert weights.keys() == STATE.keys()
        assert all(torch.equal(weights[key], value) for key, value in STATE.items())


@pytest.mark.parametrize("suffix", [".pth", ".safetensors", ".ckpt"])
@pytest.mark.parametrize("content", [b"", b"no weights", pickle.dumps([1, 2], protocol=2)[:-3]])
def test_damaged_files_are_rejected_by_name(suffix: str, content: bytes, tmp_path: Path) -> None:
    path = tmp_path / f"bad{suffix}"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=rf"bad\{suffix}: not a file of weights"):
        read_weights(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match=r"none\.pth: there is no such file"):
        read_weights(tmp_path / "none.pth")


def test_a_digest_depends_on_names_and_values_but_not_on_the_order() -> None:
    digest = state_digest(STATE)
    assert state_digest(dict(reversed(STATE.items()))) == digest
    assert state_digest({**STATE, "a.steps": torch.tensor(8)}) != digest
    assert state_digest({"b.weight": STATE["a.weight"], "a.steps": STATE["a.steps"]}) != digest
