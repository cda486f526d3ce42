"""Libraries of others that can be verified by name, each with its own promises in its own words.

A record has no promise that the library does not make. A library is imported when its adapter is called; if it is not
installed, `MissingExtraError` says which extra has it. Adapters return what the library returns, right or wrong.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from spanver.subjects.libraries import numpy_choice, river, scikit_learn, scipy_qr, vowpal_wabbit
from spanver.subjects.libraries.library import Library

LIBRARIES: Mapping[str, Library] = MappingProxyType(
    {
        each.subject.name: each
        for module in (numpy_choice, scipy_qr, scikit_learn, river, vowpal_wabbit)
        for each in module.LIBRARIES
    }
)
"""By name."""
