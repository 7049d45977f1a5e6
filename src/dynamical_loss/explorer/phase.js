// A phase diagram: the measure that is shown, and the runs of the chosen cell.
"use strict";

window.explorer.phase = ({
  plots, cells, colours, runs, n, steps, record, lines, mean, bars, measures, targets, snakemake, chosen, many,
  without_curves, unit, unknown,
}) => {
  followColours(plots);
  const digits = (value) => Number.isFinite(value) ? value.toFixed(3) : "not known";
  const withInterval = (value, half) =>
    Number.isFinite(half) ? `${digits(value)} ± ${half.toFixed(3)}` : digits(value);
  let current = chosen;

  const showMeasure = () => {
    const measure = at("measure").value, data = {...cells.data};
    for (const key of ["n", "mean", "half_width", "spread", "difference", "difference_half_width"]) {
      data[key] = cells.data[`${measure}_${key}`];
    }
    data.interval = Array.from(data.mean, (value, i) => withInterval(value, data.half_width[i]));
    data.command = targets.map((files) => files.length
      ? snakemake.replace("{targets}", files[0] + (files.length > 1 ? " …" : "")) : "none in this configuration");
    data.gain = Array.from(data.difference, (value, i) => withInterval(value, data.difference_half_width[i]));
    cells.data = data;
    const known = Array.from(data.mean).filter(Number.isFinite);
    if (known.length) {
      const low = Math.min(...known), high = Math.max(...known);
      colours.setv({low, high: Math.max(high, low + 1e-6)});
    }
    showCell();
  };

  const showCell = () => {
    const measure = at("measure").value, data = cells.data;
    const values = Array.from(runs.data[measure].slice(current * n, (current + 1) * n));
    at("period").value = Math.floor(current / many);
    at("amplitude").value = current % many;
    if (cells.selected.indices[0] !== current) cells.selected.indices = [current];

    const counts = new Float64Array(bars.data.left.length);
    for (const value of values) {
      if (Number.isFinite(value)) counts[Math.min(Math.floor(value * counts.length), counts.length - 1)] += 1;
    }
    bars.data = {...bars.data, count: counts};

    const curves = record.data[measure], length = steps.length, xs = [], ys = [];
    if (curves) {
      for (let seed = 0; seed < n; seed++) {
        const first = (current * n + seed) * length;
        xs.push(steps);
        ys.push(Array.from(curves.slice(first, first + length), (value) => value === unknown ? NaN : value / unit));
      }
      const average = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
      mean.data = {x: steps, y: steps.map((_, i) => average(ys.map((curve) => curve[i]).filter(Number.isFinite)))};
    }
    lines.data = {xs, ys};

    const pairs = [
      ["shown", measures[measure]],
      ["period T, amplitude A", `${data.T[current]}, ${data.A[current]}`],
      ["n", String(data.n[current])],
      ["mean and 95 % interval", data.interval[current]],
      ["standard deviation of runs", digits(data.spread[current])],
      ["difference from A = 1, paired by seed", data.gain[current]],
      ["diverged runs", String(data.diverged[current])],
    ];
    if (!curves) pairs.push(["learning curves", without_curves]);
    const files = targets[current] || [];
    pairs.push(["command", files.length
      ? element("code", snakemake.replace("{targets}", files.join(" ")))
      : "none: the present configuration does not have this cell with the settings that are shown here"]);
    describe("cell", pairs);
    say(`T = ${data.T[current]}, A = ${data.A[current]}: ${data.interval[current]}.`);
    toAddress({measure, T: data.T[current], A: data.A[current]});
  };

  const choose = (index) => { current = index; showCell(); };
  cells.selected.properties.indices.change.connect(() => {
    const [index] = cells.selected.indices;
    // A tap beside the cells keeps the cell.
    if (index === undefined) cells.selected.indices = [current];
    else if (index !== current) choose(index);
  });
  for (const name of ["period", "amplitude"]) {
    at(name).addEventListener("change", () => choose(Number(at("period").value) * many + Number(at("amplitude").value)));
  }
  at("measure").addEventListener("change", showMeasure);

  const read = () => {
    const asked = fromAddress();
    if (asked.get("measure") in measures) at("measure").value = asked.get("measure");
    const found = cells.data.T.findIndex((T, i) => T === asked.get("T") && cells.data.A[i] === asked.get("A"));
    if (found >= 0) current = found;
    showMeasure();
  };
  addEventListener("hashchange", read);
  read();
};
