"""The examples of AWS's documentation, in the Amazon DynamoDB Developer Guide."""

from typing import Any

import pytest

from benchmarks.meter.dynamodb import (
    TRANSACTION,
    Table,
    range_units,
    read_units,
    refused_write_units,
)
from benchmarks.meter.item_size import Item

KB = 1024

#: The example table of GSI.html: its index GameTitleIndex by GameTitle and TopScore.
GAME_SCORES: dict[str, Any] = {
    "KeySchema": [
        {"AttributeName": "UserId", "KeyType": "HASH"},
        {"AttributeName": "GameTitle", "KeyType": "RANGE"},
    ],
    "GlobalSecondaryIndexes": [
        {
            "IndexName": "GameTitleIndex",
            "KeySchema": [
                {"AttributeName": "GameTitle", "KeyType": "HASH"},
                {"AttributeName": "TopScore", "KeyType": "RANGE"},
            ],
            "Projection": {"ProjectionType": "INCLUDE", "NonKeyAttributes": ["Wins", "Photo"]},
        }
    ],
}


def item(size: float) -> Item:
    """An item of so many bytes; none of 0."""
    return {"x": {"S": "." * (int(size) - 1)}} if size else {}


def table(**changes: Any) -> Table:
    return Table.of(GAME_SCORES | changes)


NO_INDEX = table(GlobalSecondaryIndexes=[])


# -- read-write-operations.html, "Capacity unit consumption for read operations"


@pytest.mark.parametrize(
    ("size", "consistent", "units"),
    [
        (4 * KB, True, 1),
        (4 * KB, False, 0.5),
        (3500, True, 1),  # "reading a 3,500-byte item consumes the same throughput as reading a 4 KB item"
        (8 * KB, True, 2),  # "if your item size is 8 KB, you require 2 read units"
        (8 * KB, False, 1),
        (3.5 * KB, True, 1),  # "3.5 KB ... rounds the item size to 4 KB"
        (10 * KB, True, 3),  # "an item of 10 KB ... to 12 KB"
        (3 * KB, True, 1),  # ProvisionedThroughput.html: "3 KB / 4 KB = 0.75, or 1"
    ],
)
def test_a_read_rounds_up_to_4_kb(size: float, consistent: bool, units: float) -> None:
    assert read_units(item(size), consistent=consistent) == units


def test_a_transactional_read_of_8_kb_takes_4_units() -> None:
    assert TRANSACTION * read_units(item(8 * KB), consistent=True) == 4


def test_a_missing_item_costs_as_much_as_the_smallest() -> None:
    assert read_units({}, consistent=True) == 1
    assert read_units({}, consistent=False) == 0.5


def test_a_batch_rounds_each_item_to_12_kb_in_all() -> None:
    # "if BatchGetItem reads a 1.5 KB item and a 6.5 KB item, DynamoDB calculates the size as 12 KB"
    assert sum(read_units(item(size * KB), consistent=True) for size in (1.5, 6.5)) == 12 / 4


def test_a_query_rounds_the_sum_of_its_items() -> None:
    # "10 items whose combined size is 40.8 KB. DynamoDB rounds the item size for the operation to 44 KB"
    assert range_units([item(4.08 * KB)] * 10, consistent=True) == 44 / 4
    # "1500 items of 64 bytes each, the cumulative size is 96 KB"
    assert range_units([item(64)] * 1500, consistent=True) == 96 / 4
    # ProvisionedThroughput.html: eventually consistent, "if the total item size is 80 KB ... only 10 capacity units"
    assert range_units([item(8 * KB)] * 10, consistent=False) == 10


def test_a_query_that_finds_nothing_costs_a_minimum() -> None:
    assert range_units([], consistent=True) == 1
    assert range_units([], consistent=False) == 0.5


def test_an_index_query_of_8_entries_of_2000_bytes_takes_2_units() -> None:
    # GSI.html#GSI.ThroughputConsiderations.Reads
    assert range_units([item(2000)] * 8, consistent=False) == 2


# -- read-write-operations.html, "Capacity unit consumption for write operations"


@pytest.mark.parametrize(
    ("before", "after", "units"),
    [
        (0, 500, 1),  # "writing a 500-byte item consumes the same throughput as writing a 1 KB item"
        (0, 512, 1),
        (
            0,
            1.6 * KB,
            2,
        ),  # "if you put or delete an item of 1.6 KB, DynamoDB rounds the item size up to 2 KB"
        (1.6 * KB, 0, 2),
        (0, 2 * KB, 2),
        (3 * KB, 500, 3),  # "the larger of the before and after item sizes", of UpdateItem and of PutItem
        (500, 3 * KB, 3),
        (0, 0, 1),
    ],
)
def test_a_write_takes_the_larger_of_before_and_after(before: float, after: float, units: int) -> None:
    assert NO_INDEX.write_units(item(before), item(after)) == units


