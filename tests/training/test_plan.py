from textdl.training.plan import revised


def test_a_plan_is_revised_both_ways():
    assert revised(110, 10, 1.0, 105.0) == 110  # 102 possible, 100 remain: about right
    assert revised(110, 10, 2.0, 100.0) == 10 + 49
    assert revised(110, 10, 0.5, 100.0) == 10 + 196
    assert revised(110, 10, 1.0, -5.0) == 11
