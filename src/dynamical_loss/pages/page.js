// What all pages share: colours that follow the reader's light or dark mode, and small helpers.
"use strict";
window.explorer = {};

// Bokeh draws on a canvas, which style sheets do not reach.
function paint(plots) {
  const style = getComputedStyle(document.documentElement);
  const [ink, quiet, line] = ["--ink", "--quiet", "--line"].map((name) => style.getPropertyValue(name).trim());
  const clear = "rgba(0, 0, 0, 0)";
  for (const plot of plots) {
    plot.setv({background_fill_color: clear, border_fill_color: clear, outline_line_color: line});
    for (const side of ["above", "below", "left", "right", "center"]) {
      for (const part of plot[side]) {
        const wanted = {
          axis_label_text_color: ink, major_label_text_color: ink, axis_line_color: quiet,
          major_tick_line_color: quiet, minor_tick_line_color: line, grid_line_color: line,
          label_text_color: ink, title_text_color: ink, text_color: ink, background_fill_color: clear, border_line_color: clear,
        };
        for (const [name, value] of Object.entries(wanted)) {
          // A legend keeps its fill, and an axis has no fill.
          if (part.properties && name in part.properties) part.setv({[name]: value});
        }
      }
    }
  }
}

function followColours(plots) {
  paint(plots);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => paint(plots));
}

function at(id) {
  return document.getElementById(id);
}

// Say what is shown: at once on the page, and to screen readers once it has come to rest.
const REST = 250;  // milliseconds
let resting;
function say(words) {
  at("state").textContent = words;
  clearTimeout(resting);
  resting = setTimeout(() => { at("announced").textContent = words; }, REST);
}

// A button that can do nothing now keeps the keyboard's focus.
function setAvailable(id, available) {
  at(id).setAttribute("aria-disabled", String(!available));
}

// Run a function once before the next frame, however often it is asked for.
function oncePerFrame(work) {
  let asked = false;
  return () => {
    if (asked) return;
    asked = true;
    requestAnimationFrame(() => { asked = false; work(); });
  };
}

// The address keeps what is shown (#name=value&…), so that links and reloads open the same view.
function fromAddress() {
  return new URLSearchParams(location.hash.slice(1));
}

function toAddress(values) {
  history.replaceState(null, "", "#" + new URLSearchParams(values));
}

// Fill an element with pairs of words and values; values are text, never HTML.
function describe(id, pairs) {
  const list = document.createElement("dl");
  for (const [words, value] of pairs) {
    const term = document.createElement("dt"), description = document.createElement("dd");
    term.textContent = words;
    if (value instanceof Node) description.append(value); else description.textContent = value;
    list.append(term, description);
  }
  at(id).replaceChildren(list);
}

function element(name, text) {
  const made = document.createElement(name);
  made.textContent = text;
  return made;
}

// Lists of other pages: the one that is chosen opens with the view that is shown here.  "#" is this page, and a
// browser that returns to it would otherwise keep the choice by which it was left.
addEventListener("DOMContentLoaded", () => {
  for (const list of document.querySelectorAll("select[data-opens]")) {
    list.addEventListener("change", () => { if (list.value !== "#") location.href = list.value + location.hash; });
  }
});
addEventListener("pageshow", () => {
  for (const list of document.querySelectorAll("select[data-opens]")) list.value = "#";
});
