"""Simulated spikes are the same on all processors."""

import os
import subprocess
import sys

import numpy as np
import pytest

# Scenes whose spikes used to differ on processors with shorter vector registers.
DIGEST = """
import hashlib
from spike_zoo.simulation import default_scenes, simulate_take
digest = hashlib.sha256()
scenes = default_scenes("train", 22, height=96, planes=161)
for take in map(simulate_take, (scenes[1], scenes[13], scenes[17])):
    digest.update(take.recording.read(0, 161).tobytes() + take.images.tobytes())
print(digest.hexdigest())
"""


def digest_of_takes(**environment: str) -> str:
    process = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", DIGEST],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return process.stdout.split()[-1]


@pytest.mark.slow
def test_spikes_do_not_depend_on_the_vector_instructions_of_the_processor() -> None:
    extensions = np.show_config(mode="dicts")["SIMD Extensions"]
    features = [name for name in extensions["found"] if "V2" not in name]
    if not features:
        pytest.skip("numpy uses its baseline instructions on this processor")
    plain = digest_of_takes(NPY_DISABLE_CPU_FEATURES=" ".join(features), ATEN_CPU_CAPABILITY="avx2")
    assert digest_of_takes() == plain
