"""A user's settings of matplotlib, in a file or in the environment, change no byte of a picture."""

import os
import subprocess
import sys
import warnings
from pathlib import Path

import matplotlib as mpl
import pytest
from fontTools.ttLib import TTFont
from matplotlib import font_manager

import image_results

COMMAND = (sys.executable, "-m", "dynamical_loss", "render-figure", "figS4_learning_curves")
SOURCE = Path(__file__).parents[3] / "src"

TEXTS = (
    *("True", "False", "0", "1", "2", "3", "0.3", "17", "2, 3", "1, 2, 3", "5, 9"),
    *("red", "tight", "custom", "serif", "bold", "left", "right", "top", "center", "bottom", "x", "both"),
    *(
        "None",
        "round",
        "bevel",
        "stix",
        "42",
        "xpdf",
        ":",
        "s",
        "large",
        "condensed",
        "magma",
        "equal",
        "cairo",
        "pdf",
        "2000-01-01",
        "monospace",
    ),
    *("cycler('color', ['red', 'green'])", "a word"),
)
"""Values as written in a matplotlibrc; each setting gets the first legal value that is not its default."""


def other_value(name):
    """Return a legal value of a setting that is not its default, as text; None if none was found."""
    default, check = mpl.rcParamsDefault[name], mpl.RcParams.validate[name]
    allowed = getattr(check, "valid", {})
    for text in (*allowed, *TEXTS):
        try:
            value = check(text)
        except (ValueError, TypeError, RuntimeError):
            continue
        if value != default:
            return str(text)
    return None


@pytest.fixture(name="foreign_file", scope="module")
def _foreign_file(tmp_path_factory):
    """Write a matplotlibrc that gives every setting a value other than its default."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mpl.MatplotlibDeprecationWarning)
        values = {name: other_value(name) for name in mpl.rcParamsDefault}
    # If a new version of matplotlib adds a setting, a legal value must be added to TEXTS.
    assert [name for name, text in values.items() if text is None] == []
    path = tmp_path_factory.mktemp("foreign") / "matplotlibrc"
    path.write_text("".join(f"{name}: {text}\n" for name, text in values.items()), encoding="utf-8")
    return path


@pytest.fixture(name="study", scope="module")
def _study(tmp_path_factory):
    path = tmp_path_factory.mktemp("study") / "study.nc"
    image_results.phase(path, periods=(100,), records=4)
    return path


def environment(home, **others):
    """Return a minimal environment of a process with a given home folder."""
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(SOURCE),
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "XDG_CACHE_HOME": os.environ["XDG_CACHE_HOME"],  # folder of the programs that JAX has compiled
        **others,
    }


def pictures(study, folder, variables):
    """Draw a figure with the command in `folder`; return the bytes of its PDF and PNG."""
    folder.mkdir(exist_ok=True)
    outputs = [folder / f"made.{suffix}" for suffix in ("pdf", "png")]
    command = [*COMMAND, "--input", f"phase={study}", "--option", "cell=[100,50]"]
    for output in outputs:
        command += ["--output", str(output)]
    done = subprocess.run(command, env=variables, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [output.read_bytes() for output in outputs]


@pytest.fixture(name="clean", scope="module")
def _clean(study, tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    return pictures(study, home / "clean", environment(home))


def test_the_foreign_file_changes_every_setting(foreign_file, tmp_path):
    script = (
        "import matplotlib as m; "
        "print(*(n for n in dict.keys(m.rcParams) if m.rcParamsOrig._get(n) == m.rcParamsDefault._get(n)))"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script],
        env=environment(tmp_path, MATPLOTLIBRC=str(foreign_file)),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == []


@pytest.mark.parametrize(
    ("place", "foreign"),
    [
        ("working folder", {"MPLBACKEND": "module://matplotlib_inline.backend_inline", "LC_ALL": "no_SUCH"}),
        # Neither the home folder nor its cache can be written.
        ("variable", {"MPLBACKEND": "no such backend", "HOME": "/dev/null", "XDG_CACHE_HOME": "/dev/null"}),
        (
            "configuration folder",
            {
                "MPLBACKEND": "tkagg",
                "SOURCE_DATE_EPOCH": "86400",
                "TZ": "Asia/Kolkata",
                "LANG": "de_DE.UTF-8",
            },
        ),
    ],
)
def test_nothing_that_a_user_has_set_changes_a_picture(study, clean, foreign_file, tmp_path, place, foreign):
    folder = tmp_path / "foreign"
    configuration = tmp_path / ".config" / "matplotlib"
    for path in (folder, configuration / "stylelib"):
        path.mkdir(parents=True)
    (configuration / "stylelib" / "default.mplstyle").write_text("axes.facecolor: red\n", encoding="utf-8")
    if place == "variable":
        foreign = {**foreign, "MATPLOTLIBRC": str(foreign_file)}
    else:
        target = folder if place == "working folder" else configuration
        (target / "matplotlibrc").write_text(foreign_file.read_text(encoding="utf-8"), encoding="utf-8")
    assert pictures(study, folder, environment(tmp_path, **foreign)) == clean


def test_style_sheets_that_are_in_use_change_no_picture(study, clean, tmp_path):
    """Set seaborn's style, a style sheet and a setting that `rcdefaults` leaves out, then draw."""
    script = f"""
import matplotlib, seaborn
from pathlib import Path
from dynamical_loss.stages import render_figure
seaborn.set_theme(context="talk", style="dark", palette="pastel", color_codes=True)
matplotlib.style.use("dark_background")
matplotlib.rcParams["timezone"] = "Asia/Kolkata"
before = matplotlib.rcParams.copy()
inputs, outputs = {{"phase": [Path({str(study)!r})]}}, [Path("made.pdf"), Path("made.png")]
render_figure.run("figS4_learning_curves", inputs, {{"cell": [100, 50]}}, outputs)
after = dict(matplotlib.rcParams)
print(*(name for name in after if after[name] != before[name]))
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script],
        env=environment(tmp_path),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert set(done.stdout.split()) <= {"backend", "backend_fallback"}  # all other settings are restored
    assert [(tmp_path / f"made.{suffix}").read_bytes() for suffix in ("pdf", "png")] == clean


@pytest.mark.long
def test_a_font_of_the_same_name_changes_no_picture(study, clean, tmp_path):
    """Install a font that is named "DejaVu Sans" and has the letters of another font."""
    (fonts := tmp_path / "data" / "fonts").mkdir(parents=True)
    with TTFont(font_manager.findfont("STIXGeneral")) as font:
        for record in font["name"].names:
            if record.nameID in (1, 4, 6, 16):
                record.string = "DejaVu Sans"
        font.save(fonts / "AAA.ttf")
    variables = environment(tmp_path, XDG_DATA_HOME=str(tmp_path / "data"), XDG_CACHE_HOME=str(tmp_path))
    assert pictures(study, tmp_path / "foreign", variables) == clean
    (lists,) = (tmp_path / "matplotlib").glob("fontlist*.json")
    assert "AAA.ttf" in lists.read_text(encoding="utf-8")


def test_a_file_of_settings_that_is_no_text_is_named_in_one_line(study, tmp_path):
    (tmp_path / "matplotlibrc").write_bytes(b"font.size: \xff\n")
    done = subprocess.run(
        [*COMMAND, "--input", f"phase={study}", "--output", "made.png"],
        env=environment(tmp_path),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "a matplotlibrc or a style sheet of matplotlib is not valid UTF-8 text" in done.stderr
    assert "Traceback" not in done.stderr
