"""How long a failed task waits."""

from hypothesis import given
from hypothesis import strategies as st
from tasklib.retry_policy import RetryPolicy

POLICY = RetryPolicy(max_retries=4, backoff_base_seconds=2, backoff_max_seconds=30, backoff_jitter=0.1)


@given(retry=st.integers(1, 10_000))
def test_the_wait_doubles_up_to_its_cap_give_or_take_the_jitter(retry: int) -> None:
    expected = min(30_000, 1000 * 2**retry)
    assert 0.9 * expected - 1 <= POLICY.delay(retry) <= 1.1 * expected + 1


def test_the_jitter_spreads_the_waits() -> None:
    waits = [POLICY.delay(1) for _ in range(500)]
    assert max(waits) - min(waits) > 300


@given(asked=st.floats(0, 1e7))
def test_a_wait_that_was_asked_for_is_capped_and_never_cut_short(asked: float) -> None:
    expected = 1000 * min(30, asked)
    assert expected <= POLICY.delay(1, asked) <= 1.1 * expected + 1


def test_the_jitter_spreads_waits_that_were_asked_for() -> None:
    waits = [POLICY.delay(1, 10) for _ in range(500)]
    assert max(waits) - min(waits) > 500
    assert min(waits) >= 10_000


def test_a_type_overrides_what_it_states_and_no_more() -> None:
    policy = POLICY.overridden_by({"max_retries": 0})
    assert (policy.max_attempts, policy.backoff_base_seconds) == (1, 2)
