"""What Spike Zoo asks of every method that reconstructs and learns."""

from spike_mean import SpikeMean

from spike_zoo.testing import MethodTester, ReconstructionTester


class TestSpikeMean(ReconstructionTester, MethodTester):
    overfit_psnr = 15.0

    def make_module(self) -> SpikeMean:
        return SpikeMean()
