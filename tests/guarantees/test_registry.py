from __future__ import annotations

import dataclasses
import re

import pytest

from spanver import guarantees
from spanver.errors import ArgumentError
from spanver.guarantees import REGISTRY, Guarantee, Kind, Provenance, guarantee
from spanver.guarantees.headline import multi_turn_cost

IDS = [
    *("I1", "I2", "I3", "I4", "I5", "I6", "I7"),
    *("O1", "O2", "O3"),
    *("R1", "R2", "R3", "R4", "R5", "R6"),
    *("S1", "S2", "S3", "S4", "S5", "S6", "S7", "S8"),
    *("B1", "B2", "B3"),
    *("E1", "E2", "E3", "E4", "E5", "E6", "E7"),
    *("T1", "T2", "T3", "T4", "T5", "T6"),
]
BOUNDS = {
    "I3": guarantees.log_coverage_bound,
    "I4": guarantees.kl_bound,
    "I6": guarantees.log_sequence_coverage,
    "R1": guarantees.sampler_samples,
    "R3": guarantees.sampler_multiplier,
    "R4": guarantees.race_total_variation,
    "S4": guarantees.spanner_size_bound,
    "S5": guarantees.uncovered_budget,
    "S6": guarantees.uncovered_probability,
    "S7": guarantees.spanner_cost,
    "E1": guarantees.confidence_radius,
    "E2": guarantees.score_error,
    "E3": guarantees.log_truncated_coverage,
    "E4": guarantees.log_untruncated_coverage,
    "E5": guarantees.truncated_gap,
    "T1": guarantees.needle_output_ceiling,
    "T5": multi_turn_cost,
}
STATISTICAL = {"O2", "R2", "R3", "R4", "R6", "S5", "E1", "T1", "T2"}
RECONSTRUCTED = {"I4", "I7", "R2", "S4", "S5", "S6", "E1", "E2", "E3", "E4", "E5", "T1"}


def test_the_ids_are_those_of_the_mathematics_in_its_order() -> None:
    assert list(REGISTRY) == IDS
    assert [entry.id for entry in REGISTRY.values()] == IDS


@pytest.mark.parametrize("entry", REGISTRY.values(), ids=lambda entry: entry.id)
def test_each_entry_says_what_it_promises_in_text_for_a_terminal(entry: Guarantee) -> None:
    assert 10 < len(entry.statement) <= 400
    for text in (entry.statement, entry.title, entry.source, entry.group):
        assert text
        assert text.isprintable()
        assert text == " ".join(text.split())
        assert not set("\\$") & set(text)
        assert not re.search(r"\[[a-z#/@]", text), "terminal libraries take this for a style"
    assert entry.statement.endswith(".")
    assert entry.kind
    assert len(set(entry.kind)) == len(entry.kind)


def test_titles_are_unique() -> None:
    assert len({entry.title for entry in REGISTRY.values()}) == len(REGISTRY)


def test_each_inequality_points_to_its_bound() -> None:
    assert {entry.id: entry.bound for entry in REGISTRY.values() if entry.bound is not None} == BOUNDS


def test_every_statement_with_a_reconstructed_constant_is_marked_so() -> None:
    assert {entry.id for entry in REGISTRY.values() if entry.provenance is Provenance.RECON} == RECONSTRUCTED
    assert {entry.id for entry in REGISTRY.values() if entry.provenance is Provenance.EXT} == {"O2", "O3", "R4"}


def test_sources_agree_with_provenance() -> None:
    words = {Provenance.FMR25: "FMR25", Provenance.RECON: "recon", Provenance.EXT: "ext", Provenance.NONE: "-"}
    for entry in REGISTRY.values():
        assert words.get(entry.provenance, "") in entry.source
    assert guarantee("B1").source == "Awerbuch & Kleinberg 2008"


def test_kinds_are_those_of_the_mathematics() -> None:
    def of(kind: Kind) -> set[str]:
        return {entry.id for entry in REGISTRY.values() if kind in entry.kind}

    assert of(Kind.STATISTICAL) == STATISTICAL
    assert of(Kind.SCALING) == {"T2", "T3", "T5", "T6"}
    assert of(Kind.ILLUSTRATION) == {"T4"}
    assert of(Kind.EXACT_GIVEN) == {"E2", "E3", "E5"}
    exact = set(IDS) - {"R4", "R6", "S5", "E1"} - {i for i in IDS if i[0] == "T"} - of(Kind.EXACT_GIVEN)
    assert of(Kind.EXACT) == exact


def test_what_rests_on_another_guarantee_names_one_that_stands_before_it() -> None:
    for entry in REGISTRY.values():
        assert (entry.given is not None) == (Kind.EXACT_GIVEN in entry.kind)
        if entry.given is not None:
            assert IDS.index(entry.given) < IDS.index(entry.id)


def test_kinds_and_sources_read_as_words() -> None:
    assert guarantee("E2").kind_text == "exact given E1"
    assert guarantee("T2").kind_text == "statistical, scaling"
    assert guarantee("B1").source_text == "Awerbuch & Kleinberg 2008 (standard)"
    assert guarantee("S4").source_text == "FMR25 form, recon constants"
    assert guarantee("I1").source_text == "-"


def test_entries_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        REGISTRY["S4"] = guarantee("S3")  # type: ignore[index]
    with pytest.raises(dataclasses.FrozenInstanceError):
        guarantee("S4").statement = "anything"  # type: ignore[misc]


@pytest.mark.parametrize("name", IDS)
def test_an_id_finds_its_entry(name: str) -> None:
    assert guarantee(name).id == name


@pytest.mark.parametrize("name", ["S9", "s4", "", "S"])
def test_an_unknown_id_is_refused_with_the_known_ones(name: str) -> None:
    with pytest.raises(ArgumentError) as refusal:
        guarantee(name)
    assert all(known in str(refusal.value).split("one of ")[1].split(", ") for known in IDS)
