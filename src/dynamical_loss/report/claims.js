// The table of claims: shows the claims with one verdict, or all.
"use strict";

addEventListener("DOMContentLoaded", () => {
  const column = Array.from(document.querySelectorAll("thead th")).findIndex((one) => one.textContent === "Verdict");
  const rows = Array.from(document.querySelectorAll("tbody tr"));
  const show = () => {
    const wanted = at("verdict").value;
    let count = 0;
    for (const row of rows) {
      row.hidden = !row.children[column].textContent.trim().startsWith(wanted);
      count += row.hidden ? 0 : 1;
    }
    say(`${count} of ${rows.length} claims.`);
  };
  at("verdict").addEventListener("change", show);
  show();
});
