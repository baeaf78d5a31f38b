"""Tests of the table of stages: contents, copy in the README, and agreement with training."""

from __future__ import annotations

import logging
import re
from typing import Any, get_args

import pytest
import torch
from lightning import Callback, LightningModule, Trainer, seed_everything
from torch import Tensor, nn
from torch.utils.data import DataLoader

from spike_zoo.methods.sci.training.stage_table import STAGES, Stage, as_table
from tests.conftest import ROOT
from tests.methods.sci.batches import batch_of
from tests.methods.sci.coding import small

#: Options with which all parts of a stage have gradients.
SETTINGS: dict[Stage, dict[str, Any]] = {
    "codec": {"quantization": "noise", "phase_fractions": (0.0, 0.0, 1.0)}
}


def made(stage: Stage, files: dict[str, str]) -> Any:
    return small(stage, **files, **SETTINGS.get(stage, {}))


def inside(name: str, parts: tuple[str, ...]) -> bool:
    return any(name.startswith(f"{part}.") for part in parts)


def test_the_table_has_a_row_for_every_stage_and_names_no_part_twice() -> None:
    assert tuple(STAGES) == get_args(Stage)
    for row in STAGES.values():
        parts = [*row.learns, *row.frozen, *row.absent]
        assert len(parts) == len(set(parts))
        assert all(STAGES[stage] for stage in row.starts_from)
    assert as_table().count("\n") == len(STAGES) + 1


@pytest.mark.parametrize("stage", STAGES)
def test_every_tensor_is_of_a_part_that_learns_or_is_frozen(stage: Stage) -> None:
    module, row = made(stage, {}), STAGES[stage]
    names = list(module.codec.state_dict())
    assert all(inside(name, row.learns) != inside(name, row.frozen) for name in names)
    assert all(any(inside(name, (part,)) for name in names) for part in row.learns + row.frozen)
    assert not any(inside(name, row.absent) for name in names)


@pytest.mark.parametrize("stage", STAGES)
def test_only_what_learns_is_in_training_mode(stage: Stage) -> None:
    module, row = made(stage, {}), STAGES[stage]
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
    """Lightning does not change the modes of modules at the start of a fit."""
    seed_everything(0)
    module = made(stage, all_beginnings)
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


def test_the_log_says_how_much_of_every_part_learns(caplog: pytest.LogCaptureFixture) -> None:
    module = made("joint", {})
    with caplog.at_level(logging.INFO, logger="lightning.pytorch.utilities.rank_zero"):
        module.on_fit_start()
    intra = module.codec.get_submodule("intra")
    synthesis = module.codec.get_submodule("intra.synthesis")  # its only trained part
    every, learning = (sum(one.numel() for one in part.parameters()) for part in (intra, synthesis))
    assert f"| intra | {every:,} | {learning:,} |" in caplog.text
    fem = sum(one.numel() for one in module.codec.fem.parameters())
    assert f"| fem | {fem:,} | 0 |" in caplog.text


def test_the_page_shows_the_schedule_of_the_code() -> None:
    page = ROOT / "spike_zoo" / "methods" / "sci" / "README.md"
    found = re.search(
        r"<!-- stages -->\n(.*?)\n<!-- end of stages -->", page.read_text("utf-8"), re.DOTALL
    )
    assert found is not None
    assert found[1] == as_table()
