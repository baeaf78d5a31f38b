"""Tests inherited from the base classes of Spike Zoo."""

from spike_mean import SpikeLabel, SpikeMean

from spike_zoo.testing import ClassificationTester, MethodTester, ReconstructionTester


class TestSpikeMean(ReconstructionTester, MethodTester):
    overfit_psnr = 15.0

    def make_module(self) -> SpikeMean:
        return SpikeMean()


class TestSpikeLabel(ClassificationTester, MethodTester):
    overfit_steps = 200

    def make_module(self) -> SpikeLabel:
        return SpikeLabel()
