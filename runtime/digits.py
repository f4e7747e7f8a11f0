"""The handwritten digits of scikit-learn as record files: 1,797 images of 8 x 8 pixels, 0 to 16.

Source: Alpaydin and Kaynak, Optical Recognition of Handwritten Digits, UCI repository, 1998.
"""

from pathlib import Path

import numpy as np

from hwprofiles.errors import BackendUnavailable
from runtime.record_writer import write_records

TRAIN_FRAC = 0.8
CLASSES = 10
FULL_SCALE = 16
"""A pixel counts the set ones of 4x4 bits."""


def write_digits(folder: Path, seed: int = 0) -> tuple[Path, Path]:
    """Write ``digits-train.rec`` and ``digits-test.rec`` into ``folder`` and return their paths.

    The images are shuffled by ``seed``; the first 80 % (1,437) are for training, 360 for the test.
    The same seed writes the same bytes.

    Raises
    ------
    BackendUnavailable
        When scikit-learn is not installed.
    RecordError
        When the folder cannot be written.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise BackendUnavailable(
            "digits: expected scikit-learn, which brings the images, got none; install it with"
            " pip install 'foreplan[demo]'"
        ) from error
    digits = load_digits()
    order = np.random.default_rng(seed).permutation(len(digits.target))
    images, labels = digits.images[order].astype(np.uint8), digits.target[order]
    cut = int(TRAIN_FRAC * len(labels))
    paths = folder / "digits-train.rec", folder / "digits-test.rec"
    for path, part in zip(paths, (slice(None, cut), slice(cut, None)), strict=True):
        write_records(path, images[part], labels[part], CLASSES, seed, FULL_SCALE)
    return paths
