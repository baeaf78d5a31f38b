"""The freeze table: what it says, and that training does just that."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

import pytest
import torch
from lightning import Callback, Trainer, seed_everything
from torch.utils.data import DataLoader

from spike_zoo.methods.sci.training.stage_table import STAGES, Stage, as_table, row_of, without
from spike_zoo.testing import training_loss
from tests.methods.sci.batches import batch_of
from tests.methods.sci.coding import stage_module

if TYPE_CHECKING:
    from lightning import LightningModule
    from torch import Tensor, nn

#: What a stage is trained with here, so that every part of it takes part.
SETTINGS: dict[Stage, dict[str, Any]] = {
    "codec": {"quantization": "noise", "phase_fractions": (0.0, 0.0, 1.0)}
}


def small(stage: Stage, files: dict[str, str], **switches: Any) -> Any:
    widths: dict[str, Any] = {"fem_width": 0.125, "codec_width": 0.125, "fam_width": 0.125}
    given = {**widths, **files, **SETTINGS.get(stage, {}), **switches}
    return stage_module(stage, lpips="off", **given)


def inside(name: str, parts: tuple[str, ...]) -> bool:
    return any(name.startswith(f"{part}.") for part in parts)


def test_the_table_has_a_row_for_every_stage_and_names_no_part_twice() -> None:
    assert tuple(STAGES) == get_args(Stage)
    for row in STAGES.values():
        parts = [*row.learns, *row.frozen, *row.absent]
        assert len(parts) == len(set(parts))
        assert all(STAGES[stage] for stage in row.starts_from)
    assert as_table().count("\n") == len(STAGES) + 1
    with pytest.raises(ValueError, match="stage must be one of fem, motion, codec, fam, joint"):
        row_of("warmup")


@pytest.mark.parametrize("stage", STAGES)
def test_every_tensor_is_of_a_part_that_learns_or_is_frozen(stage: Stage) -> None:
    module, row = small(stage, {}), STAGES[stage]
    names = list(module.codec.state_dict())
    assert all(inside(name, row.learns) != inside(name, row.frozen) for name in names)
    assert all(any(inside(name, (part,)) for name in names) for part in row.learns + row.frozen)
    assert not any(inside(name, row.absent) for name in names)


@pytest.mark.parametrize("fmvr", [True, False])
@pytest.mark.parametrize("stage", STAGES)
def test_exactly_what_the_table_says_changes_in_two_steps(
    stage: Stage, fmvr: bool, all_beginnings: dict[str, str]
) -> None:
    seed_everything(0)
    module = small(stage, all_beginnings, fmvr=fmvr)
    row = STAGES[stage] if fmvr else without(STAGES[stage], "fmvr")
    batch = batch_of(module)
    training_loss(module, batch)  # reads the files
    before = {name: value.clone() for name, value in module.codec.state_dict().items()}
    optimiser = torch.optim.AdamW([p for p in module.parameters() if p.requires_grad], 1e-3)
    module.train()
    for _ in range(2):
        optimiser.zero_grad()
        training_loss(module, batch).backward()
        optimiser.step()
    after = module.codec.state_dict()
    changed = {name for name, value in after.items() if not torch.equal(value, before[name])}
    learning = {name for name, one in module.codec.named_parameters() if inside(name, row.learns)}
    assert changed >= learning > set()
    assert fmvr or module.codec.fmvr is None
    assert {name for name in changed if not inside(name, row.learns)} == set()


@pytest.mark.parametrize("stage", STAGES)
def test_only_what_learns_is_in_training_mode(stage: Stage) -> None:
    module, row = small(stage, {}), STAGES[stage]
    module.train()

    def modes(part: str) -> set[bool]:
        found: nn.Module = module.codec.get_submodule(part)
        return {one.training for one in found.modules()}

    assert all(modes(part) == {True} for part in row.learns)
    assert all(modes(part) == {False} for part in row.frozen)


@pytest.mark.filterwarnings("ignore:Found .* in eval mode at the start")
@pytest.mark.parametrize("begins_in_eval", [False, True])
@pytest.mark.parametrize("stage", STAGES)
def test_a_run_leaves_every_frozen_tensor_as_it_was(
    stage: Stage, begins_in_eval: bool, all_beginnings: dict[str, str]
) -> None:
    """A trainer calls no train(): modes are those that it finds."""
    seed_everything(0)
    module = small(stage, all_beginnings)
    if begins_in_eval:
        module.eval()
    before: dict[str, Tensor] = {}
    optimised: set[int] = set()
    batch: Any = batch_of(module)

    class Kept(Callback):
        def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
            before.update({k: v.clone() for k, v in module.codec.state_dict().items()})
            groups = [group for one in trainer.optimizers for group in one.param_groups]
            optimised.update(id(one) for group in groups for one in group["params"])

    trainer = Trainer(
        max_steps=2,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[Kept()],
    )
    batches: Any = [batch, batch]
    trainer.fit(module, DataLoader(batches, batch_size=None))
    after = module.codec.state_dict()
    changed = {name for name, value in after.items() if not torch.equal(value, before[name])}
    assert changed
    learns = STAGES[stage].learns
    assert {name for name in changed if not inside(name, learns)} == set()
    parameters = module.codec.named_parameters()
    assert optimised == {id(one) for name, one in parameters if inside(name, learns)}
