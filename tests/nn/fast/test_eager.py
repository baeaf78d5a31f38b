"""Where the fast ways apply."""

from __future__ import annotations

import torch

from spike_zoo.nn.fast.eager import is_eager_cpu, only_makes_pictures


def test_they_apply_on_cpus_and_some_only_without_gradients() -> None:
    cpu, elsewhere = torch.zeros(1), torch.zeros(1, device="meta")
    assert is_eager_cpu(cpu)
    assert not only_makes_pictures(cpu)
    with torch.no_grad():
        assert only_makes_pictures(cpu)
        assert not is_eager_cpu(elsewhere)
        assert not only_makes_pictures(elsewhere)


def test_a_compiler_gets_pytorch_s_own_layers() -> None:
    def answers(x: torch.Tensor) -> torch.Tensor:
        return x + is_eager_cpu(x) + 2 * only_makes_pictures(x)

    with torch.no_grad():
        assert torch.compile(answers, backend="eager")(torch.zeros(1)).item() == 0
        assert answers(torch.zeros(1)).item() == 3
