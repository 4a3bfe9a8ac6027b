"""Sizes by the guidelines of "DynamoDB item sizes and formats" (CapacityUnitCalculations.html)."""

import pytest

from benchmarks.meter.item_size import AttributeValue, item_size

NAME = "näme"  # 5 bytes in UTF-8


@pytest.mark.parametrize(
    ("value", "size"),
    [
        ({"S": ""}, 0),
        ({"S": "héllo"}, 6),
        ({"B": "AAECAw=="}, 4),
        ({"NULL": True}, 1),
        ({"BOOL": False}, 1),
        # One byte for two significant digits and one more; leading and trailing zeros are trimmed.
        ({"N": "0"}, 1),
        ({"N": "7"}, 2),
        ({"N": "12"}, 2),
        ({"N": "123"}, 3),
        ({"N": "1795312345678"}, 8),
        ({"N": "-0.00120"}, 2),
        ({"N": "1.2E+20"}, 2),
        ({"N": "9" * 38}, 20),
        # 3 bytes for the container, one more for each element.
        ({"L": []}, 3),
        ({"M": {}}, 3),
        ({"L": [{"S": "ab"}, {"BOOL": True}]}, 3 + (1 + 2) + (1 + 1)),
        ({"M": {"key": {"S": "ab"}, "k": {"L": [{"N": "1"}]}}}, 3 + (1 + 3 + 2) + (1 + 1 + 3 + (1 + 2))),
        ({"SS": ["a", "bc"]}, 3 + (1 + 1) + (1 + 2)),
        ({"NS": ["1"]}, 3 + (1 + 2)),
        ({"BS": ["AAECAw=="]}, 3 + (1 + 4)),
    ],
)
def test_an_attribute_is_its_name_and_its_value(value: AttributeValue, size: int) -> None:
    assert item_size({NAME: value}) == 5 + size


def test_an_item_is_the_sum_of_its_attributes() -> None:
    assert item_size({}) == 0
    assert item_size({"id": {"S": "abc"}, "n": {"N": "12"}}) == (2 + 3) + (1 + 2)


def test_an_unknown_type_is_an_error() -> None:
    with pytest.raises(ValueError, match="'X'"):
        item_size({"a": {"X": 1}})
