"""Names and seeds of the motions of labelled images."""

import functools

import numpy as np

from spike_zoo.simulation.kinds.labelled import LabelledImage, labelled_drifts


def image(name: str, label: int = 2) -> LabelledImage:
    read = functools.partial(np.full, (12, 12), 255, np.uint8)
    return LabelledImage(name, label, "bright", read)


def test_every_motion_of_an_image_has_another_path_and_the_label_of_the_image() -> None:
    drifts = labelled_drifts([image("a b/c")], 3, 0, height=48, width=48)
    assert [drift.name for drift in drifts] == [f"a_b_c-motion-{motion}" for motion in range(3)]
    takes = [drift.take() for drift in drifts]
    assert {take.label for take in takes} == {2}
    assert {take.recording.meta["label_name"] for take in takes} == {"bright"}
    assert len({str(take.recording.meta["drift"]) for take in takes}) == 3


def test_a_take_does_not_depend_on_the_others() -> None:
    single = labelled_drifts([image("b")], 1, 7)
    several = labelled_drifts([image("a"), image("b"), image("c")], 2, 7)
    assert single[0].spec == several[2].spec
    assert labelled_drifts([image("b")], 1, 8)[0].spec.seed != single[0].spec.seed
