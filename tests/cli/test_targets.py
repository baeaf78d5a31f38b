"""Names to write to: files of a known sort, or folders that were meant to be."""

from __future__ import annotations

from pathlib import Path

import pytest

from spike_zoo.cli.targets import refuse_other_suffix
from spike_zoo.errors import UsageError


@pytest.mark.parametrize("out", ["clips", "a.npz", "v1.5/", "there.d", "down/clips"])
def test_files_of_a_known_sort_and_folders_pass(
    out: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("there.d").mkdir()
    refuse_other_suffix(out, [".npz"])


@pytest.mark.parametrize("out", ["a.txt", "v1.5", "a.NPZ", "v1.5/a.txt"])
def test_another_suffix_is_refused_with_the_way_out(out: str) -> None:
    told = r"is not written here; give a name ending in \.npz, or a folder .*slash at its end"
    with pytest.raises(UsageError, match=told):
        refuse_other_suffix(out, [".npz"])
