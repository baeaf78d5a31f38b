"""Tests of ScaleNet: integer arithmetic, independence of settings, and fake quantisation."""

import copy
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from spike_zoo.coding.errors import DeviceNotExactError, NotFinalizedError
from spike_zoo.methods.sci.codec.scale_net import QUALITIES, ScaleNet, scaling
from spike_zoo.nn.threads import torch_threads

HYPER, CONTEXT, HIDDEN, OUTPUTS = 8, 24, 16, 24


def random_symbols(batch: int = 8, side: int = 8, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Return hyper symbols and context symbols, some of them beyond the clipping limits."""
    generator = np.random.default_rng(seed)
    hyper = generator.normal(0, 40, (batch, HYPER, side // 4, side // 4)).round()
    context = generator.laplace(0, 5, (batch, CONTEXT, side, side)).round()
    return torch.from_numpy(hyper).float(), torch.from_numpy(context).float()


@pytest.fixture(scope="module")
def net() -> ScaleNet:
    """Return a finalised network with estimated steps and enlarged weights."""
    torch.manual_seed(0)
    net = ScaleNet(HYPER, CONTEXT, HIDDEN, OUTPUTS)
    layers: Any = net.layers
    with torch.no_grad():
        layers[0].bias += torch.linspace(-1, 1, QUALITIES)[:, None]  # differ between qualities
        for layer, factor in zip(layers, (3.0, 3.0, 2.0), strict=True):
            layer.weight *= factor
        for seed in range(12):
            hyper, context = random_symbols(seed=seed)
            net(hyper, [context], seed % QUALITIES)
    net.finalize()
    return net.eval()


def reference_scale_indexes(
    net: ScaleNet, hyper: Tensor, context: Tensor, quality: int
) -> NDArray[np.int64]:
    """Compute the scale indexes of one sample in NumPy with int64, one kernel element at a time."""
    repeated = hyper.numpy().astype(np.int64).repeat(4, axis=-2).repeat(4, axis=-1)
    values = [repeated.clip(-127, 127), context.numpy().astype(np.int64).clip(-15, 15)]
    x = np.concatenate(values)
    layers: Any = net.layers
    for number, layer in enumerate(layers):
        weight = layer.weight_integer.numpy().astype(np.int64)
        bias = layer.bias_integer[quality if number == 0 else 0].numpy().astype(np.int64)
        size, (height, width) = weight.shape[-1], x.shape[-2:]
        padded = np.pad(x, ((0, 0), (size // 2,) * 2, (size // 2,) * 2))
        sums = np.broadcast_to(bias[:, None, None], (len(bias), height, width)).copy()
        for row in range(size):
            for column in range(size):
                part = padded[:, row : row + height, column : column + width]
                sums += np.einsum("oc,chw->ohw", weight[:, :, row, column], part)
        assert np.abs(sums).max() < 2**31
        factor = layer.multiplier.numpy().astype(np.int64)[:, None, None]
        shift = layer.shift.numpy().astype(np.int64)[:, None, None]
        x = ((sums * factor + (1 << (shift - 1))) >> shift).clip(0, 63 if number == 2 else 255)
    return x


def test_scale_indexes_equal_integer_arithmetic_at_every_quality(net: ScaleNet) -> None:
    for quality in range(QUALITIES):
        hyper, context = random_symbols(batch=1, seed=100 + quality)
        scale_indexes = net.scale_indexes(hyper, [context], quality)
        assert scale_indexes.dtype == torch.int64
        expected = reference_scale_indexes(net, hyper[0], context[0], quality)
        np.testing.assert_array_equal(scale_indexes[0].numpy(), expected)
        assert scale_indexes.unique().numel() > 30, "scale indexes must vary in this test"


@pytest.mark.parametrize(("batch", "threads"), [(1, 1), (4, 2), (8, 4)])
def test_scale_indexes_do_not_depend_on_batch_or_threads(
    net: ScaleNet, batch: int, threads: int
) -> None:
    hyper, context = random_symbols()
    expected = net.scale_indexes(hyper, [context], 1)
    pairs = zip(hyper.split(batch), context.split(batch), strict=True)
    with torch_threads(threads):
        assert torch.equal(torch.cat([net.scale_indexes(a, [b], 1) for a, b in pairs]), expected)


@pytest.mark.filterwarnings("ignore:TF32 acceleration on top of oneDNN")  # torch's own flags
def test_scale_indexes_do_not_depend_on_layout_autocast_or_kernels(net: ScaleNet) -> None:
    hyper, context = random_symbols()
    expected = net.scale_indexes(hyper, [context], 2)
    last = (part.contiguous(memory_format=torch.channels_last) for part in (hyper, context))
    assert torch.equal(net.scale_indexes(next(last), [next(last)], 2), expected)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(net.scale_indexes(hyper, [context], 2), expected)
    with torch.backends.mkldnn.flags(enabled=False):
        assert torch.equal(net.scale_indexes(hyper, [context], 2), expected)
    halves = [half.bfloat16() for half in context.split(CONTEXT // 2, dim=1)]  # exact up to 256
    assert torch.equal(net.scale_indexes(hyper.double(), halves, 2), expected)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_scale_indexes_of_gpu_and_cpu_are_equal(net: ScaleNet) -> None:
    hyper, context = random_symbols()
    on_gpu = copy.deepcopy(net).cuda()
    on_gpu.check(torch.device("cuda"))
    with torch.autocast("cuda", torch.float16):
        indexes = on_gpu.scale_indexes(hyper.cuda(), [context.cuda()], 1)
    assert torch.equal(indexes.cpu(), net.scale_indexes(hyper, [context], 1))


def test_training_output_agrees_with_the_exact_scale_indexes(net: ScaleNet) -> None:
    different = count = 0
    for seed in range(200, 208):
        hyper, context = random_symbols(seed=seed)
        exact = net.scale_indexes(hyper, [context], seed % QUALITIES)
        with torch.no_grad():
            indexes = net(hyper, [context], seed % QUALITIES)
        distance = (indexes.round().long() - exact).abs()
        assert distance.max() <= 1
        different, count = different + int(distance.sum()), count + distance.numel()
    assert different <= 0.01 * count


def test_gradients_reach_every_weight_through_rounding() -> None:
    torch.manual_seed(1)
    net = ScaleNet(HYPER, CONTEXT, HIDDEN, OUTPUTS)
    hyper, context = (part.requires_grad_() for part in random_symbols())
    net(hyper, [context], 2).square().mean().backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None
        assert parameter.grad.any(), name
    assert hyper.grad is not None
    assert hyper.grad.any()
    layers: Any = net.layers
    assert [row.any().item() for row in layers[0].bias.grad] == [False, False, True, False]


def test_an_untrained_network_predicts_medium_scale_indexes() -> None:
    torch.manual_seed(2)
    net = ScaleNet(HYPER, CONTEXT, HIDDEN, OUTPUTS)
    hyper, context = random_symbols()
    assert float(net(hyper, [context], 0).detach().mean()) == pytest.approx(22, abs=2)


def test_scale_indexes_of_a_network_that_is_not_final_raise() -> None:
    hyper, context = random_symbols(batch=1)
    with pytest.raises(NotFinalizedError, match=r"not final yet: call update_tables\(\)"):
        ScaleNet(HYPER, CONTEXT, HIDDEN, OUTPUTS).scale_indexes(hyper, [context], 0)


def test_a_device_with_other_results_is_rejected(net: ScaleNet) -> None:
    cpu = torch.device("cpu")
    net.check(cpu)
    other = copy.deepcopy(net)
    other.probe_crc ^= 1
    with pytest.raises(DeviceNotExactError, match="cpu does not compute integers of float64 exac"):
        other.check(cpu)
    damaged = copy.deepcopy(net)
    layers: Any = damaged.layers
    layers[1].multiplier += 300
    with pytest.raises(DeviceNotExactError, match=r"\(0x[0-9a-f]{8} instead of 0x[0-9a-f]{8}\)"):
        damaged.check(cpu)


@pytest.mark.parametrize("value", [1e9, float("nan"), float("inf")])
@pytest.mark.parametrize("name", ["layers.2.weight", "layers.0.bias"])
def test_finalising_diverged_weights_raises(name: str, value: float) -> None:
    net = ScaleNet(HYPER, CONTEXT, HIDDEN, OUTPUTS)
    net.get_parameter(name).data.view(-1)[-1] = value
    with pytest.raises(ValueError, match=r"its training (has )?diverged"):
        net.finalize()
    assert not net.is_final


def test_factors_are_rounded_to_15_bits() -> None:
    factors = torch.logspace(-26, 13, 5000, base=2.0, dtype=torch.float64)
    multiplier, shift = scaling(factors)
    assert multiplier.min() >= 2**14
    assert multiplier.max() < 2**15
    assert shift.min() >= 1
    assert shift.max() <= 40
    assert torch.equal(multiplier, multiplier.round())
    relative = (multiplier * torch.exp2(-shift) / factors - 1).abs()
    assert relative.max() <= 2.0**-15
    assert [int(x) for x in scaling(torch.tensor([1e-12], dtype=torch.float64))] == [2**14, 40]
    nearly = torch.tensor([2.0 - 1e-9], dtype=torch.float64)  # rounds up to the next power of two
    assert [int(x) for x in scaling(nearly)] == [2**14, 13]
    for wrong in (2.0**14, float("nan")):
        with pytest.raises(ValueError, match="a factor above 16384"):
            scaling(torch.tensor([wrong], dtype=torch.float64))
