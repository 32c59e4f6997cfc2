import pytest

from textdl.training.schedule import SCHEDULES, Schedule


def test_up_and_down():
    schedule = Schedule(peak=2.0, warmup=0.1, floor=0.1)
    assert 0 < schedule.rate(0) < 0.1
    assert schedule.rate(0.05) == pytest.approx(1.0)
    assert schedule.rate(0.1) == pytest.approx(2.0)
    assert schedule.rate(0.55) == pytest.approx(1.1)  # half way down: (2.0 + 0.2) / 2
    assert schedule.rate(1.0) == pytest.approx(0.2)


def test_linear():
    schedule = Schedule(peak=2.0, warmup=0.1, kind="linear", floor=0.1)
    assert schedule.rate(0.1) == pytest.approx(2.0)
    assert schedule.rate(0.325) == pytest.approx(1.55)  # a quarter of the way from 2.0 to 0.2
    assert schedule.rate(1.0) == pytest.approx(0.2)


def test_inverse_square_root():
    schedule = Schedule(peak=2.0, warmup=0.1, kind="inverse-sqrt")
    assert schedule.rate(0.05) == pytest.approx(1.0)
    assert schedule.rate(0.1) == pytest.approx(2.0)
    assert schedule.rate(0.4) == pytest.approx(1.0)  # four times as far, half the rate
    assert schedule.rate(0.9) == pytest.approx(2.0 / 3.0)


@pytest.mark.parametrize("kind", SCHEDULES)
def test_without_warm_up(kind):
    assert Schedule(peak=2.0, warmup=0.0, kind=kind).rate(0) == 2.0


def test_constant():
    assert {Schedule(2.0, 0.1, "constant").rate(progress) for progress in (0.1, 0.5, 1.0)} == {2.0}
