"""`Retry`: how long the pauses between attempts are."""

from __future__ import annotations

import pytest

from pipelines.retry import Retry


@pytest.mark.parametrize(("attempt", "pause"), [(1, 0.1), (2, 0.2), (3, 0.4), (4, 0.5), (9, 0.5)])
def test_without_jitter_every_pause_is_twice_the_one_before_up_to_the_longest(attempt, pause):
    assert Retry(attempts=10, backoff=0.1, max_backoff=0.5, jitter=False).pause(attempt) == pytest.approx(pause)


@pytest.mark.parametrize("attempt", [1, 3, 5])
def test_with_jitter_a_pause_lies_between_zero_and_its_full_length(attempt):
    policy = Retry(attempts=10, backoff=0.1, max_backoff=1.0)
    longest = Retry(attempts=10, backoff=0.1, max_backoff=1.0, jitter=False).pause(attempt)
    pauses = [policy.pause(attempt) for _ in range(500)]
    assert 0 <= min(pauses) < longest / 10
    assert longest * 0.9 < max(pauses) <= longest


def test_a_pause_may_be_none_at_all():
    assert Retry(backoff=0.0).pause(3) == 0.0


@pytest.mark.parametrize("attempt", [1_000, 2**40])
def test_the_thousandth_pause_is_a_number_like_any_other(attempt):
    assert Retry(jitter=False).pause(attempt) == 30.0


def test_defaults():
    assert Retry() == Retry(attempts=1, backoff=0.1, max_backoff=30.0, jitter=True)
