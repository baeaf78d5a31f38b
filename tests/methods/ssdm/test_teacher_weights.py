"""The teacher's networks come out of the files of their stages, or the authors'."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from spike_zoo.errors import ConfigError, MissingFileError, WeightsError
from spike_zoo.methods.ssdm import BSN, EDSR
from spike_zoo.methods.ssdm.teacher_weights import load_part


@pytest.mark.parametrize("prefix", ["teacher.edsr.", ""])
def test_the_enlarging_network_needs_no_shifts_of_the_mean_in_a_file(
    prefix: str, tmp_path: Path
) -> None:
    trained, ours = EDSR().state_dict(), EDSR()
    learned = {f"{prefix}{key}": value for key, value in trained.items() if "_mean." not in key}
    torch.save(learned, tmp_path / "edsr.pth")
    load_part(ours, "edsr", tmp_path / "edsr.pth")
    torch.testing.assert_close(ours.state_dict(), trained, rtol=0, atol=0)


def test_what_is_wrong_is_said_with_what_to_do(tmp_path: Path) -> None:
    network = BSN()
    with pytest.raises(ConfigError, match=r"bsn: .*give the checkpoint that configs/ssdm_denoise"):
        load_part(network, "bsn", None)
    with pytest.raises(MissingFileError, match=r"none\.ckpt: .*configs/ssdm_denoise\.yaml"):
        load_part(network, "bsn", tmp_path / "none.ckpt")
    torch.save(EDSR().state_dict(), tmp_path / "edsr.pth")
    with pytest.raises(WeightsError, match=r"no part teacher\.bsn and is not BSN by itself"):
        load_part(network, "bsn", tmp_path / "edsr.pth")
