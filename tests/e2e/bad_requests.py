"""Requests that no good client sends, drawn from a seed: the same seed makes the same ones, in the same order."""

from __future__ import annotations

import base64
import gzip
import json
import pickle
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from random import Random
from typing import Any, Final, NamedTuple

Json = dict[str, Any]

#: What does harm where a string is taken for more than a string.
HOSTILE: Final = (
    *("__proto__", "constructor", "prototype.polluted", "toString", "hasOwnProperty", '{"$gt": ""}'),
    *("[$ne]=1", "'; return true; var a='", "' OR '1'='1", "x' OR part BETWEEN 'a' AND 'z"),
    *("'; DELETE FROM \"tasks\" WHERE taskId='a'--", "attribute_not_exists(taskId)", ":id", "#state"),
    *("data#x", "{{7*7}}", "${7*7}", "#{7*7}", "<%= 7*7 %>", "{0.__class__.__mro__}", "%(name)s"),
    *("%s%n%x", "$(id)", "`id`", "${jndi:ldap://127.0.0.1:1/a}"),
    *("{% for x in ().__class__.__base__ %}", "__import__('os').system('id')"),
    *("../../../../etc/passwd", "..\\..\\windows\\win.ini", "/proc/self/environ", "file:///etc/passwd"),
    *("<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "javascript:alert(1)", "]]><!--"),
    *("</title>", "a\r\nSet-Cookie: injected=1", "a\n{}", "a\x00b", "\x1b[2J\x1b]0;owned\x07"),
    *("\u202egnp.exe", "\ufeff", "A" * 2000, "💩" * 200, "e\u0301" * 100, "\u2028\u2029", "\U0010ffff"),
    *("\ud800", "\udfff\ud800", "ﷺ", "null", "undefined", "NaN", "-1", "1e309", "0x41", "true", "[]"),
    *("{}", " ", "\t", "..", ".", "batch"),
    *('<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>', "=cmd|' /C calc'!A0"),
    "*)(uid=*",
)

#: In any place of JSON text it makes it none.
_BREAKING: Final = ("\x00", "\x01", "\x1f")

