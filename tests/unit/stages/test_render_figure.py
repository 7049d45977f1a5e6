"""Names of figures: an unknown name gives another error than a figure that cannot be imported."""

import pytest

from dynamical_loss import figures
from dynamical_loss.errors import UserError
from dynamical_loss.figures.names import NAMES
from dynamical_loss.figures.registry import FIGURES
from dynamical_loss.stages import render_figure


@pytest.mark.parametrize(
    "name", ["fig9", "style", "fig2_spiral_dataset.py", "", "..figures.fig2_spiral_dataset"]
)
def test_a_name_that_is_no_figure_is_refused_with_those_that_are(name, tmp_path):
    with pytest.raises(UserError) as refused:
        render_figure.run(name, {}, {}, [tmp_path / "made.pdf"])
    assert str(refused.value) == f"there is no figure '{name}'; the figures are {', '.join(NAMES)}"


def test_names_are_those_that_declare_themselves():
    assert list(NAMES) == list(FIGURES)


@pytest.mark.parametrize(
    ("source", "error", "words"),
    [
        ("import no_such_package\n", ModuleNotFoundError, "no_such_package"),
        ("from math import nothing\n", ImportError, "nothing"),
        ("import math\nmath.nothing\n", AttributeError, "nothing"),
        ("", AttributeError, "DECLARATION"),
    ],
)
def test_a_fault_of_a_figures_own_module_is_shown_as_it_is(tmp_path, monkeypatch, source, error, words):
    (tmp_path / "fig99_broken.py").write_text(source, encoding="utf-8")
    monkeypatch.setattr(figures, "__path__", [*figures.__path__, str(tmp_path)])
    monkeypatch.setattr(render_figure, "NAMES", (*NAMES, "fig99_broken"))
    with pytest.raises(error, match=words):
        render_figure.run("fig99_broken", {}, {}, [tmp_path / "made.pdf"])
