"""Frames that the tests of training share."""

import pytest
from toy_training import toy_frames

from halocline.datasets.frame import Frame


@pytest.fixture(scope="module")
def frames() -> tuple[list[Frame], list[Frame]]:
    return toy_frames(40, 0), toy_frames(12, 1)