def test_a_batch_write_rounds_each_item_to_5_kb_in_all() -> None:
    # "if BatchWriteItem writes a 500 byte item and a 3.5 KB item, DynamoDB calculates the size as 5 KB"
    assert sum(NO_INDEX.write_units({}, item(size)) for size in (500, 3.5 * KB)) == 5


def test_a_refused_write_costs_what_the_larger_item_would() -> None:
    # ProvisionedThroughput.html: "a failed conditional write of a 1 KB item would consume one write capacity unit",
    # of one twice that size two; "for a new item, DynamoDB consumes one write capacity unit"
    assert refused_write_units(item(1 * KB), {}) == 1
    assert refused_write_units(item(2 * KB), {}) == 2
    assert refused_write_units({}, {}) == 1
    # WorkingWithItems.html: "if an existing item is 300kb and the new item ... is 310kb, the write capacity units
    # consumed will be the 310kb item"
    assert refused_write_units(item(300 * KB), item(310 * KB)) == 310


def test_a_transaction_of_three_500_byte_items_takes_6_units() -> None:
    # transaction-apis.html says: "you would need to provision six WCUs", and as many read units
    assert sum(TRANSACTION * NO_INDEX.write_units({}, item(500)) for _ in range(3)) == 6
    assert sum(TRANSACTION * read_units(item(500), consistent=True) for _ in range(3)) == 6


# -- GSI.html, "Write capacity units" of its "Provisioned throughput considerations"

OUT = {"UserId": {"S": "101"}, "GameTitle": {"S": "Comet Quest"}}
LISTED = {**OUT, "TopScore": {"N": "5842"}}


@pytest.mark.parametrize(
    ("before", "after", "index_units"),
    [
        pytest.param({}, LISTED, 1, id="a new item that defines an indexed attribute"),
        pytest.param(OUT, LISTED, 1, id="an update that defines it"),
        pytest.param(LISTED, {**LISTED, "TopScore": {"N": "9000"}}, 2, id="an indexed key attribute changes"),
        pytest.param(LISTED, OUT, 1, id="the indexed attribute is deleted"),
        pytest.param(LISTED, {}, 1, id="the item is deleted"),
        pytest.param({}, OUT, 0, id="not in the index before or after"),
        pytest.param(
            OUT, {**OUT, "Wins": {"N": "1"}}, 0, id="a projected attribute of an item that is not in it"
        ),
        pytest.param(LISTED, {**LISTED, "Wins": {"N": "21"}}, 1, id="only a projected attribute changes"),
        pytest.param(LISTED, {**LISTED, "Losses": {"N": "72"}}, 0, id="nothing of the index changes"),
        pytest.param(LISTED, LISTED, 0, id="nothing changes"),
    ],
)
def test_what_a_write_costs_in_an_index(before: Item, after: Item, index_units: int) -> None:
    assert table().write_units(before, after) == 1 + index_units


def test_larger_index_entries_take_more_units() -> None:
    # "Larger index entries will require additional write capacity units"
    photo = {**LISTED, "Photo": {"S": "." * 2 * KB}}
    assert table().write_units({}, photo) == 3 + 3
    assert table().write_units(LISTED, photo) == 3 + 3
    assert table().write_units(photo, {**photo, "TopScore": {"N": "1"}}) == 3 + (3 + 3)
    assert table().write_units(photo, {**LISTED, "TopScore": {"N": "1"}}) == 3 + (3 + 1)
    # "projecting only those attributes" that are needed: this one is not.
    assert table().write_units({}, {**LISTED, "Film": {"S": "." * 2 * KB}}) == 3 + 1


@pytest.mark.parametrize(
    ("projection", "held"),
    [
        ({"ProjectionType": "KEYS_ONLY"}, {"UserId", "GameTitle", "TopScore"}),
        (
            {"ProjectionType": "INCLUDE", "NonKeyAttributes": ["Wins"]},
            {"UserId", "GameTitle", "TopScore", "Wins"},
        ),
        ({"ProjectionType": "ALL"}, {"UserId", "GameTitle", "TopScore", "Wins", "Losses"}),
    ],
)
def test_an_entry_holds_the_keys_and_what_is_projected(projection: dict[str, Any], held: set[str]) -> None:
    # GSI.html#GSI.Projections
    declared = {**GAME_SCORES["GlobalSecondaryIndexes"][0], "Projection": projection}
    (index,) = table(GlobalSecondaryIndexes=[declared]).indexes
    entry = index.entry({**LISTED, "Wins": {"N": "21"}, "Losses": {"N": "72"}})
    assert entry is not None
    assert set(entry) == held
