"""Tests of STIR's ablation configurations: options, and the costs stated in the README."""

from pathlib import Path

import pytest

from benchmarks.stir_variants import VARIANTS, cost, switches
from spike_zoo.training.provenance import argument_defaults, leaves
from tests.conftest import ROOT

FILES = sorted(VARIANTS.glob("*.yaml"))
DEFAULTS = dict(leaves(argument_defaults("spike_zoo.methods.stir.AlignedSTIRModule")))
LOSSES = {"loss.reconstruction", "loss.multi_scale", "loss.perceptual"}
NETWORK = {"pyramid_levels", "width", *(name for name in DEFAULTS if name.startswith("network."))}
#: Options that are not in the paper; rows of the paper do not state them.
FLOW = {name for name in DEFAULTS if name.startswith("flow.")}
PAGE = (ROOT / "experiments" / "stir" / "NOTES.md").read_text(encoding="utf-8")
#: Rows of each study other than the full network, and the options they may change.
STUDIES = {
    "pyramid levels": ({"levels_3", "levels_4"}, {"pyramid_levels"}),
    "motion fields": ({f"fields_{count}" for count in (1, 2, 4, 5)}, {"network.flow_fields"}),
    "interaction": ({"warp_only", "synthesis_only"}, {"network.interaction"}),
    "attention": ({"attention_none", "attention_self"}, {"network.attention"}),
    "embedding": (
        {"embedding_tfp", "embedding_resnet", "embedding_multi_dilated", "embedding_hist"}
        | {"embedding_tfp_multi_dilated", "embedding_tfp_hist"},
        {"network.embedding"},
    ),
    "capacity": ({"width_050", "width_150"}, {"width"}),
    "hidden state": ({"hidden_4", "hidden_16"}, {"network.hidden_channels"}),
    "motion": (
        {"flows_doubled", "motion_constant", "motion_fading", "motion_true", "along", "along_true"},
        FLOW,
    ),
    "motion at half the width": (
        {"width_050_motion", "width_050_motion_4", "width_050_true"},
        {*FLOW, "width"},
    ),
    "loss": ({"loss_no_ms", "loss_no_rec", "loss_per"}, LOSSES),
}


def test_variants_are_exactly_the_rows_of_the_studies() -> None:
    rows = set().union(*(names for names, _ in STUDIES.values()))
    assert {path.stem for path in FILES} == rows | {"full"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_variant_states_every_option_and_changes_only_options_of_its_study(path: Path) -> None:
    stated, full = switches(path), switches(VARIANTS / "full.yaml")
    assert stated.keys() - FLOW == NETWORK | LOSSES
    changed = {name for name, value in stated.items() if value != full.get(name)}
    allowed = next((keys for names, keys in STUDIES.values() if path.stem in names), set())
    assert changed <= allowed
    assert bool(changed) == (path.stem != "full")


def test_the_full_variant_is_the_published_network() -> None:
    full = switches(VARIANTS / "full.yaml")
    assert {name: full[name] for name in NETWORK} == {name: DEFAULTS[name] for name in NETWORK}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_page_states_the_cost_of_every_variant(path: Path) -> None:
    assert cost(path).row() in PAGE.splitlines()
