"""Tests of the methods of a report: loading, settings, names."""

import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

from spike_zoo.checkpoints.loading import load
from spike_zoo.checkpoints.published import WEIGHTLESS, Weightless, shipped_names, weightless_names
from spike_zoo.cli.main import main
from spike_zoo.errors import MissingFileError, UsageError
from spike_zoo.formats import write_recording
from spike_zoo.methods.classical import TFP
from spike_zoo.pages.methods import NETWORKS, explanations, load_methods, method_label
from spike_zoo.tasks.protocols import Reconstructs
from spike_zoo.testing import pattern_take


def test_settings_are_parsed_after_the_name() -> None:
    plain, averaged = load_methods(["tfi", "tfi:average=9"], device="cpu", trust=False)
    assert (plain.name, averaged.name) == ("tfi", "tfi:average=9")
    assert averaged.module.hparams["average"] == 9  # type: ignore[attr-defined]
    assert plain.module.hparams["average"] == 1  # type: ignore[attr-defined]


def test_slow_default_methods_come_last_and_have_one_image() -> None:
    by_default = load_methods([], device="cpu", trust=False)
    *fast, slow = by_default
    assert (slow.name, slow.has_one_image) == ("stir-aligned", True)
    names = ["tfp", "tfi:average=9", "plain", "tfi-aligned", "fused"]
    assert [method.name for method in fast] == names
    assert not any(method.has_one_image for method in fast)
    names = ["stir-aligned", "tfp"]
    chosen = load_methods(names, device="cpu", trust=False)
    assert not any(method.has_one_image for method in chosen)
    limited = load_methods(names, device="cpu", trust=False, limits_slow=True)
    limits = [(method.name, method.has_one_image) for method in limited]
    assert limits == [("tfp", False), ("stir-aligned", True)]


def test_a_method_without_weights_is_one_class_and_one_entry_of_the_list(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A method that was missing in a copy of the list was left out without an error."""
    module = ModuleType("spike_zoo.methods.classical.wide")
    vars(module)["Wide"] = type("Wide", (TFP,), {"__init__": lambda self: TFP.__init__(self, 61)})
    monkeypatch.setitem(sys.modules, module.__name__, module)
    entry = Weightless(f"{module.__name__}.Wide", "wide averages more planes.")
    monkeypatch.setitem(WEIGHTLESS, "wide", entry)
    recording = pattern_take(0).recording
    expected = TFP(61).reconstruct(recording, [40])
    (method,) = load_methods(["wide"], device="cpu", trust=False)
    assert torch.equal(method.module.reconstruct(recording, [40]), expected)
    assert explanations(["wide"]) == ["wide averages more planes."]
    assert "wide" in shipped_names()
    assert "wide" in weightless_names()
    write_recording(recording, tmp_path / "a.npz")
    main(["reconstruct", str(tmp_path / "a.npz"), "--method=wide", f"--out={tmp_path / 'a.png'}"])
    assert (tmp_path / "a.png").is_file()


def test_every_method_of_a_page_is_explained_once() -> None:
    tfi, mine = explanations(["tfi", "tfi:average=9", "mine, best"])
    assert tfi.startswith("TFI (texture from interval)")
    assert mine == "mine, best: weights from a file or an address of your own."
    assert [text.split()[0] for text in explanations(["tfp", "tfi9"])] == ["TFP", "TFI"]


@pytest.mark.parametrize("name", shipped_names())
def test_every_method_of_the_package_that_reconstructs_is_explained(name: str) -> None:
    assert name in {*WEIGHTLESS, *NETWORKS} or not isinstance(load(name), Reconstructs)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("tfi:depth=9", "there is no setting 'depth' to change"),
        ("tfi:average=much", "average must be int"),
        ("tfi:average=0", "average"),
    ],
)
def test_invalid_settings_are_rejected(name: str, message: str) -> None:
    with pytest.raises(UsageError, match=f"--methods {name}: .*{message}"):
        load_methods([name], device="cpu", trust=False)


def test_names_that_are_not_reconstruction_methods_are_rejected() -> None:
    with pytest.raises(MissingFileError, match="neither a file nor a shipped method"):
        load_methods(["nothing"], device="cpu", trust=False)
    with pytest.raises(UsageError, match="does not make images"):
        load_methods(["ssdm-student"], device="cpu", trust=False)


def test_a_checkpoint_is_named_after_its_run(tmp_path: Path) -> None:
    checkpoint = tmp_path / "mine" / "checkpoints" / "best.ckpt"
    assert method_label(str(checkpoint)) == "mine, best"
    assert method_label("stir") == "stir"
