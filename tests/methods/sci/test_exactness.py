"""Tests that probability tables are selected by integers only.

A bitstream must decode to the same symbols in all settings. Float rounding can change only the
value that a symbol encodes, not its table.
"""

import copy
import functools
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import spike_zoo
from spike_zoo.coding import BitstreamError, BitstreamReader, Header
from spike_zoo.methods.sci import SCICodec
from spike_zoo.methods.sci.codec import bitstream
from spike_zoo.methods.sci.codec.bitstream import decoded_group, scale_nets
from spike_zoo.methods.sci.codec.entropy import HyperPrior
from spike_zoo.methods.sci.codec.symbols import SymbolDecoder
from spike_zoo.nn.eval_mode import eval_mode
from spike_zoo.nn.threads import torch_threads
from tests.conftest import ROOT
from tests.methods.sci.codecs import recording

pytestmark = pytest.mark.filterwarnings("ignore:TF32 acceleration on top of oneDNN")  # its flags

FLOAT_NETWORKS = (
    *("intra.synthesis", "inter.motion_synthesis", "inter.contexts", "inter.synthesis"),
    "inter.entropy.prior",
    *(
        f"{part}.{layers}"
        for part in ("intra.entropy", "inter.entropy.motion", "inter.entropy.content")
        for layers in ("raise_hyper", "fuse", "spatial")
    ),
)
"""All float networks of a decoder."""


class RecordingDecoder(SymbolDecoder):
    """Symbol decoder that stores the symbols."""

    symbols: list[Tensor]

    def hyper(self, latent: Tensor | None, prior: HyperPrior, size: Sequence[int]) -> Tensor:
        self.symbols.append(super().hyper(latent, prior, size))
        return self.symbols[-1]

    def residual(
        self, latent: Tensor | None, mean: Tensor, level: Tensor, mask: Tensor
    ) -> tuple[Tensor, Tensor]:
        value, symbols = super().residual(latent, mean, level, mask)
        self.symbols.append(symbols)
        return value, symbols


Group = tuple[bytes, Header, int]


@pytest.fixture
def group(stream: bytes) -> Group:
    """Return the payload, the header and the number of the last group of a bitstream."""
    reader = BitstreamReader(stream)
    return reader.payload(2), reader.header, 2


@pytest.fixture
def symbols_of(monkeypatch: pytest.MonkeyPatch, group: Group) -> Callable[[SCICodec], list[Tensor]]:
    """Return a function that decodes the symbols of a group with a codec."""
    monkeypatch.setattr(bitstream, "SymbolDecoder", RecordingDecoder)

    def read(codec: SCICodec) -> list[Tensor]:
        RecordingDecoder.symbols = []
        decoded_group(codec, *group)  # raises if the checksum differs
        return RecordingDecoder.symbols

    return read


@pytest.fixture
def expected(codec: SCICodec, symbols_of: Callable[[SCICodec], list[Tensor]]) -> list[Tensor]:
    """Return the symbols decoded with the default settings."""
    actual = symbols_of(codec)
    # I-frame: hyper latent and two passes; P-frame: the same for motion and for content
    assert len(actual) == 3 + 6
    assert sum(part.abs().sum() for part in actual) > 500, "symbols must not be 0"
    return actual


def are_equal(actual: list[Tensor], expected: list[Tensor]) -> bool:
    return len(actual) == len(expected) and all(map(torch.equal, actual, expected))


def convolutions_of(codec: SCICodec) -> Iterator[nn.Module]:
    """Yield all convolutions of the decoder's float networks."""
    for name in FLOAT_NETWORKS:
        for layer in codec.get_submodule(name).modules():
            if isinstance(layer, nn.Conv2d):
                yield layer


@contextmanager
def changed(setter: Callable[[Any], object], usual: object, value: object) -> Iterator[None]:
    """Change a global setting of torch, and set its usual value afterwards."""
    setter(value)
    try:
        yield
    finally:
        setter(usual)


def matmul_precision(precision: str) -> Any:
    return changed(torch.set_float32_matmul_precision, "highest", precision)


SETTINGS: dict[str, Callable[[], Any]] = {
    "1 thread": functools.partial(torch_threads, 1),
    "3 threads": functools.partial(torch_threads, 3),
    "denormals as zero": functools.partial(changed, torch.set_flush_denormal, False, True),
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
    "bf16 products": lambda: matmul_precision("medium"),
    "no oneDNN": lambda: torch.backends.mkldnn.flags(enabled=False),
}


def test_a_stream_is_decoded_equally_in_any_setting(
    codec: SCICodec, symbols_of: Callable[[SCICodec], list[Tensor]], expected: list[Tensor]
) -> None:
    for name, setting in SETTINGS.items():
        with setting():
            assert are_equal(symbols_of(codec), expected), name


def test_features_do_not_depend_on_the_precision_of_products(codec: SCICodec, group: Group) -> None:
    expected, _ = decoded_group(codec, *group)
    with matmul_precision("medium"):
        assert torch.equal(decoded_group(codec, *group)[0], expected)


SCRIPT = """
import hashlib, sys, torch
import spike_zoo
from spike_zoo.coding import BitstreamReader
from spike_zoo.methods.sci.codec.bitstream import decoded_group
from tests.methods.sci.test_exactness import RecordingDecoder, bitstream
bitstream.SymbolDecoder = RecordingDecoder
codec = spike_zoo.load("sci").codec
reader = BitstreamReader(open(sys.argv[1], "rb").read())
RecordingDecoder.symbols = []
decoded_group(codec, reader.payload(0), reader.header, 0)
symbols = [part.to(torch.int32).numpy().tobytes() for part in RecordingDecoder.symbols]
print(hashlib.sha256(b"".join(symbols)).hexdigest())
"""
PROCESSORS = [
    {"ONEDNN_MAX_CPU_ISA": "SSE41"},
    {"ONEDNN_MAX_CPU_ISA": "AVX2"},
    {"ATEN_CPU_CAPABILITY": "default"},
    {"ATEN_CPU_CAPABILITY": "avx2"},
    {"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41", "OMP_NUM_THREADS": "4"},
]


