"""Checks of abilities by Protocols, with the option in error messages."""

from typing import Any

import pytest
from torch import nn

from spike_zoo.errors import UsageError
from spike_zoo.methods.classical import TFI, TFP, TFIModule
from spike_zoo.methods.ssdm import SSDMCascadeModule, SSDMStudentModule
from spike_zoo.methods.stir import STIRModule
from spike_zoo.tasks.protocols import (
    Classifies,
    Deblurs,
    Reconstructs,
    codec_from,
    require_ability,
)
from tests.helpers.codecs import SumsCodec, SumsModule
from tests.helpers.modules import StripesModule

ABILITIES = (Classifies, Deblurs, Reconstructs)


@pytest.mark.parametrize(
    ("module", "abilities"),
    [
        (TFI(), {Reconstructs}),
        (TFIModule(), {Reconstructs}),
        (STIRModule(width=0.25), {Reconstructs}),
        (SSDMStudentModule(), {Deblurs}),
        (StripesModule(), {Classifies}),
        (SSDMCascadeModule(), {Deblurs}),
        (SumsModule(), {Classifies}),
        (SumsCodec(), set()),
        (nn.Identity(), set()),
    ],
    ids=lambda value: type(value).__name__,
)
def test_abilities_are_detected_by_protocols(module: nn.Module, abilities: set[type]) -> None:
    assert {ability for ability in ABILITIES if isinstance(module, ability)} == abilities


def test_require_ability_returns_the_module_or_raises_with_the_option() -> None:
    module = TFP()
    assert require_ability(module, Reconstructs, "--method tfp") is module
    with pytest.raises(UsageError, match="--method tfp: TFP does not deblur"):
        require_ability(module, Deblurs, "--method tfp")
    with pytest.raises(UsageError, match="--method a: SSDMStudentModule does not make"):
        require_ability(SSDMStudentModule(), Reconstructs, "--method a")
    with pytest.raises(UsageError, match="--method tfp: TFP does not classify"):
        require_ability(module, Classifies, "--method tfp")


def test_codec_from_accepts_a_module_or_its_codec() -> None:
    module: Any = SumsModule()
    codec: Any = SumsCodec()
    assert codec_from(module, "--method a") is module.codec
    assert codec_from(codec, "--method a") is codec
    module.codec = nn.Identity()  # a codec that cannot compress yet
    with pytest.raises(UsageError, match="--method a: SumsModule does not compress"):
        codec_from(module, "--method a")
