"""The size of an item as DynamoDB counts it when it computes capacity units.

Source: "DynamoDB item sizes and formats",
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html
"""

import base64
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

#: A value in DynamoDB's JSON, such as {"S": "text"}.
AttributeValue = Mapping[str, Any]

#: Attributes by name.
Item = Mapping[str, AttributeValue]

#: Bytes that a list or a map takes, whatever it holds, and that each of its elements takes besides its content.
_CONTAINER = 3
_ELEMENT = 1


def item_size(item: Item) -> int:
    """The bytes of an item: the UTF-8 of each attribute's name, and its value.

    A string is its UTF-8, a binary value its raw bytes, a number one byte for every two significant digits and one
    more ("approximately", says AWS), null and Boolean one byte, a list or map 3 bytes, its content, and one byte for
    each element. A set, which the page does not name, counts as a list does.

    Raises:
        ValueError: a value of an unknown type.
    """
    return sum(len(name.encode()) + _value_size(value) for name, value in item.items())


def _value_size(value: AttributeValue) -> int:
    ((kind, content),) = value.items()
    match kind:
        case "S":
            return len(content.encode())
        case "N":
            return _number_size(content)
        case "B":
            return len(base64.b64decode(content))
        case "BOOL" | "NULL":
            return 1
        case "L":
            return _CONTAINER + sum(_ELEMENT + _value_size(element) for element in content)
        case "M":
            return _CONTAINER + item_size(content) + _ELEMENT * len(content)
        case "SS" | "NS" | "BS":
            return _CONTAINER + sum(_ELEMENT + _value_size({kind[0]: element}) for element in content)
        case _:
            raise ValueError(f"no DynamoDB type is called {kind!r}")


def _number_size(text: str) -> int:
    digits = "".join(map(str, Decimal(text).as_tuple().digits)).strip("0")
    return (len(digits) + 1) // 2 + 1
