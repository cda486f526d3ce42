"""The libraries of others that can be verified by name, each with the promises that it makes in its own words.

A promise that a library does not make is not in its record. Libraries are imported where they are used;
`MissingExtraError` says which extra has one that is not installed. What a library returns is passed on as it is, right
or wrong.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from spanver.subjects.libraries import numpy_choice, river, scikit_learn, scipy_qr, vowpal_wabbit
from spanver.subjects.libraries.library import Library

LIBRARIES: Mapping[str, Library] = MappingProxyType(
    {
        each.name: each
        for module in (numpy_choice, scipy_qr, scikit_learn, river, vowpal_wabbit)
        for each in module.LIBRARIES
    }
)
"""By name."""
