"""The registry agrees with the tables of mathematics.md, which are read here: a new guarantee needs no edit."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from spanver.errors import ArgumentError
from spanver.guarantees import REGISTRY, Guarantee, Kind, Provenance, guarantee

PAGE = Path(__file__).parents[2] / "docs" / "mathematics.md"
KINDS = {"stat": Kind.STATISTICAL, "scaling": Kind.SCALING, "illustration": Kind.ILLUSTRATION, "exact": Kind.EXACT}


@dataclass(frozen=True)
class Stated:
    """What a row of the page's tables states of one guarantee."""

    kinds: frozenset[Kind]
    given: str | None
    source: str | None  # the oracle's table has no such column


def stated() -> dict[str, Stated]:
    """Rows of the tables of section 4, by id, in their order; code between backticks may contain anything."""
    rows = re.findall(r"^\| ([A-Z]\d|C-A\w+) \|(.*)\|$", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    found = {}
    for name, row in rows:
        _, kind, *source = (cell.strip() for cell in re.sub(r"`[^`]*`", "`", row).split("|"))
        parts = [part.strip() for part in re.split("[;+,]", kind)]
        given = re.fullmatch(r"exact given ([A-Z]\d)", kind)
        kinds = [KINDS[word] for word in KINDS for part in parts if re.match(rf"{word}\b", part)]
        found[name] = Stated(
            frozenset([Kind.EXACT_GIVEN] if given else kinds), given and given.group(1), source[0] if source else None
        )
    return found


STATED = stated()
IDS = list(STATED)


def test_the_ids_are_those_of_the_mathematics_in_its_order() -> None:
    assert list(REGISTRY) == IDS
    assert [entry.id for entry in REGISTRY.values()] == IDS
    assert len(IDS) >= 40


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


def test_the_bound_of_an_inequality_says_which_one_it_is() -> None:
    bounds = {entry.id: entry.bound for entry in REGISTRY.values() if entry.bound is not None}
    assert len(bounds) == len(set(bounds.values())) > 10
    for name, bound in bounds.items():
        assert re.search(rf"\b{name}\b", str(bound.__doc__).splitlines()[0]), f"{bound.__name__} does not name {name}"


@pytest.mark.parametrize("name", [name for name in IDS if STATED[name].source is not None])
def test_every_statement_with_a_reconstructed_constant_is_marked_so(name: str) -> None:
    source, provenance = str(STATED[name].source), guarantee(name).provenance
    marks = [mark for mark in (Provenance.RECON, Provenance.EXT, Provenance.FMR25) if mark.value in source]
    assert provenance is (marks[0] if marks else Provenance.NONE if source == "-" else Provenance.STANDARD)


def test_what_the_tables_do_not_say_of_the_oracle_is_in_section_2() -> None:
    assert {name: guarantee(name).provenance for name in IDS if STATED[name].source is None} == {
        "O1": Provenance.FMR25, "O2": Provenance.EXT, "O3": Provenance.EXT
    }  # fmt: skip


def test_sources_agree_with_provenance() -> None:
    words = {Provenance.FMR25: "FMR25", Provenance.RECON: "recon", Provenance.EXT: "ext", Provenance.NONE: "-"}
    for entry in REGISTRY.values():
        assert words.get(entry.provenance, "") in entry.source
    assert guarantee("B1").source == "Awerbuch & Kleinberg 2008"


@pytest.mark.parametrize("name", IDS)
def test_kinds_are_those_of_the_mathematics(name: str) -> None:
    entry = guarantee(name)
    assert (frozenset(entry.kind), entry.given) == (STATED[name].kinds, STATED[name].given)


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