_NO_NUMBERS: Final = (
    *("NaN", "Infinity", "-Infinity", "1e400", "-1e400", "1e999999999", "-1", "-1e-9", "31622400.1"),
    *("9" * 4000, "9" * 5000, "-" + "9" * 20_000, "true", "null", '"5"', '"NaN"', "[]", "[0]", "{}"),
    *("1e-400", "12345.6789012345678", "0.1" + "0" * 20 + "1"),
    '"0; DROP TABLE tasks"',
)
_NO_TIMES: Final = (
    *("0000-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "9999-12-31T23:59:59.999999999-23:59"),
    *("10000-01-01T00:00:00Z", "2026-02-30T00:00:00Z", "2026-13-01T00:00:00Z", "2026-01-01T25:00:00Z"),
    *("2026-01-01T00:00:60Z", "2026-01-01", "-0001-01-01T00:00:00Z", "2026-01-01T00:00:00"),
    *("2026-01-01T00:00:00+99:99", "٢٠٢٦-01-01T00:00:00Z", "now", "1e400", "NaN", "Infinity"),
    *("1767225600", "2026-W01-1T00:00:00Z", "P1Y", "", "3026-01-01T00:00:00Z\n"),
)
_CONTENT_TYPES: Final = (
    *("application/json", "application/json; charset=utf-16", "text/html", "text/plain"),
    *("application/octet-stream", "application/x-www-form-urlencoded", "multipart/form-data"),
    *("application/xml", "image/svg+xml", "*/*", "application/x-amz-json-1.0", "application/graphql"),
    *("a" * 500, "application/json, text/html", ";", ""),
)
_METHODS: Final = (
    *("PUT", "PATCH", "TRACE", "PROPFIND", "MKCOL", "COPY", "LOCK", "PURGE", "SEARCH", "DEBUG"),
    *("TRACK", "QUERY", "FOO", "GETT", "__PROTO__", "M" * 200, "BAD-METHOD", "HEAD", "LINK"),
)
_PATHS: Final = (
    *("/tasks/..%2f..%2fetc%2fpasswd", "/tasks/%2e%2e%2f", "/tasks/%2e%2e/%2e%2e/x", "/tasks/%00"),
    *("/tasks/a%00b", "/tasks/%", "/tasks/%zz", "/tasks/%c0%ae%c0%ae", "/tasks/%e0%80%af"),
    *("/tasks/%ed%a0%80", "/tasks/%ff%fe", "/tasks/%252e%252e%252f", "/tasks/a%2fretry"),
    *("/tasks/a%5cb", "/tasks/a;b=c", "/tasks/a%3fb", "/tasks/a%23b", "/tasks/%7b%7b7*7%7d%7d"),
    *("/tasks/{taskId}", "/tasks/a%0d%0aSet-Cookie:%20injected=1", "/tasks/%20", "/tasks/*"),
    *("/tasks/<script>alert(1)</script>", "/tasks/%3Cscript%3Ealert(1)%3C%2Fscript%3E"),
    *("/tasks/%F0%9F%92%A9", "/tasks/a/retry/retry", "/tasks//retry", "/tasks/", "/tasks/a/", "/TASKS"),
    *("/Tasks/a", "/tasks.json", "/task", "/.env", "/.git/config", "/admin", "/wp-login.php"),
    *("/cgi-bin/sh", "/docs/..%2f..%2f", "/openapi.json/a", "/live/a", "/docs/", "/dashboard.py"),
    *("/functions/read_tasks", "/%2e/tasks/%2e", "/$default", "/%24default", "/tasks/" + "a" * 129),
    *("/tasks/" + "a" * 5000, "/" + "a/" * 1000),
)
_QUERIES: Final = (
    *("limit=0", "limit=-1", "limit=101", "limit=1e2", "limit=0x10", "limit=NaN", "limit=%00"),
    *("limit=1&limit=2", "limit=", "limit=%205", "limit=%D9%A5", "limit=99999999999999999999"),
    *("limit[]=5", "status=", "status=failed", "status=FAILED&status=PENDING", "status[$ne]=FAILED"),
    *("status=FAILED%00", "status[]=FAILED", "Status=FAILED", "cursor=", "cursor=%00", "cursor=null"),
    *("cursor=AA==", "cursor=../../", "cursor[]=a", "__proto__[limit]=1", "limit=5&__proto__=1"),
    *("limit=5;status=FAILED", "=", "=1", "limit=5&=", "%ff=%fe", "limit=%ED%A0%80", "a" * 4000),
)
#: Places that a cursor cannot stand for; a real one is a time and a task ID.
_NO_PLACES: Final = (
    *("", "{}", '{"taskId":{"S":"x"}}', "2026-01-01T00:00:00.000Z", "2026-01-01T00:00:00.000Z#", "#a"),
    *("\x00", "2026-01-01T00:00:00.000Z#a/b", "2026-01-01T00:00:00.000Z#a\n"),
    *("x2026-01-01T00:00:00.000Z#a", "💩" * 30, "2026-01-01T00:00:00.000Z#" + "a" * 129),
    *("2026-01-01#a", "' OR 1=1--", "2026-01-01T00:00:00.000Z#a' OR '1"),
)
_HEADERS: Final = (
    *("x-correlation-id", "x-forwarded-for", "x-forwarded-host", "x-original-url", "x-rewrite-url"),
    *("x-amzn-trace-id", "x-http-method-override", "referer", "cookie", "accept", "accept-language"),
    *("origin", "user-agent", "range", "x-amzn-requestid", "x-apigateway-event", "isbase64encoded"),
    *("if-none-match", "x-amz-invocation-type"),
)


class BadRequest(NamedTuple):
    """A request as it goes over the wire, but for `host` and `content-length`."""

    kind: str
    method: str
    target: bytes
    headers: Sequence[tuple[str, bytes]] = ()
    body: bytes = b""

    def __str__(self) -> str:
        headers = [(name, value[:60]) for name, value in self.headers]
        return f"{self.kind}: {self.method[:20]} {self.target[:200]!r} {headers} {self.body[:300]!r}"


def bad_requests(seed: int, count: int, examples: Mapping[str, Sequence[Json]]) -> list[BadRequest]:
    """`count` of them, all kinds in turn.

    Args:
        examples: good bodies to start from, by the path that takes them: `/tasks` and `/tasks/batch`.
    """
    maker = _Maker(Random(seed), examples["/tasks"], examples["/tasks/batch"])
    return [*islice(maker.all(), count)]


def _text(value: object) -> bytes:
    return json.dumps(value).encode()


class _Maker:
    def __init__(self, random: Random, tasks: Sequence[Json], batches: Sequence[Json]) -> None:
        self._random = random
        self._tasks = tasks
        self._batches = batches

    def all(self) -> Iterator[BadRequest]:
        kinds: Sequence[Callable[[], BadRequest]] = (
            *(self._hostile_string, self._hostile_name, self._number, self._time, self._wrong_kind),
            *(self._broken_json, self._nested, self._duplicate_key, self._no_json, self._encoding),
            *(self._path, self._method, self._query, self._cursor, self._header, self._idempotency_key),
            *(self._batch, self._batch_of_many, self._hostile_string, self._batch),
        )
        while True:
            for _ in range(20):
                for kind in kinds:
                    yield kind()
            yield self._oversize()

    def _pick(self, values: Sequence[Any]) -> Any:
        return self._random.choice(values)

    def _hostile(self) -> str:
        text = self._pick(HOSTILE)
        return text if self._random.random() < 0.7 else text + self._pick(HOSTILE)

    def _bad_id(self) -> str:
        text = self._hostile()
        return text + self._pick((" ", "/", "\x00", "<", "\ud800", "'", "é"))

    def _task(self) -> Json:
        return json.loads(json.dumps(self._pick(self._tasks)))

    def _spoiled(self) -> Json:
        """A task that is good but for one thing."""
        task = self._task()
        match self._random.randrange(5):
            case 0:
                task["taskId"] = self._bad_id()
            case 1:
                task["type"] = self._hostile()
            case 2:
                task["runAt"] = self._hostile()
                task.pop("delaySeconds", None)
            case 3:
                task["delaySeconds"] = self._hostile()
                task.pop("runAt", None)
            case _:
                task = {"answer": self._hostile(), "payload": {self._hostile(): self._hostile()}}
        return task

    def _post(self, kind: str, body: bytes, path: str = "/tasks", *more: tuple[str, bytes]) -> BadRequest:
        return BadRequest(kind, "POST", path.encode(), (("content-type", b"application/json"), *more), body)

    def _hostile_string(self) -> BadRequest:
        return self._post("hostile string", _text(self._spoiled()))

    def _hostile_name(self) -> BadRequest:
        task = self._task()
        for _ in range(self._random.choice((1, 1, 2, 60, 1000))):
            task[f"{self._hostile()}{self._random.randrange(9999)}"] = self._hostile()
        return self._post("hostile name", _text(task))

    def _number(self) -> BadRequest:
        number = self._pick(_NO_NUMBERS)
        price = '{"type":"invoice","payload":{"currency":"EUR","lines":[{"text":"x","priceCents":%s}]}}'
        return self._post(
            "number", (self._pick(('{"answer":"x","delaySeconds":%s}', price)) % number).encode()
        )

    def _time(self) -> BadRequest:
        return self._post("time", _text({"answer": "x", "runAt": self._pick(_NO_TIMES)}))

    def _wrong_kind(self) -> BadRequest:
        """A field, or the whole, is of a kind that it cannot be."""
        wrong: Any = self._pick((None, True, 0, -1.5, [], [[]], {}, "", [None] * 500, {"a": {"b": []}}))
        task: Json = self._task()
        field = self._pick(("taskId", "type", "answer", "payload", "runAt", "delaySeconds", "body"))
        if field == "body":
            return self._post("wrong kind", _text(self._pick((wrong or [], [task], "x", 7, None))))
        if field in ("answer", "payload"):
            task = {field: "x" if field == "payload" else wrong or [], "taskId": "a"}
        else:
            task.pop("runAt", None)
            task.pop("delaySeconds", None)
            task[field] = [wrong]
        return self._post("wrong kind", _text(task))

    def _broken_json(self) -> BadRequest:
        text = json.dumps(self._task())
        if self._random.random() < 0.5:
            return self._post("broken JSON", text[: self._random.randrange(len(text))].encode())
        at = self._random.randrange(len(text))
        broken = text[:at] + self._pick(_BREAKING) + text[at:]
        ends = (
            broken,
            text + "}",
            text + text,
            text + ",",
            "[" + text,
            text.replace('"', "'"),
            text[:-1] + ",}",
        )
        return self._post("broken JSON", self._pick(ends).encode())

    def _nested(self) -> BadRequest:
        depth = self._pick((102, 150, 900, 1100, 5000, 100_000))
        start, end = self._pick((("[", "]"), ('{"a":', "}")))
        inner = start * depth + "1" + end * self._pick((depth, depth, 0))
        shape = self._pick(
            ('{"payload":{"seconds":0,"a":%s}}', "%s", '{"taskId":%s,"answer":"x"}', '{"tasks":%s}')
        )
        return self._post("nested", (shape % inner).encode(), self._pick(("/tasks", "/tasks/batch")))

    def _duplicate_key(self) -> BadRequest:
        """Each of the values would be good; the name may be written in another way."""
        name, place = self._pick((("taskId", "a"), ("answer", "42"), ("t\\u0061skId", "a")))
        twice = f'"{name}":"{place}"' + f',"{name}":"{place}"' * self._pick((1, 2, 500))
        task = self._pick(
            (
                f'{{"answer":"x","taskId":"b",{twice}}}',
                f'{{{twice},"answer":"x","taskId":"b"}}',
                f'{{"payload":{{"seconds":0,"a":[[{{{twice}}}]]}}}}',
            )
        )
        path, text = self._pick(
            (
                ("/tasks", task),
                ("/tasks/batch", f'{{"tasks":[{task}]}}'),
                ("/tasks/batch", f'{{"tasks":[],"tasks":[{task}]}}'),
            )
        )
        return self._post("duplicate key", text.encode(), path)

    def _no_json(self) -> BadRequest:
        text = _text(self._task())
        body = self._pick(
            (
                b"",
                b" ",
                b"answer=42&taskId=a",
                b"--x\r\ncontent-disposition: form-data; name=answer\r\n\r\n42\r\n--x--",
                b'<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><answer>&b;</answer>',
                b"answer: !!python/object/apply:os.system ['id']",
                pickle.dumps({"answer": "42"}),
                gzip.compress(text, mtime=0),
                base64.b64encode(text),
                b'{"isBase64Encoded":true,"body":"%s"}' % base64.b64encode(text),
                self._random.randbytes(self._random.randrange(1, 500)),
                b"query { __schema { types { name } } }",
                b"\x00" * 1000,
                b"//" + text,
            )
        )
        kinds = (("content-type", self._pick(_CONTENT_TYPES).encode()),)
        if self._random.random() < 0.3:
            kinds += (
                ("content-encoding", self._pick((b"gzip", b"br", b"deflate", b"base64", b"identity, x"))),
            )
        return BadRequest("no JSON", "POST", self._pick((b"/tasks", b"/tasks/batch")), kinds, body)

    def _encoding(self) -> BadRequest:
        """Bytes that are no UTF-8, as text and as what is not said to be text; escapes that are no character."""
        bad = self._pick(
            (b"\xff", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf5\x80\x80\x80", b"\xe2\x82", b"\xfe\xff")
        )
        body, kind = self._pick(
            (
                (b'{"answer": "x"}' + bad, b"application/json"),
                (bad + b'{"answer": "x"}', b"application/json"),
                (b'{"answer": "' + bad + b'"}', b"application/octet-stream"),
                (b'{"answer": "' + bad + b'", "x": 1}', b"application/json"),
                (b'{"answer": "\\ud800"}', b"application/json"),
                (b'{"payload": {"\\udc00\\ud800": "\\udfff"}}', b"application/json"),
                (b'{"answer": "\\uZZZZ"}', b"application/json"),
                (b'{"answer": "\\x41"}', b"application/json"),
                (
                    '{"answer": "x"}'.encode(self._pick(("utf-16", "utf-16-le", "utf-16-be", "utf-32"))),
                    self._pick((b"text/plain", b"application/octet-stream")),
                ),
                (b'{"answer": "x", "b": 1}'.decode().encode("cp500"), b"application/octet-stream"),
            )
        )
        return BadRequest("encoding", "POST", b"/tasks", (("content-type", kind),), body)

    def _path(self) -> BadRequest:
        path = self._pick(_PATHS)
        if self._random.random() < 0.4:
            path = (
                "/tasks/" + "".join(f"%{byte:02x}" for byte in self._bad_id().encode(errors="replace"))[:6000]
            )
        if self._random.random() < 0.2:
            path += "/retry"
        method = self._pick(("GET", "GET", "DELETE", "POST"))
        return BadRequest("path", method, path.encode(), (), b"{}" if method == "POST" else b"")

    def _method(self) -> BadRequest:
        path = self._pick(
            (b"/tasks", b"/tasks/batch", b"/tasks/a", b"/tasks/a/retry", b"/live", b"/openapi.json")
        )
        method = self._pick(_METHODS)
        return BadRequest("method", method, path, (), b"" if method == "HEAD" else _text(self._task()))

    def _query(self) -> BadRequest:
        if self._random.random() < 0.7:
            query = self._pick(_QUERIES)
        else:
            query = "&".join(f"a{place}=%3Cscript%3E" for place in range(self._pick((1, 50, 400))))
        path = self._pick(("/tasks", "/tasks", "/tasks/a", "/openapi.json"))
        return BadRequest("query", "GET", f"{path}?{query}".encode())

    def _cursor(self) -> BadRequest:
        place = self._pick(_NO_PLACES)
        if self._random.random() < 0.4:
            whole = f"2026-01-01T00:00:00.000Z#{self._random.randrange(10**9)}"
            place = whole[: self._random.randrange(len("2026-01-01T00:00:00.000Z#"))]
        cursor = base64.urlsafe_b64encode(place.encode()).decode().rstrip("=")
        if self._random.random() < 0.3:
            cursor = self._random.randbytes(self._random.randrange(1, 60)).hex() + self._pick(
                ("!", "=", "%00", ".")
            )
        return BadRequest("cursor", "GET", f"/tasks?limit=5&cursor={cursor}".encode())

    def _header(self) -> BadRequest:
        text = self._hostile().encode(errors="surrogatepass")
        value = (
            bytes(byte for byte in text if byte not in b"\r\n\x00") if self._random.random() < 0.8 else text
        )
        headers = [(self._pick(_HEADERS), value)]
        if self._random.random() < 0.1:
            headers += [(f"x-h{place}", b"a" * 20) for place in range(90)]
        if self._random.random() < 0.1:
            headers += [("x-long", b"a" * self._pick((9000, 30_000)))]
        method, path = self._pick(
            (("GET", b"/tasks/none"), ("DELETE", b"/tasks/none"), ("POST", b"/tasks/none/retry"))
        )
        return BadRequest("header", method, path, headers)

    def _idempotency_key(self) -> BadRequest:
        key = self._pick(("", "a" * 256, "é", "a\tb", "\x7f", "💩", "a" * 4000, "\u202e", "a\xa0"))
        path, body = self._pick((("/tasks", self._task()), ("/tasks/batch", self._pick(self._batches))))
        return self._post("idempotency key", _text(body), path, ("idempotency-key", key.encode()))

    def _batch(self) -> BadRequest:
        tasks: list[Any] = [
            self._pick((self._spoiled, lambda: self._pick((None, 1, "x", [], {}, {"tasks": []}))))()
            for _ in range(self._pick((1, 2, 10, 100)))
        ]
        return self._post("batch", _text({"tasks": tasks}), "/tasks/batch")

    def _batch_of_many(self) -> BadRequest:
        batch = self._pick(
            (
                {"tasks": [{"answer": "x"}] * self._pick((101, 1000, 5000))},
                {"tasks": [None] * 20_000},
                {"tasks": []},
                {"tasks": {"0": {"answer": "x"}}},
                {"tasks": "x" * 1000},
                {"tasks": [{"answer": "x"}], self._hostile(): 1},
                {self._hostile(): [{"answer": "x"}]},
                [{"answer": "x"}],
            )
        )
        return self._post("batch of many", _text(batch), "/tasks/batch")

    def _oversize(self) -> BadRequest:
        body = self._pick(
            (
                {"answer": "x" * 3_000_000},
                {"payload": {"a": "x" * 262_144}},
                {"answer": "\x00" * 100_000},
                {"payload": {"seconds": 0, "a": ["x"] * 70_000}},
            )
        )
        return self._post("oversize", _text(body))
