"""JSON as clients send it, in all its forms: kept exactly, or refused with the place of each loss."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any, cast

from hypothesis import assume, given
from hypothesis import strategies as st
from tasklib.json_document import faults, read
from tasklib.task import TaskData

#: Numbers in all forms that JSON has.
any_number = st.from_regex(
    r"\A-?(0|[1-9][0-9]{0,20})([.][0-9]{1,22})?([eE][+-]?[0-9]{1,3})?\Z", alphabet="+-.eE0123456789"
)
doubles = st.floats(allow_nan=False, allow_infinity=False)
numbers = any_number | doubles.map(repr) | doubles.map("{:.17g}".format) | st.integers().map(str)
names = st.sampled_from(["a", "b", "c", "ü"])


def documents(leaves: st.SearchStrategy[str], *, are_unique: bool = False) -> st.SearchStrategy[str]:
    """JSON texts of such leaves; the names of an object may repeat."""

    def larger(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
        members = st.lists(st.tuples(names, inner), unique_by=(lambda each: each[0]) if are_unique else None)
        return st.lists(inner).map(lambda items: f"[{','.join(items)}]") | members.map(
            lambda pairs: f"{{{','.join(f'{json.dumps(name)}:{value}' for name, value in pairs)}}}"
        )

    others = st.sampled_from(["true", "false", "null", '"1.0"', '""'])
    return st.recursive(leaves | others, larger, max_leaves=12)


def exactly(text: str) -> Any:
    """All that a JSON text says: numbers as decimals with their digits, objects as pairs."""
    return json.loads(
        text, parse_float=Decimal, parse_int=Decimal, object_pairs_hook=lambda pairs: ("object", pairs)
    )


def same(sent: Any, stored: Any) -> bool:
    """Whether what is stored says what was sent. What has 17 digits, as programs write doubles, is a double."""
    match sent, stored:
        case Decimal(), Decimal():
            digits = len(sent.normalize().as_tuple().digits)
            equal = sent == stored or (digits == 17 and float(sent) == float(stored))
            return equal and sent.is_signed() == stored.is_signed()
        case (list(), list()) | (tuple(), tuple()):
            pairs = [*zip(cast("list[Any]", sent), cast("list[Any]", stored), strict=True)]
            return all(same(one, other) for one, other in pairs)
        case _:
            return type(sent) is type(stored) and sent == stored


@given(documents(numbers))
def test_whatever_is_sent_is_kept_exactly_or_refused_with_its_places(text: str) -> None:
    value, is_kept = read(text.encode())
    found = faults(value, "body", deepest=1000, most=50)
    assert is_kept == (found == [])
    assert all(field for field, _ in found)
    if is_kept:
        stored = json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        assert same(exactly(text), exactly(stored))


@given(documents(doubles.map(repr) | doubles.map("{:.17g}".format) | st.integers().map(str), are_unique=True))
def test_nothing_is_refused_that_a_program_writes_of_its_doubles_and_integers(text: str) -> None:
    value, is_kept = read(text.encode())
    assert is_kept
    # Whole numbers that are too long for a double are kept all the same.
    assert same(exactly(text), exactly(json.dumps(value)))


@given(documents(st.just("1"), are_unique=True), st.data())
def test_as_many_faults_are_named_as_there_are(text: str, data: st.DataObject) -> None:
    parts = text.split("1")
    bad = data.draw(st.lists(st.booleans(), min_size=len(parts) - 1, max_size=len(parts) - 1))
    spoiled = parts[0] + "".join(
        ("1e999" if is_bad else "1") + part for is_bad, part in zip(bad, parts[1:], strict=True)
    )
    found = faults(read(spoiled.encode()).value, "body", deepest=1000, most=50)
    assume(all(part.count('"') % 2 == 0 for part in parts))  # no 1 inside a string
    assert len(found) == sum(bad)
    assert len({field for field, _ in found}) == len(found)
    assert [field for field, _ in found] == places(json.loads(spoiled))


def places(value: Any, at: str = "") -> list[str]:
    """Where infinity stands."""
    match value:
        case dict():
            members = cast("dict[str, Any]", value).items()
            inner = [(member, f"{at}.{ascii(name)[1:-1]}".lstrip(".")) for name, member in members]
        case list():
            inner = [(item, f"{at}[{number}]") for number, item in enumerate(cast("list[Any]", value))]
        case _:
            return [at or "body"] if value == float("inf") else []
    return [place for each, where in inner for place in places(each, where)]


#: A number as digits and an exponent, so that it has many forms.
whole_and_exponent = st.tuples(st.integers(-(10**9), 10**9), st.integers(-12, 25))


@st.composite
def forms(draw: st.DrawFn, mantissa: int, exponent: int) -> str:
    """One of the forms of a number."""
    shift = draw(st.integers(0, 3))
    number = Decimal(mantissa).scaleb(exponent)
    texts = [f"{number:f}", f"{number:e}", f"{number:E}", f"{mantissa * 10**shift}e{exponent - shift}"]
    if exponent >= 0:
        texts.append(f"{number:f}.{'0' * (shift + 1)}")
    return draw(st.sampled_from(texts))


def content_hash(text: str) -> str | None:
    """Of a payload that is kept."""
    value, is_kept = read(text.encode())
    stored = json.dumps(value, separators=(",", ":"), ensure_ascii=False) if is_kept else "null"
    return TaskData("payload", stored).content_hash("simulate") if is_kept else None


@given(st.dictionaries(names, whole_and_exponent), st.data())
def test_documents_that_are_equal_have_one_hash(
    values: dict[str, tuple[int, int]], data: st.DataObject
) -> None:
    def text() -> str:
        order = data.draw(st.permutations([*values]))
        members = (f"{json.dumps(name)}: [{data.draw(forms(*values[name]))}]" for name in order)
        return f"{{{', '.join(members)}}}"

    one, other = text(), text()
    assert content_hash(one) is not None
    assert content_hash(one) == content_hash(other)


@given(any_number, any_number)
def test_documents_have_one_hash_only_if_they_are_equal(one: str, other: str) -> None:
    hashes = [content_hash(f'{{"n":{text}}}') for text in (one, other)]
    assume(None not in hashes)
    stored = [Decimal(json.dumps(read(text.encode()).value)) for text in (one, other)]
    assert (hashes[0] == hashes[1]) == (stored[0] == stored[1])
