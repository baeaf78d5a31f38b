"""Reading of published state dicts, and errors with the first of each kind of fault."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from spike_zoo.checkpoints.state_dicts import check_entries, read_state_dict
from spike_zoo.errors import WeightsError

WEIGHTS = {"head.weight": torch.arange(6.0).view(2, 3), "head.bias": torch.ones(2)}


@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("is_wrapped", [False, True])
@pytest.mark.parametrize("is_file", [False, True])
def test_entries_are_read_from_every_wrapping(
    prefix: str, is_wrapped: bool, is_file: bool, tmp_path: Path
) -> None:
    content: dict[str, object] = {f"{prefix}{name}": value for name, value in WEIGHTS.items()}
    content = {"state_dict": content, "epoch": 3} if is_wrapped else content
    torch.save(content, tmp_path / "net.pth")
    state = read_state_dict(tmp_path / "net.pth" if is_file else content)  # type: ignore[arg-type]  # as files hold it
    assert list(state) == list(WEIGHTS)
    assert all(torch.equal(state[name], value) for name, value in WEIGHTS.items())


@pytest.mark.parametrize("content", [[1], {"epoch": 3}, {"state_dict": [1]}, torch.zeros(2)])
def test_content_that_is_not_a_state_dict_is_rejected(content: object, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "other.pth")
    with pytest.raises(WeightsError, match=r"other\.pth: no state dict of tensors"):
        read_state_dict(tmp_path / "other.pth")


@pytest.mark.parametrize("name", sorted(WEIGHTS))
def test_entries_may_have_any_order_and_precision_but_none_may_be_missing(name: str) -> None:
    state = {key: WEIGHTS[key].half() for key in reversed(WEIGHTS)}
    check_entries(state, WEIGHTS, WEIGHTS, "the network")
    del state[name]
    with pytest.raises(WeightsError, match=f"1 missing, first {name}"):
        check_entries(state, WEIGHTS, WEIGHTS, "the network")


def test_the_first_fault_of_each_kind_is_named_as_in_the_file() -> None:
    state: dict[str, Tensor] = {"head.weight": torch.zeros(3, 2), "tail.weight": torch.zeros(1)}
    with pytest.raises(WeightsError) as error:
        check_entries(state, WEIGHTS, "old.pth", "Net", named=str.upper)
    message = str(error.value)
    assert message.startswith("old.pth: not the published weights of Net: 1 missing, first HEAD.BI")
    assert "1 unexpected, first TAIL.WEIGHT" in message
    assert "1 of another shape, first HEAD.WEIGHT: (3, 2) instead of (2, 3)" in message
