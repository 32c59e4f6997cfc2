import json

import pytest

from textdl import recipes
from textdl.cli import main
from textdl.errors import UsageError
from textdl.protocols import Run
from textdl.recipes import Figure, Recipe, recipe


def test_every_recipe_is_whole():
    for name in recipes.NAMES:
        found = recipe(name)
        assert found.figures
        assert found.minutes > 0
        assert all(figure.expected > 0 for figure in found.figures)
        assert len({figure.name for figure in found.figures}) == len(found.figures)
    with pytest.raises(UsageError, match="no recipe 'x'; there are ngram-en"):
        recipe("x")


def test_got_expected_tolerance(tmp_path):
    made = Recipe("t", 1, (Figure("a", 2.0, 0.1), Figure("b", 3.0, 0.0)), lambda d, r: {"a": 2.05, "b": 3.1})
    a, b = made.reproduce(tmp_path, Run())
    assert (a.got, a.held, b.held) == (2.05, True, False)
    assert not Figure("c", 1.0, 1.0).held
    assert a.to_dict()["expected"] == 2.0
    assert Figure("d", 10.0, 0.0, 10.0 + 1e-12).held


def test_on_the_command_line(monkeypatch, capsys, tmp_path):
    def listed(name):
        assert name in recipes.NAMES
        return Recipe("one line", 1, (Figure("a", 2.0, 0.1),), lambda d, r: {"a": 2.5 if name == "lstm-en" else 2.0})

    monkeypatch.setattr(recipes, "recipe", listed)
    assert main(["reproduce"]) == 0
    assert "ngram-zh" in capsys.readouterr().out
    assert main(["reproduce", "ngram-en", "--quiet", "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out)["figures"][0]["held"] is True
    assert main(["reproduce", "lstm-en", "-o", str(tmp_path)]) == 1
    out, err = capsys.readouterr()
    assert out.splitlines()[1].split("\t") == ["a", "2.5000", "2.0000", "0.1", "NO"]
    assert "one line: about 1 minute on two cores." in err


@pytest.mark.slow
def test_a_recipe_holds():
    assert main(["reproduce", "ngram-en", "--quiet"]) == 0
