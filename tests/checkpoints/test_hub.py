"""Download and upload of weights with a local server in place of the Hub."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import spike_zoo
from spike_zoo.checkpoints.hub import fetch_from_hub, push_to_hub
from spike_zoo.cli.main import main
from spike_zoo.errors import UsageError, WeightsError
from spike_zoo.methods.stir import STIRModule
from tests.helpers.checkpoints import export
from tests.helpers.hub_server import TOKEN, HubServer

hub = pytest.importorskip("huggingface_hub", reason="of the extra 'hub'")
constants = pytest.importorskip("huggingface_hub.constants")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """Start the local server, with a token and an empty cache."""
    with HubServer() as running:
        monkeypatch.setenv("HF_ENDPOINT", running.address)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        yield running


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with the published files."""
    torch.manual_seed(0)
    module = STIRModule(width=0.25, pyramid_levels=3, lpips="off")
    export(module, tmp_path / "own")
    (tmp_path / "own" / "notes.txt").write_text("not for others")
    return tmp_path / "own"


def test_a_folder_pushed_to_the_hub_is_loaded_by_its_name(folder: Path, server: HubServer) -> None:
    address = push_to_hub(folder, "hf:me/own", private=True)
    assert address.endswith("/me/own")
    assert server.private == {"me/own": True}
    assert set(server.files["me/own"]) == {"model.safetensors"}, "nothing else is uploaded"
    pushed, loaded = spike_zoo.load(folder), spike_zoo.load("hf:me/own")
    for name, value in pushed.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value)


def test_a_cached_download_needs_no_network(
    folder: Path, server: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    push_to_hub(folder, "hf:me/own")
    first = fetch_from_hub("hf:me/own")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert fetch_from_hub("hf:me/own") == first


def test_export_to_the_hub_uploads_a_model_card(folder: Path, server: HubServer) -> None:
    assert main(["export", str(folder), "hf:me/carded", "--licence", "cc-by-4.0"]) == 0
    assert set(server.files["me/carded"]) == {"model.safetensors", "README.md"}
    card = hub.ModelCard(server.files["me/carded"]["README.md"].decode())
    assert (card.data.license, card.data.library_name) == ("cc-by-4.0", "spike-zoo")
    assert 'spike_zoo.load("hf:me/carded")' in card.text


@pytest.mark.parametrize("name", ["hf:own", "hf:a/b/c", "hf:../own"])
def test_a_name_of_another_form_is_rejected(name: str) -> None:
    with pytest.raises(UsageError, match="hf:owner/name"):
        fetch_from_hub(name)


def test_missing_repositories_and_missing_permissions_are_reported(
    folder: Path, server: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(WeightsError, match=r"hf:me/none: .*name its path"):
        spike_zoo.load("hf:me/none")
    server.files["me/empty"] = {"README.md": b"#"}
    with pytest.raises(WeightsError, match=r"hf:me/empty: holds no model\.safetensors"):
        spike_zoo.load("hf:me/empty")
    monkeypatch.setenv("HF_TOKEN", "hf_of_nobody")
    with pytest.raises(WeightsError, match=r"hf:me/own: cannot be uploaded .*hf auth login"):
        push_to_hub(folder, "hf:me/own")


@pytest.mark.slow
def test_a_missing_network_is_reported_with_a_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(WeightsError, match="name its path"):
        fetch_from_hub("hf:me/nowhere")
