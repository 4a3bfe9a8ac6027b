"""Typed payloads: what is refused and how that is said, what a function gets, and that the schema says the same."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, cast

import pytest
from tasklib.payload import MAX_INTEGER, FieldError, Limits, Model


@dataclass(frozen=True)
class Address:
    """Where somebody lives."""

    city: Annotated[str, Limits(1, 20)]
    zip_code: Annotated[str, Limits(None, None, "[0-9]{5}", "five digits")] = "00000"


@dataclass(frozen=True)
class Everything:
    name: Annotated[str, Limits(1, 10), "What it is called."]
    retries: Annotated[int, Limits(1, 20)] = 3
    share: Annotated[float, Limits(0, most=1)] = 0.5
    is_urgent: bool = False
    level: Literal["low", "high", 1] = "low"
    tags: Annotated[list[Annotated[str, Limits(most=5)]], Limits(1, 2)] = field(default_factory=lambda: ["a"])
    headers: Annotated[dict[Annotated[str, Limits(pattern="[a-z]+")], int], Limits(most=2)] = field(
        default_factory=dict[str, int]
    )
    anything: Any = None
    home: Address = Address("Ulm")
    homes: list[Address] = field(default_factory=list[Address])
    note: Annotated[str | None, Limits(1, 5)] = None
    big: int = 0
    free: float = 0


MODEL = Model(Everything)


def problems(**payload: Any) -> list[tuple[str, str]]:
    _, found = MODEL.parse({"name": "x", **payload})
    return [(problem.field, problem.message) for problem in found]


class TestAGoodPayload:
    def test_is_an_instance_of_its_dataclass_with_its_defaults(self) -> None:
        assert MODEL.parse({"name": "x"}) == (Everything("x"), [])

    def test_is_read_to_its_depths(self) -> None:
        value, found = MODEL.parse(
            {
                "name": "x",
                "isUrgent": True,
                "level": 1,
                "tags": ["a", "b"],
                "headers": {"a": 1},
                "anything": [{"deep": None}],
                "home": {"city": "Bonn", "zipCode": "53111"},
                "homes": [{"city": "Köln"}],
                "note": "n",
            }
        )
        assert found == []
        assert value == Everything(
            "x",
            is_urgent=True,
            level=1,
            tags=["a", "b"],
            headers={"a": 1},
            anything=[{"deep": None}],
            home=Address("Bonn", "53111"),
            homes=[Address("Köln")],
            note="n",
        )

    def test_may_say_null_where_that_is_allowed(self) -> None:
        value, found = MODEL.parse({"name": "x", "note": None})
        assert (value.note, found) == (None, [])

    @pytest.mark.parametrize(("given", "read"), [(7, 7), (7.0, 7), (1, 1), (20, 20)])
    def test_has_whole_numbers_as_int(self, given: float, read: int) -> None:
        value, _ = MODEL.parse({"name": "x", "retries": given})
        assert (value.retries, type(value.retries)) == (read, int)

    @pytest.mark.parametrize(("given", "read"), [(1, 1.0), (0, 0.0), (0.25, 0.25)])
    def test_has_other_numbers_as_float(self, given: float, read: float) -> None:
        value, _ = MODEL.parse({"name": "x", "share": given})
        assert (value.share, type(value.share)) == (read, float)

    def test_has_a_new_default_each_time(self) -> None:
        first, _ = MODEL.parse({"name": "x"})
        second, _ = MODEL.parse({"name": "x"})
        first.headers["a"] = 1
        assert second.headers == {}


class TestABadField:
    @pytest.mark.parametrize(
        ("payload", "message"),
        [
            ({"name": ""}, "is 0 characters long; it must be a string of 1 to 10 characters"),
            ({"name": "x" * 11}, "is 11 characters long; it must be a string of 1 to 10 characters"),
            ({"name": 5}, "is a number; it must be a string of 1 to 10 characters"),
            ({"name": None}, "is null; it must be a string of 1 to 10 characters"),
            ({"name": "\ud800"}, "holds half of a surrogate pair, which is no character"),
            ({"retries": 99}, "is a number; it must be a whole number from 1 to 20"),
            ({"retries": 0}, "is a number; it must be a whole number from 1 to 20"),
            ({"retries": 1.5}, "is a number; it must be a whole number from 1 to 20"),
            ({"retries": True}, "is a boolean; it must be a whole number from 1 to 20"),
            ({"retries": "2"}, "is a string; it must be a whole number from 1 to 20"),
            ({"share": 1.01}, "is a number; it must be a number from 0 to 1"),
            ({"share": False}, "is a boolean; it must be a number from 0 to 1"),
            ({"free": float("inf")}, "is a number; it must be a number"),
            ({"free": float("nan")}, "is a number; it must be a number"),
            ({"free": 10**400}, "is a number; it must be a number"),
            ({"big": MAX_INTEGER + 1}, "is a number; it must be a whole number"),
            ({"big": -MAX_INTEGER - 1}, "is a number; it must be a whole number"),
            ({"isUrgent": 1}, "is a number; it must be true or false"),
            ({"isUrgent": None}, "is null; it must be true or false"),
            ({"level": "middle"}, "is a string; it must be one of low, high, 1"),
            ({"level": True}, "is a boolean; it must be one of low, high, 1"),
            ({"level": []}, "is an array; it must be one of low, high, 1"),
            ({"tags": []}, "holds 0 items; it must be an array of 1 to 2 items"),
            ({"tags": ["a", "b", "c"]}, "holds 3 items; it must be an array of 1 to 2 items"),
            ({"tags": {"a": 1}}, "is an object; it must be an array of 1 to 2 items"),
            ({"headers": []}, "is an array; it must be an object of at most 2 items"),
            ({"headers": dict.fromkeys("abc", 1)}, "holds 3 items; it must be an object of at most 2 items"),
            ({"home": "Ulm"}, "is a string; it must be an object"),
            ({"note": ""}, "is 0 characters long; it must be a string of 1 to 5 characters"),
            ({"note": 1}, "is a number; it must be a string of 1 to 5 characters"),
            ({"anything": ["\udc00"]}, "holds half of a surrogate pair, which is no character"),
            ({"anything": {"a": float("inf")}}, "holds a number that is too large"),
        ],
    )
    def test_is_named_with_what_it_must_be(self, payload: dict[str, Any], message: str) -> None:
        (name,) = payload
        assert problems(**payload) == [(f"payload.{name}", message)]

    @pytest.mark.parametrize(
        ("payload", "place", "message"),
        [
            (
                {"tags": ["a", "bcdefg"]},
                "tags[1]",
                "is 6 characters long; it must be a string of at most 5 characters",
            ),
            ({"headers": {"x": "1"}}, "headers.x", "is a string; it must be a whole number"),
            (
                {"headers": {"X": 1}},
                "headers.X",
                "has a name that does not fit; it must be a string like [a-z]+",
            ),
            ({"home": {}}, "home.city", "is missing; it must be a string of 1 to 20 characters"),
            ({"home": {"city": "x", "zipCode": "1"}}, "home.zipCode", "is a string; it must be five digits"),
            (
                {"home": {"city": "x", "zipCode": "12345\n"}},
                "home.zipCode",
                "is a string; it must be five digits",
            ),
            (
                {"homes": [{"city": "x"}, {"city": 1}]},
                "homes[1].city",
                "is a number; it must be a string of 1 to 20 characters",
            ),
            (
                {"home": {"city": "x", "zip_code": "12345"}},
                "home.zip_code",
                "is not a field of payload.home; there are city, zipCode",
            ),
        ],
    )
    def test_is_named_by_its_path(self, payload: dict[str, Any], place: str, message: str) -> None:
        assert problems(**payload) == [(f"payload.{place}", message)]

    def test_that_nobody_knows_is_named_in_ascii(self) -> None:
        (problem,) = problems(**{"schlüssel\ud800\n": 1})
        assert problem[0] == "payload.schl\\xfcssel\\ud800\\n"
        assert problem[1].startswith("is not a field of payload; there are name, retries, share,")

    def test_leaves_no_other_unnamed(self) -> None:
        value, found = MODEL.parse({"retries": 99, "share": 2, "tags": [1, 2], "more": 1, "home": {"a": 1}})
        assert value is None
        assert [problem.field for problem in found] == [
            "payload.more",
            "payload.name",
            "payload.retries",
            "payload.share",
            "payload.tags[0]",
            "payload.tags[1]",
            "payload.home.a",
            "payload.home.city",
        ]

    @pytest.mark.parametrize("payload", [None, [], "text", 1])
    def test_a_payload_that_is_no_object(self, payload: Any) -> None:
        value, ((place, message),) = MODEL.parse(payload)
        assert value is None
        assert place == "payload"
        assert message.endswith("; it must be an object")

    def test_may_nest_too_deep(self) -> None:
        deep: list[Any] = []
        for _ in range(100_000):
            deep = [deep]
        assert problems(anything=deep) == [("payload.anything", "nests too deep")]


@dataclass(frozen=True)
class Span:
    start: int
    end: int

    def check(self) -> Iterator[tuple[str, str]]:
        if self.end < self.start:
            yield "end", f"is {self.end}; it must not be below start"


class TestACheckOfItsOwn:
    def test_names_its_fields(self) -> None:
        assert Model(Span).parse({"start": 2, "end": 1}) == (
            None,
            [FieldError("payload.end", "is 1; it must not be below start")],
        )

    def test_is_not_asked_about_bad_fields(self) -> None:
        _, found = Model(Span).parse({"start": 2, "end": "1"})
        assert [problem.message for problem in found] == ["is a string; it must be a whole number"]


class TestADataclassOfItsOwnMind:
    def test_may_refuse_what_it_gets(self) -> None:
        @dataclass(frozen=True)
        class Span:
            first: int
            last: int

            def __post_init__(self) -> None:
                if self.last < self.first:
                    raise ValueError("ends before it begins")

        assert Model(Span).parse({"first": 2, "last": 1}) == (
            None,
            [FieldError("payload", "ends before it begins")],
        )

    def test_may_have_fields_that_nobody_gives(self) -> None:
        @dataclass(frozen=True)
        class Counted:
            text: str
            length: int = field(init=False, default=0)

        model = Model(Counted)
        assert model.fields == ("text",)
        assert model.parse({"text": "x"}) == (Counted("x"), [])
        _, found = model.parse({"text": "x", "length": 3})
        assert [problem.field for problem in found] == ["payload.length"]


class TestASchema:
    def test_says_what_is_checked(self) -> None:
        schema = MODEL.schema()
        properties = schema.pop("properties")
        assert schema == {"type": "object", "required": ["name"], "additionalProperties": False}
        assert properties == {
            "name": {"type": "string", "minLength": 1, "maxLength": 10, "description": "What it is called."},
            "retries": {"type": "integer", "minimum": 1, "maximum": 20, "default": 3},
            "share": {"type": "number", "minimum": 0, "maximum": 1, "default": 0.5},
            "isUrgent": {"type": "boolean", "default": False},
            "level": {"enum": ["low", "high", 1], "default": "low"},
            "tags": {
                "type": "array",
                "items": {"type": "string", "maxLength": 5},
                "minItems": 1,
                "maxItems": 2,
                "default": ["a"],
            },
            "headers": {
                "type": "object",
                "additionalProperties": {"type": "integer", "minimum": -MAX_INTEGER, "maximum": MAX_INTEGER},
                "propertyNames": {"type": "string", "pattern": "^(?:[a-z]+)$"},
                "maxProperties": 2,
                "default": {},
            },
            "anything": {"default": None},
            "home": ADDRESS | {"default": {"city": "Ulm", "zipCode": "00000"}},
            "homes": {"type": "array", "items": ADDRESS, "default": []},
            "note": {
                "anyOf": [{"type": "string", "minLength": 1, "maxLength": 5}, {"type": "null"}],
                "default": None,
            },
            "big": {"type": "integer", "minimum": -MAX_INTEGER, "maximum": MAX_INTEGER, "default": 0},
            "free": {"type": "number", "default": 0},
        }

    def test_is_json_and_nobody_elses(self) -> None:
        changed = MODEL.schema()
        changed["properties"]["home"].clear()
        assert MODEL.schema()["properties"]["home"]["type"] == "object"
        assert json.loads(json.dumps(MODEL.schema())) == MODEL.schema()


ADDRESS: dict[str, Any] = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "minLength": 1, "maxLength": 20},
        "zipCode": {"type": "string", "pattern": "^(?:[0-9]{5})$", "default": "00000"},
    },
    "required": ["city"],
    "additionalProperties": False,
}


@dataclass(frozen=True)
class Tree:
    branches: list["Tree"]


class TestAModelThatCannotBe:
    @pytest.mark.parametrize(
        "hint", [set[str], tuple[int, ...], dict[int, str], int | str, bytes, list, object]
    )
    def test_names_the_type(self, hint: Any) -> None:
        cls = dataclass(frozen=True)(cast("type[Any]", type("Wrong", (), {"__annotations__": {"a": hint}})))
        with pytest.raises(TypeError, match="is no type that a payload can have"):
            Model(cls)

    @pytest.mark.parametrize("cls", [dict, str, Address("x")])
    def test_is_no_dataclass(self, cls: Any) -> None:
        with pytest.raises(TypeError, match="is no dataclass"):
            Model(cls)

    def test_has_a_default_that_does_not_fit(self) -> None:
        @dataclass(frozen=True)
        class Wrong:
            note: Annotated[str, Limits(1, 5)] = cast("str", None)

        with pytest.raises(
            TypeError, match=r"the default of Wrong\.note does not fit: is null; it must be a string"
        ):
            Model(Wrong)

    def test_holds_itself(self) -> None:
        with pytest.raises(TypeError, match="Tree holds itself, which no payload can"):
            Model(Tree)

    def test_has_two_fields_of_one_name(self) -> None:
        @dataclass(frozen=True)
        class Wrong:
            user_id: str
            userId: str  # noqa: N815 - what is tested

        with pytest.raises(TypeError, match=r"two fields of Wrong are userId to clients"):
            Model(Wrong)
