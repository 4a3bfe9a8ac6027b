"""Statements as ql-reference.html of the DynamoDB Developer Guide shows them, and ours."""

from typing import Any

import pytest

from benchmarks.meter.errors import MeterError
from benchmarks.meter.item_size import Item
from benchmarks.meter.partiql import Statement

MUSIC = ("Artist", "SongTitle")
ACME: Item = {"Artist": {"S": "Acme Band"}, "SongTitle": {"S": "PartiQL Rocks"}}


def parse(text: str, *parameters: dict[str, Any]) -> Statement:
    return Statement.parse({"Statement": text, "Parameters": list(parameters)})


@pytest.mark.parametrize(
    ("verb", "text"),
    [
        # ql-reference.update.html
        (
            "UPDATE",
            """UPDATE "Music" SET AwardsWon=1 SET AwardDetail={'Grammys':[2020, 2018]}
            WHERE Artist='Acme Band' AND SongTitle='PartiQL Rocks'""",
        ),
        # ql-reference.delete.html
        (
            "DELETE",
            """DELETE FROM "Music" WHERE "Artist" = 'Acme Band' AND "SongTitle" = 'PartiQL Rocks'
            RETURNING ALL OLD *""",
        ),
        # ql-reference.insert.html
        (
            "INSERT",
            """INSERT INTO "Music" value {'Artist' : 'Acme Band','SongTitle' : 'PartiQL Rocks'}""",
        ),
        ("SELECT", "select * from Music where Artist='Acme Band' and SongTitle='PartiQL Rocks'"),
    ],
)
def test_the_item_of_a_statement(verb: str, text: str) -> None:
    statement = parse(text)
    assert (statement.verb, statement.table) == (verb, "Music")
    assert statement.key(MUSIC) == ACME


def test_parameters_are_counted_through_the_whole_statement() -> None:
    statement = parse(
        "UPDATE \"Music\" SET Plays = Plays + ?, Mood='why?' WHERE Plays < ? AND SongTitle = ? AND Artist = ?",
        {"N": "1"},
        {"N": "9"},
        ACME["SongTitle"],  # pyright: ignore[reportArgumentType]  # read-only here, a dict in truth
        ACME["Artist"],  # pyright: ignore[reportArgumentType]
    )
    assert statement.key(MUSIC) == ACME


def test_an_inserted_map_does_not_hide_the_key() -> None:
    text = (
        "INSERT INTO \"Music\" VALUE {'Artist': ?, 'SongTitle': 'It''s', 'Year': 3, 'Info': {'Artist': 'B'}}"
    )
    assert parse(text, {"S": "A"}).key(MUSIC) == {"Artist": {"S": "A"}, "SongTitle": {"S": "It's"}}
    assert parse(text, {"S": "A"}).key(("Year",)) == {"Year": {"N": "3"}}


@pytest.mark.parametrize(("columns", "whole"), [("*", True), ("Artist", False), ("Artist, Mood", False)])
def test_whether_a_select_shows_whole_items(columns: str, whole: bool) -> None:
    assert parse(f'SELECT {columns} FROM "Music" WHERE Artist = ?', {"S": "A"}).whole is whole


@pytest.mark.parametrize("text", ["", "EXISTS (SELECT * FROM Music)", "UPDATE", "DELETE Music"])
def test_what_is_no_statement_is_an_error(text: str) -> None:
    with pytest.raises(MeterError, match="table"):
        parse(text)


def test_a_statement_without_a_key_is_an_error() -> None:
    with pytest.raises(MeterError, match="SongTitle"):
        parse("DELETE FROM Music WHERE Artist = 'A' AND SongTitle > 'B'").key(MUSIC)
