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
    source: str


def stated() -> dict[str, Stated]:
    """Rows of the tables of section 4, by id, in their order; code between backticks may contain anything."""
    rows = re.findall(r"^\| ((?:MT|[A-Z])\d+|C-A\w+) \|(.*)\|$", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    found = {}
    for name, row in rows:
        _, kind, *source = (cell.strip() for cell in re.sub(r"`[^`]*`", "`", row).split("|"))
        parts = [part.strip() for part in re.split("[;+,]", kind)]
        given = re.fullmatch(r"exact given ((?:MT|[A-Z])\d+)", kind)
        kinds = [KINDS[word] for word in KINDS for part in parts if re.match(rf"{word}\b", part)]
        found[name] = Stated(frozenset([Kind.EXACT_GIVEN] if given else kinds), given and given.group(1), source[0])
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
    for text in (entry.statement, entry.title, entry.source_text, entry.group):
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


@pytest.mark.parametrize("name", IDS)
def test_sources_are_those_of_the_mathematics(name: str) -> None:
    assert guarantee(name).source_text == STATED[name].source


NUMBERED = r"(Theorem|Lemma|Proposition|Algorithm|Definition|Remark|Section|footnote|Lemmas) ?[A-Z]?\.?\d|\(\d+\)"


@pytest.mark.parametrize("entry", REGISTRY.values(), ids=lambda entry: entry.id)
def test_what_is_the_papers_has_a_number_and_a_page(entry: Guarantee) -> None:
    if entry.provenance in (Provenance.PAPER, Provenance.REPAIRED):
        assert entry.source.startswith("FMR25 ")
    if "FMR25" in entry.source:
        assert re.search(NUMBERED, entry.source)
        assert re.search(r"\bp\. \d+", entry.source)


def test_what_is_repaired_is_among_the_errata() -> None:
    errata = (PAGE.parent / "errata.md").read_text(encoding="utf-8")
    repaired = [entry for entry in REGISTRY.values() if entry.provenance is Provenance.REPAIRED]
    assert repaired
    for entry in repaired:
        numbered = re.match(r"FMR25 (\w+ \S+), (p\. \d+)", entry.source)
        assert numbered
        assert f"## {numbered[1]}, {numbered[2]}" in errata


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
    assert guarantee("B1").source_text == "standard: Awerbuch & Kleinberg 2008"
    assert guarantee("S4").source_text == "ours: implies FMR25 Lemma G.8, p. 52"
    assert guarantee("R4").source_text == "ours"
    assert guarantee("I1").source_text == "-"


def test_entries_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        REGISTRY["S4"] = guarantee("S3")  # type: ignore[index]
    with pytest.raises(dataclasses.FrozenInstanceError):
        guarantee("S4").statement = "anything"  # type: ignore[misc]


@pytest.mark.parametrize("name", IDS)
def test_an_id_finds_its_entry(name: str) -> None:
    assert guarantee(name).id == name


@pytest.mark.parametrize("name", ["S0", "s4", "", "S"])
def test_an_unknown_id_is_refused_with_the_known_ones(name: str) -> None:
    with pytest.raises(ArgumentError) as refusal:
        guarantee(name)
    assert all(known in str(refusal.value).split("one of ")[1].split(", ") for known in IDS)


STATEMENT = (
    r"\b(?:Lemma|Theorem|Proposition|Definition|Algorithm|Section) (?:[B-N]\.)?\d+(?:\.\d+)?|\(\d+\)|[Ff]ootnote \d+"
)


def statements_of_the_paper() -> dict[str, str]:
    """What the table of section 8 says of each numbered statement, by its name."""
    rows = PAGE.read_text(encoding="utf-8").partition("\n## 8. ")[2]
    found: dict[str, str] = {}
    for names, here in re.findall(r"^\| ([^|]+) \| [\d, ]+ \| [^|]+ \| ([^|]+) \|$", rows, flags=re.MULTILINE):
        for name in re.findall(STATEMENT, names):
            found[name.lower()] = f"{found.get(name.lower(), '')} {here}"
    return found


def test_every_source_in_the_paper_is_a_row_of_the_table_of_its_statements() -> None:
    here = statements_of_the_paper()
    assert len(here) > 90
    known = {name for row in here.values() for name in re.findall(r"\b(?:C-A|MT|[BEHIOPRST])\d+\b", row)}
    assert known <= set(REGISTRY)
    for entry in REGISTRY.values():
        source = re.sub(r"Lemmas (\S+) and, with E3, (\S+),", r"Lemma \1, Lemma \2,", entry.source)
        for name in re.findall(STATEMENT, source):
            assert re.search(rf"\b{entry.id}\b", here[name.lower()]), f"{name} has no word of {entry.id}"
