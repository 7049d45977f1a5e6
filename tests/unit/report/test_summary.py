"""The summary: its numbers are those of the table of claims, and its text holds none of its own."""

import csv
import json
import re

import pytest

from dynamical_loss.errors import UserError
from dynamical_loss.report import claims, summary
from dynamical_loss.results import sidecars, tables, verify
from dynamical_loss.stages import write_summary
from project import ROOT

TABLE = ROOT / "paper_figures/data/claims.csv"
README = ROOT / "README.md"


def test_the_text_of_the_template_holds_no_number_about_a_result():
    """Numbers in the text are those of the method and of the literature; all others come from the table."""
    markup = r"\s*(#set|#show|#v\(|#if|columns|stroke|inset|image)"
    lines = [line.partition("//")[0] for line in summary.template().splitlines()]
    text = "\n".join(line for line in lines if not re.match(markup, line))
    text = re.sub(r"size: [\d.]+pt|#v\([\d.]+em\)", "", text)
    assert sorted(set(re.findall(r"\d[\d.]*", text))) == ["2", "2102.03793", "95"]


def test_a_changed_number_in_the_table_changes_the_text():
    rows = [dict(row) for row in claims.read(TABLE)]
    before = json.dumps(summary.content(rows, []), ensure_ascii=False)
    changed = next(row for row in rows if row["verdict"] == "reproduced")
    changed |= {"measured_value": "0.123456", "interval_lower": "0.1", "interval_upper": "0.15", "n": "4321"}
    after = json.dumps(summary.content(rows, []), ensure_ascii=False)
    assert "0.123 [0.1, 0.15]" in after and "0.123 [0.1, 0.15]" not in before
    assert '"4321"' in after and '"4321"' not in before


def test_every_claim_with_a_verdict_appears_once():
    rows = claims.read(TABLE)
    shown = [one["statement"] for group in summary.content(rows, [])["groups"] for one in group["claims"]]
    assert sorted(shown) == sorted(row["statement"] for row in rows if row["verdict"])


def test_the_pdf_is_the_same_twice_and_embeds_its_fonts(tmp_path):
    made = []
    for name in ("first.pdf", "second.pdf"):
        write_summary.run(TABLE, [], tmp_path / name)
        made.append((tmp_path / name).read_bytes())
    assert made[0] == made[1]
    assert made[0].startswith(b"%PDF")
    assert b"/Type3" not in made[0]
    assert b"/FontFile" in made[0]


def test_a_damaged_table_is_refused(tmp_path):
    for suffix in (".csv", ".json"):
        (tmp_path / f"claims{suffix}").write_bytes(TABLE.with_suffix(suffix).read_bytes())
    table = tmp_path / "claims.csv"
    text = table.read_text(encoding="utf-8").replace("reproduced", "contradicted", 1)
    table.write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=r"claims\.csv"):
        write_summary.run(table, [], tmp_path / "summary.pdf")
    assert not (tmp_path / "summary.pdf").exists()


def test_another_table_makes_a_summary_stale(tmp_path):
    for suffix in (".csv", ".json"):
        (tmp_path / f"claims{suffix}").write_bytes(TABLE.with_suffix(suffix).read_bytes())
    table, made = tmp_path / "claims.csv", tmp_path / "figures/summary.pdf"
    made.parent.mkdir()
    write_summary.run(table, [], made)
    assert verify.examine([made.parent]).findings == ()
    rows = list(csv.DictReader(table.read_text(encoding="utf-8").splitlines()))
    rows[0]["measured_value"] = "0.5"
    tables.write(list(rows[0]), rows, table)
    sidecars.write([table], json.loads(table.with_suffix(".json").read_text(encoding="utf-8")), [])
    (finding,) = verify.examine([made.parent]).findings
    assert finding.kind == "stale" and "claims.csv, whose content has changed" in str(finding.problem)
