// Thresholds: the definition that is shown; a tap opens the run of a point.
"use strict";

window.explorer.threshold = ({plots, points, fits, known}) => {
  followColours(plots);
  const show = () => {
    const chosen = known[at("definition").value];
    points.forEach((source, width) => { source.data = {...source.data, y: chosen.points[width]}; });
    fits.forEach((source, width) => { source.data = {...source.data, y: chosen.fits[width]}; });
    const count = chosen.points.flat().filter(Number.isFinite).length;
    say(`${count} runs with a known threshold.`);
  };
  at("definition").addEventListener("change", show);
  for (const source of points) {
    source.selected.properties.indices.change.connect(() => {
      const [index] = source.selected.indices;
      if (index === undefined) return;
      if (source.data.page[index]) location.href = source.data.page[index];
      else say("This run has no page yet.");
    });
  }
  show();
};
