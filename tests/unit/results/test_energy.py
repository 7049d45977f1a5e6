"""Energy of processors, read from a folder like that of Linux."""

import pytest

from dynamical_loss.results import energy, record


def zone(folder, number, name, microjoules, most=999_999_999):
    here = folder / f"intel-rapl:{number}"
    here.mkdir(parents=True, exist_ok=True)
    for file, content in (("name", name), ("energy_uj", microjoules), ("max_energy_range_uj", most)):
        (here / file).write_text(f"{content}\n", encoding="ascii")


def test_packages_are_added_and_their_parts_are_not(tmp_path):
    zone(tmp_path, "0", "package-0", 2_000_000)
    zone(tmp_path, "1", "package-1", 5_000_000)
    zone(tmp_path, "0:0", "core", 1_000_000)
    before = energy.counters(tmp_path)
    zone(tmp_path, "0", "package-0", 2_500_000)
    zone(tmp_path, "1", "package-1", 1_000_000, most=5_999_999)  # it started again
    zone(tmp_path, "0:0", "core", 9_000_000)
    after = energy.counters(tmp_path)
    assert energy.joules(before, energy.counters(tmp_path / "none")) is None
    assert energy.joules(before, after) == pytest.approx(0.5 + 2.0)


def test_counters_that_cannot_be_read_are_left_out(tmp_path):
    zone(tmp_path, "0", "package-0", "no number")
    zone(tmp_path, "1", "package-1", 1)
    (tmp_path / "intel-rapl:1/energy_uj").unlink()
    assert energy.counters(tmp_path) == {}


def provenance(monkeypatch, *microjoules):
    readings = iter(microjoules)

    def counters():
        value = next(readings)
        return {} if value is None else {"package-0": energy.Counter(value, 10**9)}

    monkeypatch.setattr(energy, "counters", counters)
    return record.Provenance("dynamical_loss.stages.prepare_dataset", {}, [0], "float32")


def test_a_result_records_the_energy_of_all_its_attempts(tmp_path, monkeypatch):
    first = provenance(monkeypatch, 1_000_000, 4_000_000).attributes(tmp_path)
    assert first["energy_joules"] == 3.0
    second = provenance(monkeypatch, 0, 500_000)
    second.resume(first)
    assert second.attributes(tmp_path)["energy_joules"] == 3.5


@pytest.mark.parametrize("readings", [(None, None), (1, None), (None, 1)])
def test_without_counters_nothing_is_recorded(tmp_path, monkeypatch, readings):
    made = provenance(monkeypatch, *readings).attributes(tmp_path)
    assert "energy_joules" not in made
    later = provenance(monkeypatch, 0, 500_000)
    later.resume(made)  # the earlier attempt did not know its energy, so the sum is unknown
    assert "energy_joules" not in later.attributes(tmp_path)
