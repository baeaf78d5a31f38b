"""Settings in the name of a method, as ``tfi:average=9``."""

from pathlib import Path
from typing import Any

import pytest

from spike_zoo.checkpoints.published import check_method, split_settings
from spike_zoo.cli.inputs import load_method
from spike_zoo.cli.reconstruct import _prepared
from spike_zoo.errors import UsageError


@pytest.mark.parametrize(
    ("wanted", "name", "settings"),
    [
        ("tfi", "tfi", {}),
        ("tfi:average=9", "tfi", {"average": "9"}),
        (
            "tfi-aligned:window=33,fills-ends=false",
            "tfi-aligned",
            {"window": "33", "fills_ends": "false"},
        ),
        ("wandb:me/zoo/stir:best", "wandb:me/zoo/stir:best", {}),
    ],
)
def test_a_name_is_split_into_method_and_settings(
    wanted: str, name: str, settings: dict[str, str]
) -> None:
    assert split_settings(wanted) == (name, settings)


def test_a_file_may_have_a_name_like_a_setting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a:lr=1.ckpt").touch()
    check_method("a:lr=1.ckpt")


def test_a_setting_and_an_option_of_its_name_are_rejected() -> None:
    with pytest.raises(UsageError, match="tfi:average=9 and --average 5 state it twice"):
        _prepared("tfi:average=9", "cpu", trust=False, average=5, window=None)


def test_settings_have_the_types_of_the_constructor() -> None:
    method: Any = load_method("tfi-aligned:window=33,unblurs=false", "cpu", trust=False)
    assert (method.window, method.unblurs) == (33, False)


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ("tfi:average=x", "average must be int, got 'x'. The settings are average=1"),
        ("tfi:averge=9", "its settings: average. Did you mean 'average'?"),
        ("tfi:average=0", "--method tfi:average=0: average is at least 1 plane, got 0"),
        ("tfi-aligned:unblurs=maybe", "unblurs must be bool, got 'maybe'"),
        ("tfp-colour:demosaicking=none", "demosaicking must be Literal"),
        ("plain:window=5", "its settings: none"),
        ("tfi:average=9,average=5", "tfi:average=9,average=5: states a setting twice"),
    ],
)
def test_an_invalid_setting_is_named_with_the_known_ones(wanted: str, message: str) -> None:
    with pytest.raises(UsageError) as error:
        load_method(wanted, "cpu", trust=False)
    assert message in str(error.value)
