"""Fixtures of the kernels: every backend that is there."""

from __future__ import annotations

from importlib.util import find_spec

import pytest
from kernel_cases import PLACES, Place

from spanver.kernels.backends import BACKENDS


@pytest.fixture(params=[name for name in PLACES if name not in BACKENDS or find_spec(name)])
def backend(request: pytest.FixtureRequest) -> Place:
    return PLACES[request.param]()
