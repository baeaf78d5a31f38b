"""Tests of the table of stages: contents, copy in the README, and agreement with training."""

import re
from typing import Any, get_args

import pytest
import torch
from lightning import Callback, LightningModule, Trainer, seed_everything
from torch import Tensor, nn
from torch.utils.data import DataLoader

from spike_zoo.methods.sci.training.options import STAGES, Stage
from spike_zoo.testing import QUIET
from tests.conftest import ROOT
from tests.methods.sci.batches import batch_of
from tests.methods.sci.coding import small

#: Options with which all parts of a stage have gradients.
SETTINGS: dict[Stage, dict[str, Any]] = {
    "codec": {"quantization": "noise", "phase_fractions": (0.0, 0.0, 1.0)}
}


def build_module(stage: Stage, files: dict[str, str]) -> Any:
    return small(stage, **files, **SETTINGS.get(stage, {}))


def is_in_parts(name: str, parts: tuple[str, ...]) -> bool:
    return any(name.startswith(f"{part}.") for part in parts)


def test_the_table_has_a_row_for_every_stage_without_duplicate_parts() -> None:
    assert tuple(STAGES) == get_args(Stage)
    for row in STAGES.values():
        parts = [*row.learns, *row.frozen, *row.absent]
        assert len(parts) == len(set(parts))
        assert all(STAGES[stage] for stage in row.starts_from)


@pytest.mark.parametrize("stage", STAGES)
def test_every_tensor_is_trained_or_frozen_in_its_mode(stage: Stage) -> None:
    module, row = build_module(stage, {}), STAGES[stage]
    names = list(module.codec.state_dict())
    assert all(is_in_parts(name, row.learns) != is_in_parts(name, row.frozen) for name in names)
    assert all(
        any(is_in_parts(name, (part,)) for name in names) for part in row.learns + row.frozen
    )
    assert not any(is_in_parts(name, row.absent) for name in names)
    module.train()

    def modes(part: str) -> set[bool]:
        submodule: nn.Module = module.codec.get_submodule(part)
        return {layer.training for layer in submodule.modules()}

    assert all(modes(part) == {True} for part in row.learns)
    assert all(modes(part) == {False} for part in row.frozen)


@pytest.mark.filterwarnings("ignore:Found .* in eval mode at the start")
@pytest.mark.parametrize(
    ("stage", "starts_in_eval"),
    [("fem", False), ("motion", True), ("codec", True), ("fam", False), ("joint", True)],
)
def test_a_run_does_not_change_frozen_tensors(
    stage: Stage, starts_in_eval: bool, all_stage_files: dict[str, str]
) -> None:
    """Check both initial modes, because Lightning does not change modes at the start of a fit."""
    seed_everything(0)
    module = build_module(stage, all_stage_files)
    if starts_in_eval:
        module.eval()
    before: dict[str, Tensor] = {}
    optimised: set[int] = set()
    batch: Any = batch_of(module)

    class InitialState(Callback):
        def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
            before.update({k: v.clone() for k, v in module.codec.state_dict().items()})
            groups = [group for optimizer in trainer.optimizers for group in optimizer.param_groups]
            optimised.update(id(value) for group in groups for value in group["params"])

    options: Any = {"logger": False, "enable_checkpointing": False, **QUIET}
    trainer = Trainer(max_steps=2, callbacks=[InitialState()], **options)
    batches: Any = [batch, batch]
    trainer.fit(module, DataLoader(batches, batch_size=None))
    after = module.codec.state_dict()
    changed = {name for name, value in after.items() if not torch.equal(value, before[name])}
    assert changed
    learns = STAGES[stage].learns
    assert {name for name in changed if not is_in_parts(name, learns)} == set()
    parameters = module.codec.named_parameters()
    assert optimised == {id(value) for name, value in parameters if is_in_parts(name, learns)}


def test_the_readme_contains_the_table_of_stages() -> None:
    page = ROOT / "spike_zoo" / "methods" / "sci" / "README.md"
    match = re.search(
        r"<!-- stages -->\n(.*?)\n<!-- end of stages -->", page.read_text("utf-8"), re.DOTALL
    )
    assert match is not None
    for (name, spec), line in zip(STAGES.items(), match[1].split("\n")[2:], strict=True):
        groups = (spec.learns, spec.frozen, spec.absent, spec.starts_from)
        cells = [", ".join(f"`{part}`" for part in parts) or "-" for parts in groups]
        assert line.split(" | ")[:-1] == [f"| `{name}`", *cells]
