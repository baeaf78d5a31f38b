"""Detection of copies of known photographs: turned, cropped, resized, grey or compressed."""

from collections.abc import Mapping
from typing import Final, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_PARTS: Final = 16  # of a fingerprint, along each axis
#: Smallest correlation of the fingerprints of two copies of a photograph. Copies of different size
#: and compression have above 0.999, different photographs of 297 below 0.91.
_SAME: Final = 0.97
_SIDE: Final = 400  # pixels of the longest side, in which keypoints are detected
_KEYPOINTS: Final = 400
_RATIO: Final = 0.8  # of the distances to the nearest and the second descriptor (Lowe, 2004)
_TOLERANCE: Final = 3.0  # pixels
_MIN_SCALE: Final = 0.2
#: Smallest number of keypoints that one similarity transform maps. Grey crops to 90 %, 70 % and
#: 50 % of the sides, at two thirds of the size, have at least 17, 12 and 9 (0 for one blurred
#: photograph); different photographs of 297 have at most 5.
_MIN_MATCHES: Final = 8


class PhotographFeatures(NamedTuple):
    """Features of a photograph."""

    fingerprint: NDArray[np.float64]  #: luminance of 16 x 16 parts, with norm 1
    points: NDArray[np.float32]  #: ``(N, 2)``, positions of the keypoints
    descriptors: NDArray[np.float32]  #: ``(N, 128)``, with norm 1

    @classmethod
    def of(cls, levels: NDArray[np.uint8]) -> Self:
        """Compute the features of levels ``(H, W, 3)``."""
        import cv2

        image = Image.fromarray(np.ascontiguousarray(levels)).convert("L")
        parts = image.resize((_PARTS, _PARTS), Image.Resampling.BOX)
        values = np.asarray(parts, dtype=np.float64)
        values = values - values.mean()
        image.thumbnail((_SIDE, _SIDE), Image.Resampling.LANCZOS)
        detector = cv2.SIFT.create(nfeatures=_KEYPOINTS)
        keypoints, descriptors = detector.detectAndCompute(np.asarray(image), None)
        points = np.array([point.pt for point in keypoints], np.float32).reshape(-1, 2)
        if descriptors is None:
            descriptors = np.empty((0, 128), np.float32)
        norms = np.linalg.norm(descriptors, axis=1, keepdims=True)
        fingerprint = values / max(float(np.linalg.norm(values)), 1e-6)
        return cls(fingerprint, points, descriptors / np.maximum(norms, 1e-6))


def copied_photograph(
    levels: NDArray[np.uint8], known: Mapping[str, PhotographFeatures]
) -> str | None:
    """Return the name of the known photograph that an image shows in part; None for another one.

    Fingerprints find copies without keypoints, such as blurred ones, and negatives, in eight
    orientations.
    Keypoints also find crops; their descriptors do not depend on scale and rotation.
    """
    mirrored = [PhotographFeatures.of(each) for each in (levels, levels[:, ::-1])]
    turned = np.stack([np.rot90(each.fingerprint, n) for each in mirrored for n in range(4)])
    for name, other in known.items():
        if np.abs(np.einsum("nij,ij->n", turned, other.fingerprint)).max() > _SAME:
            return name
        if any(_matches(each, other) >= _MIN_MATCHES for each in mirrored):
            return name
    return None


def _matches(one: PhotographFeatures, other: PhotographFeatures) -> int:
    """Return the number of keypoints that a similarity transform maps to those of another."""
    import cv2

    if min(len(one.points), len(other.points)) < _MIN_MATCHES:
        return 0
    cosines = one.descriptors @ other.descriptors.T
    nearest = cosines.argmax(axis=1)
    is_mutual = cosines.argmax(axis=0)[nearest] == np.arange(len(nearest))
    distances = np.sqrt(np.maximum(2 - 2 * np.partition(cosines, -2, axis=1)[:, -2:], 0))
    is_match = is_mutual & (distances[:, 1] < _RATIO * distances[:, 0])
    if is_match.sum() < _MIN_MATCHES:
        return 0
    transform, inliers = cv2.estimateAffinePartial2D(
        one.points[is_match], other.points[nearest[is_match]], ransacReprojThreshold=_TOLERANCE
    )
    # a transform to a point fits everything
    is_transform = transform is not None and np.hypot(*transform[:, 0]) > _MIN_SCALE
    return int(inliers.sum()) if is_transform else 0
