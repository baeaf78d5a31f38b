"""Conversion of names between the published STIR checkpoint and this package."""

from collections.abc import Iterator, Mapping
from functools import cache

from torch import Tensor

from spike_zoo.checkpoints.state_dicts import (
    StateDict,
    WeightsSource,
    check_entries,
    read_state_dict,
)

_ATTENTION = {
    "norm1.body": "norm_query",
    "norm_kv1.body": "norm_t0",
    "norm_kv2.body": "norm_t2",
    "norm2.body": "norm_ffn",
    "attn.q": "query",
    "attn.kv1": "key_value_t0",
    "attn.kv2": "key_value_t2",
    "attn.q_dwconv": "query_local",
    "attn.kv1_dwconv": "key_value_t0_local",
    "attn.kv2_dwconv": "key_value_t2_local",
    "ffn.project_in": "ffn.expand",
    "ffn.dwconv": "ffn.local",
    "ffn.project_out": "ffn.reduce",
}
_TEMPERATURES = {
    "transformer.attn.temperature1": "attention.temperature_t0",
    "transformer.attn.temperature2": "attention.temperature_t2",
}
_DECODERS = {5: "5nd", 4: "4nd", 3: "3rd", 2: "2nd", 1: "1st"}  # prefix "decorder_", as published
_RESIDUAL = {f"net.0.conv_block.{i}.net.0": f"conv{i + 1}" for i in (0, 1)}


def _encoder_layers() -> Iterator[tuple[str, str]]:
    for stage in range(5):
        yield f"encoder.conv{stage}.net.0", f"encoder.stages.{stage}.conv"
        yield f"encoder.conv{stage}.net.1", f"encoder.stages.{stage}.act"
        for theirs, ours in _RESIDUAL.items():
            yield f"encoder.resblocks{stage}.{theirs}", f"encoder.stages.{stage}.res.{ours}"


def _decoder_layers(level: int) -> Iterator[tuple[str, str]]:
    fuses = (
        {"convrelu": "fuse"} if level == 5 else {f"convrelu.conv{i}": f"fuse{i}" for i in (1, 2)}
    )
    for theirs, ours in fuses.items():
        yield f"{theirs}.0", f"{ours}.conv"
        yield f"{theirs}.1", f"{ours}.act"
    for theirs, ours in _RESIDUAL.items():
        yield f"resblocks.{theirs}", f"res.{ours}"
    yield "predict_img" if level == 1 else "predict_img_flow", "head"
    yield "deconv_flow", "up_flow"
    yield "deconv_hidden", "up_hidden"
    yield "predict_flow_group", "extra_flow"
    yield "deconv_flow_group", "up_extra_flow"


@cache
def _layers() -> dict[str, str]:
    """Return published name -> name in this package, for the layers of all variants of STIR."""
    layers = dict(_encoder_layers())
    layers |= {f"transformer.{a}": f"attention.{b}" for a, b in _ATTENTION.items()}
    for level, name in _DECODERS.items():
        pairs = _decoder_layers(level)
        layers |= {f"decorder_{name}.{a}": f"decoders.{level}.{b}" for a, b in pairs}
    for layer in ("conv1", "conv2", "bn1", "bn2"):
        layers[f"resnet.{layer}"] = f"embedding.implicit.{layer}"
    return {**layers, **_TEMPERATURES, "resnet.conv3": "embedding.implicit.shortcut"}


def _renamed(key: str, names: Mapping[str, str]) -> str:
    """Return a key with its parameter or layer renamed, or unchanged if ``names`` has neither."""
    layer, _, leaf = key.rpartition(".")
    return names.get(key) or (f"{names[layer]}.{leaf}" if layer in names else key)


def to_natural(state_dict: StateDict) -> dict[str, Tensor]:
    """Return a published state dict with the names of this package; unknown names are kept.

    The prefix ``module.`` of a data-parallel wrapper is removed.
    """
    names = _layers()
    return {
        _renamed(key.removeprefix("module."), names): value for key, value in state_dict.items()
    }


def official_name(key: str) -> str:
    """Return the published name of an entry, or the entry's name if there is no published name."""
    return _renamed(key, {ours: theirs for theirs, ours in _layers().items()})


def to_official(state_dict: StateDict) -> dict[str, Tensor]:
    """Return a state dict of this package with the published names, without ``module.``.

    Entries of ablations that the published network does not have keep their names.
    """
    return {official_name(key): value for key, value in state_dict.items()}


def read_official(source: WeightsSource, expected: StateDict) -> dict[str, Tensor]:
    """Return published weights with the names of this package, checked against ``expected``.

    Errors are those of :func:`read_state_dict`; WeightsError also if names or shapes differ.
    """
    natural = to_natural(read_state_dict(source))
    check_entries(natural, expected, source, "STIR", named=official_name)
    return natural
