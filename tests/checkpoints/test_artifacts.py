"""Names of W&B artefacts, their download, and rejection of crafted artefacts."""

from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import spike_zoo
from spike_zoo.checkpoints.artifacts import fetch_artifact
from spike_zoo.errors import UsageError, WeightsError


@dataclass
class Artefacts:
    """Fake of ``wandb.Api()`` with one artefact."""

    files: dict[str, str | None]
    requested: list[str] = field(default_factory=list)

    def artifact(self, name: str, type: str) -> Any:
        self.requested.append(name)
        entries = {file: SimpleNamespace(ref=ref) for file, ref in self.files.items()}
        return SimpleNamespace(
            entity="me",
            project="zoo",
            name="full-0:v3",
            manifest=SimpleNamespace(entries=entries),
            get_entry=lambda file: SimpleNamespace(download=lambda root, **_: f"{root}/{file}"),
        )


@pytest.mark.parametrize(
    ("name", "requested"),
    [
        ("wandb:me/zoo/full-0:last", "me/zoo/full-0:last"),
        ("wandb:zoo/full-0", "zoo/full-0:best"),
        ("wandb:me/zoo/full-0:v3", "me/zoo/full-0:v3"),
    ],
)
def test_the_name_selects_the_version(name: str, requested: str, tmp_path: Path) -> None:
    artefacts = Artefacts({"best.ckpt": None})
    path = fetch_artifact(name, artefacts, tmp_path)
    assert artefacts.requested == [requested]
    assert path == tmp_path / "me" / "zoo" / "full-0_v3" / "best.ckpt"


@pytest.mark.parametrize("name", ["wandb:full-0", "wandb:a/b/c/d", "wandb:me/zoo/full:a:b"])
def test_a_name_of_another_form_is_rejected_with_the_expected_form(name: str) -> None:
    with pytest.raises(UsageError, match="write wandb:entity/project/name:alias"):
        fetch_artifact(name, Artefacts({}))


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"model.pt": None},
        {"best.ckpt": None, "last.ckpt": None},
        {"../../best.ckpt": None},
        {"best.ckpt": "file:///etc/passwd"},
    ],
)
def test_artefacts_without_exactly_one_plain_weights_file_are_rejected(
    files: dict[str, str | None], tmp_path: Path
) -> None:
    with pytest.raises(WeightsError, match="one plain file of weights"):
        fetch_artifact("wandb:me/zoo/full-0:best", Artefacts(files), tmp_path)


def test_a_missing_account_is_reported_with_a_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    for name in ("HOME", "WANDB_CONFIG_DIR", "WANDB_CACHE_DIR", "WANDB_DATA_DIR"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    with pytest.raises(WeightsError, match=r"not logged in.*name its path"):
        spike_zoo.load("wandb:me/zoo/full-0:best")
