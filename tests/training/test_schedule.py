import pytest

from textdl.training.schedule import Schedule


def test_up_and_down():
    schedule = Schedule(peak=2.0, warmup=0.1, floor=0.1)
    assert 0 < schedule.rate(0) < 0.1
    assert schedule.rate(0.05) == pytest.approx(1.0)
    assert schedule.rate(0.1) == pytest.approx(2.0)
    assert schedule.rate(0.55) == pytest.approx(1.1)  # half way down: (2.0 + 0.2) / 2
    assert schedule.rate(1.0) == pytest.approx(0.2)


def test_without_warm_up():
    assert Schedule(peak=2.0, warmup=0.0).rate(0) == 2.0
