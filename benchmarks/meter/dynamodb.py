"""DynamoDB's rules for read and write units, on items and tables; how requests look is `dynamodb_calls`.

Sources, all below https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/:

* read-write-operations.html: reads round up to 4 KB, writes to 1 KB; an eventually consistent read costs half; a
  missing item costs as much as the smallest; each item of a batch rounds by itself, a query rounds the sum of its
  items; a write counts the larger of the item before and after it.
* WorkingWithItems.html#WorkingWithItems.ConditionalUpdate: a refused write counts as well.
* GSI.html#GSI.ThroughputConsiderations: what a write costs in the indexes, and a query of one.
* transaction-apis.html#transaction-capacity-handling: everything in a transaction costs twice.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

from benchmarks.meter.item_size import Item, item_size

_WRITE_UNIT = 1024
_READ_UNIT = 4096

#: What an item costs in a transaction, times its cost outside one: it is prepared and committed.
TRANSACTION = 2


@dataclass(frozen=True, slots=True)
class Index:
    """A secondary index.

    Attributes:
        key: names of its key attributes; an item that lacks one of them is not in the index.
        projected: names of the attributes that its entries hold; None for all.
    """

    key: frozenset[str]
    projected: frozenset[str] | None

    def entry(self, item: Item) -> Item | None:
        """The index's copy of an item; None when the item is not in the index."""
        if not self.key <= item.keys():
            return None
        if self.projected is None:
            return item
        return {name: value for name, value in item.items() if name in self.projected}

    def write_units(self, before: Item, after: Item) -> int:
        """Units of a write that turns one item into another, for this index alone.

        A new entry is one put, a removed one one delete, a changed key both, any other change of the entry one put.
        """
        old, new = self.entry(before), self.entry(after)
        if old == new:
            return 0
        if old is not None and new is not None and all(old[name] == new[name] for name in self.key):
            return _write_units(old, new)
        return sum(_write_units(entry) for entry in (old, new) if entry is not None)


@dataclass(frozen=True, slots=True)
class Table:
    """A table: the names of its key attributes, and its indexes."""

    key: tuple[str, ...]
    indexes: tuple[Index, ...]

    @classmethod
    def of(cls, description: Mapping[str, Any]) -> Self:
        """The table in an answer of DescribeTable. Local indexes cost what global ones do when items are written."""
        key = _names(description["KeySchema"])
        kinds = ("GlobalSecondaryIndexes", "LocalSecondaryIndexes")
        declared = [index for kind in kinds for index in description.get(kind, [])]
        return cls(key, tuple(_index(index, key) for index in declared))

    def key_of(self, item: Item) -> Item:
        """The key attributes of an item. Raises KeyError when it lacks one."""
        return {name: item[name] for name in self.key}

    def write_units(self, before: Item, after: Item) -> int:
        """Units of a write that turns one item into another, in the table and its indexes. {} is no item."""
        indexes = sum(index.write_units(before, after) for index in self.indexes)
        return _write_units(before, after) + indexes


def refused_write_units(existing: Item, wanted: Item) -> int:
    """Units of a write whose condition failed: those of the larger of the two items, in the table alone.

    Args:
        existing: the item in the way, {} for none.
        wanted: the item that would have been written, {} when that is not known.
    """
    return _write_units(existing, wanted)


def read_units(item: Item, *, consistent: bool) -> float:
    """Units of reading one item; {} is a missing one."""
    return range_units([item], consistent=consistent)


def range_units(items: Iterable[Item], *, consistent: bool) -> float:
    """Units of one Query or Scan that read these items or index entries, returned or not."""
    units = _units(sum(map(item_size, items)), _READ_UNIT)
    return units if consistent else units / 2


def _write_units(*images: Item) -> int:
    return _units(max(map(item_size, images)), _WRITE_UNIT)


def _units(size: int, step: int) -> int:
    return max(1, -(-size // step))


def _index(declared: Mapping[str, Any], table_key: tuple[str, ...]) -> Index:
    key = _names(declared["KeySchema"])
    projection = declared["Projection"]
    projected = frozenset({*key, *table_key, *projection.get("NonKeyAttributes", [])})
    everything = projection["ProjectionType"] == "ALL"
    return Index(frozenset(key), None if everything else projected)


def _names(key_schema: Iterable[Mapping[str, str]]) -> tuple[str, ...]:
    return tuple(part["AttributeName"] for part in key_schema)
