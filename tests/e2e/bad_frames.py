"""What no good client sends over a WebSocket, as bytes of the wire, drawn from a seed."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Sequence
from enum import Enum, auto
from itertools import cycle, islice
from random import Random
from typing import Any, Final, NamedTuple

from .bad_requests import HOSTILE

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA

_ACTIONS: Final = (
    *("$connect", "$disconnect", "$default", "Subscribe", "subscribe ", "publish", "pong", ""),
    *HOSTILE,
)
_NO_IDS: Final[Sequence[Any]] = (
    *(None, "a", 1, True, {}, [], [None], [1], [[]], [{}], [""], ["a", "a/b"], ["."], ["a"] * 101),
)


class Then(Enum):
    """What a good server does after it."""

    ANSWER = auto()  #: it answers, and the connection goes on
    NOTHING = auto()  #: the connection goes on
    CLOSE = auto()  #: it closes the connection
    WAIT = auto()  #: it waits for more, which never comes


class BadFrame(NamedTuple):
    """A frame, or some that make one message."""

    kind: str
    wire: bytes
    then: Then
    text: str = ""  #: what the message says, if it can be told

    def __str__(self) -> str:
        return f"{self.kind}: {self.wire[:40].hex()} {self.text[:300]!r}"


def bad_frames(seed: int, count: int) -> list[BadFrame]:
    """`count` of them, all kinds in turn."""
    maker = _Maker(Random(seed))
    return [kind() for kind in islice(cycle(maker.kinds), count)]


def wire_frame(
    opcode: int,
    payload: bytes,
    *,
    fin: bool = True,
    reserved: int = 0,
    masked: bool = True,
    length: int | None = None,
) -> bytes:
    """A frame as RFC 6455 has it, or with what is wrong with it; `length` is what it says its payload is."""
    size = len(payload) if length is None else length
    mark = 0x80 if masked else 0
    start = bytes([(0x80 if fin else 0) | reserved << 4 | opcode])
    if size < 126:
        start += bytes([mark | size])
    elif size < 65536:
        start += bytes([mark | 126]) + struct.pack("!H", size)
    else:
        start += bytes([mark | 127]) + struct.pack("!Q", size)
    # With a key of zeros a payload is masked by itself.
    return start + (bytes(4) if masked else b"") + payload


class _Maker:
    def __init__(self, random: Random) -> None:
        self._random = random
        self.kinds: Sequence[Callable[[], BadFrame]] = (
            *(
                self._no_json,
                self._nested,
                self._action,
                self._wrong_kind,
                self._subscription,
                self._unknown_field,
            ),
            *(
                self._binary,
                self._huge,
                self._fragmented,
                self._number,
                self._many_subscriptions,
                self._control,
            ),
            *(self._no_utf8, self._bad_frame, self._action, self._bad_close, self._unfinished),
        )

    def _pick(self, values: Sequence[Any]) -> Any:
        return self._random.choice(values)

    def _message(self, kind: str, text: str) -> BadFrame:
        return BadFrame(kind, wire_frame(TEXT, text.encode(errors="replace")), Then.ANSWER, text)

    def _no_json(self) -> BadFrame:
        text = '{"action": "ping"}'
        cut = text[: self._random.randrange(len(text))]
        return self._message(
            "no JSON", self._pick((cut, text + "}", text.replace('"', "'"), "\x00", *HOSTILE)) or " "
        )

    def _nested(self) -> BadFrame:
        depth = self._pick((200, 1100, 5000, 50_000))
        start, end = self._pick((("[", "]"), ('{"action":', "}")))
        return self._message("nested", start * depth + "1" + end * self._pick((0, depth)))

    def _action(self) -> BadFrame:
        return self._message("action", json.dumps({"action": self._pick(_ACTIONS)}))

    def _wrong_kind(self) -> BadFrame:
        wrong = self._pick((None, True, 7, 1.5, [], ["ping"], {"a": {}}, {}))
        return self._message(
            "wrong kind", json.dumps(self._pick((wrong, {"action": wrong}, {"action": [wrong]}, {})))
        )

    def _subscription(self) -> BadFrame:
        task_ids = self._pick((*_NO_IDS, [f"{self._pick(HOSTILE)}/"], [f"{text}\n" for text in HOSTILE]))
        return self._message("subscription", json.dumps({"action": "subscribe", "taskIds": task_ids}))

    def _many_subscriptions(self) -> BadFrame:
        task_ids = [f"task-{place}" for place in range(self._pick((101, 1000, 5000)))]
        return self._message("many subscriptions", json.dumps({"action": "subscribe", "taskIds": task_ids}))

    def _unknown_field(self) -> BadFrame:
        fields = {"action": self._pick(("ping", "subscribe", "unsubscribe")), f"{self._pick(HOSTILE)}?": 1}
        return self._message("unknown field", json.dumps(fields))

    def _number(self) -> BadFrame:
        number = self._pick(("1e400", "NaN", "-Infinity", "9" * 5000, "9" * 4000))
        return self._message(
            "number", self._pick(('{"action":%s}', '{"action":"subscribe","taskIds":%s}', "%s")) % number
        )

    def _binary(self) -> BadFrame:
        payload = self._pick((self._random.randbytes(50), b"\x00", b"\xff\xfe{}", b"\x80" * 100))
        return BadFrame("binary", wire_frame(BINARY, payload), Then.ANSWER)

    def _huge(self) -> BadFrame:
        text = "x" * self._pick((33_000, 130_000, 1_000_000))
        return self._message(
            "huge", self._pick((text, json.dumps({"action": text}), json.dumps({"action": "ping", text: 1})))
        )

    def _fragmented(self) -> BadFrame:
        """One message in pieces, cut through its characters, with empty pieces and pings in between."""
        text = json.dumps({"action": f"{self._pick(HOSTILE)}💩é"}, ensure_ascii=False)
        payload = text.encode(errors="replace")
        pieces = [payload[place : place + 1] for place in range(len(payload))][:300]
        pieces += [payload[300:], b""]
        wire = b""
        for place, piece in enumerate(pieces):
            opcode = CONTINUATION if place else TEXT
            wire += wire_frame(opcode, piece, fin=place == len(pieces) - 1)
            if self._random.random() < 0.1:
                wire += wire_frame(PING, b"")
        return BadFrame("fragmented", wire, Then.ANSWER, text)

    def _control(self) -> BadFrame:
        opcode, payload = self._pick((PING, PONG)), self._random.randbytes(self._pick((0, 1, 125)))
        return BadFrame("control", wire_frame(opcode, payload) * self._pick((1, 100)), Then.NOTHING)

    def _no_utf8(self) -> BadFrame:
        payload = self._pick((b"\xff", b"\xc0\xaf", b"\xed\xa0\x80", b'{"action":"\xf5"}', b"ok \xe2\x82"))
        return BadFrame("no UTF-8", wire_frame(TEXT, payload), Then.CLOSE)

    def _bad_frame(self) -> BadFrame:
        good = b'{"action":"subscribe"}'
        broken = {
            "a reserved opcode": wire_frame(self._pick((3, 4, 5, 6, 7, 11, 12, 13, 14, 15)), good),
            "a reserved bit": wire_frame(TEXT, good, reserved=self._pick((1, 2, 3, 4, 7))),
            "no mask": wire_frame(TEXT, good, masked=False),
            "a ping in pieces": wire_frame(PING, b"a", fin=False),
            "a long ping": wire_frame(PING, b"a" * 126),
            "an end without a start": wire_frame(CONTINUATION, good),
            "a message in another": wire_frame(TEXT, b"{", fin=False) + wire_frame(TEXT, good),
            "a negative length": wire_frame(TEXT, good, length=2**63 + 5),
            "no frame": b"GET / HTTP/1.1\r\nhost: a\r\n\r\n" * 10,
        }
        kind = self._pick([*broken])
        return BadFrame(kind, broken[kind], Then.CLOSE)

    def _bad_close(self) -> BadFrame:
        code = struct.pack("!H", self._pick((0, 999, 1004, 1005, 1006, 1015, 2999, 65535)))
        payload = self._pick((b"\x03", code, struct.pack("!H", 1000) + b"\xff", code + b"a" * 123))
        return BadFrame("bad close", wire_frame(CLOSE, payload), Then.CLOSE)

    def _unfinished(self) -> BadFrame:
        good = b'{"action":"subscribe"}'
        whole = wire_frame(TEXT, good)
        wire = self._pick(
            (
                whole[: self._random.randrange(1, len(whole))],
                wire_frame(TEXT, good, length=2**20),
                wire_frame(TEXT, good, fin=False),
                wire_frame(TEXT, b"", fin=False) * 100,
            )
        )
        return BadFrame("unfinished", wire, Then.WAIT)
