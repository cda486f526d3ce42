"""Fixtures of the kernels: every backend that is there."""

from __future__ import annotations

import pytest
from kernel_cases import PLACES, Place

from spanver.kernels.backends import BACKENDS


def is_there(name: str) -> bool:
    try:
        BACKENDS[name].conversions()
    except ImportError:
        return False
    return True


@pytest.fixture(params=[name for name in PLACES if name not in BACKENDS or is_there(name)])
def backend(request: pytest.FixtureRequest) -> Place:
    return PLACES[request.param]()
