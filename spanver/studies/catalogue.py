"""The studies by name, in the order in which they are shown."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from spanver.studies import (
    constants,
    counting,
    coverage,
    data,
    lower_bound,
    multi_turn,
    proper,
    reduction,
    regret,
    truncation,
)
from spanver.studies.engine.study import Study

STUDIES: Mapping[str, Study] = MappingProxyType(
    {
        study.name: study
        for study in (
            lower_bound.STUDY,
            coverage.STUDY,
            data.STUDY,
            regret.STUDY,
            truncation.STUDY,
            constants.STUDY,
            counting.STUDY,
            proper.STUDY,
            reduction.STUDY,
            multi_turn.STUDY,
        )
    }
)
