"""Percentiles."""

from __future__ import annotations

import random

import pytest

from client.measure import Latencies


def test_of_a_hundred_and_one_samples_each_percentile_is_a_sample() -> None:
    samples = [n / 100 for n in range(101)]
    random.Random(1).shuffle(samples)
    measured = Latencies.of(samples)
    assert measured is not None
    assert (measured.p50, measured.p90, measured.p99, measured.max) == pytest.approx((0.5, 0.9, 0.99, 1.0))


def test_between_samples_it_is_interpolated_and_never_above_the_largest() -> None:
    measured = Latencies.of([1.0, 2.0])
    assert measured is not None
    assert (measured.p50, measured.p90, measured.p99, measured.max) == pytest.approx((1.5, 1.9, 1.99, 2.0))


def test_one_sample_is_every_percentile() -> None:
    assert Latencies.of([0.25]) == Latencies(0.25, 0.25, 0.25, 0.25)


def test_of_nothing_there_are_none() -> None:
    assert Latencies.of([]) is None
