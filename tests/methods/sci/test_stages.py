"""The freeze table: what it says, and that training does just that."""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

import pytest
import torch
from lightning import seed_everything

from spike_zoo.errors import ConfigError
from spike_zoo.methods.sci import SCICodecModule
from spike_zoo.methods.sci.stages import STAGES, WITHOUT_CODEC, Stage, as_table, row_of
from spike_zoo.testing import training_loss
from tests.methods.sci.batches import batch_of

if TYPE_CHECKING:
    from spike_zoo.methods.sci.stages import Row


def test_the_table_has_a_row_for_every_stage_and_names_no_part_twice() -> None:
    assert tuple(STAGES) == get_args(Stage)
    for row in STAGES.values():
        parts = [*row.learns, *row.frozen, *row.absent]
        assert len(parts) == len(set(parts))
        assert all(STAGES[stage] for stage in row.begins_with)
    assert as_table().count("\n") == len(STAGES) + 1


@pytest.mark.parametrize("stage", WITHOUT_CODEC)
def test_exactly_what_the_table_says_changes_in_two_steps(
    stage: Stage, beginnings: dict[str, str]
) -> None:
    seed_everything(0)
    arguments = {"fem_width": 0.125, "codec_width": 0.125, "fam_width": 0.125, **beginnings}
    module = SCICodecModule(stage, **arguments)  # type: ignore[arg-type]  # plain values
    row: Row = STAGES[stage]
    parts = dict(module.codec.named_children())
    assert set(parts) == {*row.learns, *row.frozen}
    batch = batch_of(module)
    training_loss(module, batch)  # reads the files
    before = {name: value.clone() for name, value in module.codec.state_dict().items()}
    optimiser = torch.optim.AdamW([p for p in module.parameters() if p.requires_grad], 1e-3)
    module.train()
    for _ in range(2):
        optimiser.zero_grad()
        training_loss(module, batch).backward()
        optimiser.step()
    changed = {
        name.partition(".")[0]
        for name, value in module.codec.state_dict().items()
        if not torch.equal(value, before[name])
    }
    assert changed == set(row.learns)
    assert {name for name, part in parts.items() if part.training} == set(row.learns)


def test_stages_of_the_codec_are_known_and_said_to_be_missing() -> None:
    with pytest.raises(ConfigError, match=r"stage: joint trains the codec.*fem, motion, fam"):
        row_of("joint")
    with pytest.raises(ValueError, match="stage must be one of fem, motion, codec, fam, joint"):
        row_of("warmup")
