"""Tasks whose messages were never sent, or got lost."""

import pytest

from tests.waiting import wait_for

from . import scenarios
from .conftest import LocalStack

pytestmark = pytest.mark.xdist_group("reliable")


def test_unsent_messages_are_sent(reliable: LocalStack) -> None:
    scenarios.unsent_messages_are_sent(reliable, wait_for)


def test_dropped_messages_are_replaced(reliable: LocalStack) -> None:
    scenarios.dropped_messages_are_replaced(reliable, wait_for)


def test_lost_messages_are_sent_again(reliable: LocalStack) -> None:
    scenarios.lost_messages_are_sent_again(reliable, wait_for)