@pytest.mark.slow
def test_a_stream_is_decoded_equally_with_the_instructions_of_other_processors(
    tmp_path: Path,
) -> None:
    """Decode a bitstream of the shipped weights in processes with limited instruction sets."""
    stream = tmp_path / "a.sci"
    codec: Any = spike_zoo.load("sci")
    stream.write_bytes(codec.codec.compress(recording(40), quality=2, gop=4))
    digests = []
    for changes in ({}, *PROCESSORS):
        command = [sys.executable, "-c", SCRIPT, str(stream)]
        environment = {**os.environ, **changes}
        process = subprocess.run(
            command, env=environment, cwd=ROOT, capture_output=True, text=True, check=True
        )
        digests.append(process.stdout.strip())
    assert len(digests[0]) == 64
    assert len(set(digests)) == 1, dict(zip(map(str, PROCESSORS), digests[1:], strict=True))


def test_bytes_do_not_depend_on_autocast_and_are_decoded_without_onednn(
    codec: SCICodec, features: list[Tensor]
) -> None:
    header = codec.header(recording(20), quality=1, gop=4)
    usual = list(bitstream.payloads(codec, features[:2], header))
    with torch.autocast("cpu", torch.bfloat16):
        assert list(bitstream.payloads(codec, features[:2], header)) == usual
    with SETTINGS["no oneDNN"]():
        (payload,) = bitstream.payloads(codec, features[:2], header)
    decoded_group(codec, payload, header, 0)  # raises if a symbol differs


def channels_last(codec: SCICodec) -> None:
    codec.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's


def in_float64(codec: SCICodec) -> None:
    """Compute all float convolutions in double precision."""
    for layer in convolutions_of(codec):
        layer.double()
        layer.register_forward_pre_hook(
            lambda _, inputs: tuple(tensor.double() for tensor in inputs)
        )
        layer.register_forward_hook(lambda _, inputs, output: output.float())


def with_noise(codec: SCICodec) -> None:
    """Add relative noise of 1e-6 to all means."""
    generator = torch.Generator().manual_seed(0)

    def disturb(_: nn.Module, inputs: object, output: Tensor) -> Tensor:
        return output * (1 + 1e-6 * torch.randn(output.shape, generator=generator))

    for name in FLOAT_NETWORKS:
        if name.endswith(("fuse", "spatial")):
            codec.get_submodule(name).register_forward_hook(disturb)


def with_random_floats(codec: SCICodec) -> None:
    """Replace all weights of float networks by random values."""
    torch.manual_seed(99)
    for layer in convolutions_of(codec):
        for parameter in layer.parameters():
            nn.init.normal_(parameter, std=0.05)


def test_no_float_selects_a_table(
    codec: SCICodec, symbols_of: Callable[[SCICodec], list[Tensor]], expected: list[Tensor]
) -> None:
    for change in (channels_last, in_float64, with_noise, with_random_floats):
        other = copy.deepcopy(codec)
        change(other)
        assert are_equal(symbols_of(other), expected), change.__name__


def test_small_differences_of_floats_change_features_slightly(
    codec: SCICodec, group: Group
) -> None:
    usual, _ = decoded_group(codec, *group)
    noisy = copy.deepcopy(codec)
    with_noise(noisy)
    assert 0 < (decoded_group(noisy, *group)[0] - usual).abs().max() < 1e-3


def test_a_changed_integer_selects_other_tables_and_raises(codec: SCICodec, group: Group) -> None:
    for net in range(3):
        other = copy.deepcopy(codec)
        layers: Any = scale_nets(other)[net].layers
        layers[2].bias_integer += 4 * int(2 ** layers[2].shift.max() // layers[2].multiplier.max())
        with pytest.raises(BitstreamError, match="group of pictures 2"):
            decoded_group(other, *group)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_streams_of_cpu_and_gpu_are_decoded_on_each_other(codec: SCICodec, stream: bytes) -> None:
    on_gpu = copy.deepcopy(codec).cuda()
    usual, decoded = codec.decompress(stream), on_gpu.decompress(stream)
    assert (decoded.features - usual.features).abs().max() <= 1e-3
    back = codec.decompress(on_gpu.compress(recording(), quality=2, gop=4))
    assert len(back.features) == len(usual.features)


def test_coding_restores_modes_and_settings(codec: SCICodec) -> None:
    other = copy.deepcopy(codec).train()
    other.fem.eval()  # frozen
    flags = torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.allow_tf32
    other.decompress(other.compress(recording(13)))
    assert other.training
    assert not other.fem.training
    assert flags == (torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.allow_tf32)
    with eval_mode(other):
        assert not other.training
    assert other.training


def test_concurrent_decoding_restores_settings_and_gives_equal_features(
    codec: SCICodec, group: Group
) -> None:
    def decode(_: int) -> Tensor:
        return decoded_group(codec, *group)[0]

    with matmul_precision("high"):
        with ThreadPoolExecutor(4) as pool:
            features = list(pool.map(decode, range(8)))
        assert torch.get_float32_matmul_precision() == "high"
    assert not torch.are_deterministic_algorithms_enabled()
    assert all(torch.equal(other, features[0]) for other in features)
