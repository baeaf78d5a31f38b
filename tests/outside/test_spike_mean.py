"""What Spike Zoo asks of every method that reconstructs or tells classes, and learns."""

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
