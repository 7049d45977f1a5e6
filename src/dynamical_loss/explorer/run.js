// A run: draws what lies in the shared range of steps, and moves the range.
"use strict";

// Up to this number of points in the range, every point is drawn; above it, the extremes of each bucket.  While the
// reader drags or turns the wheel, fewer are drawn, so that the plots keep up.
const AT_REST = {points: 2000, buckets: 500}, MOVING = {points: 500, buckets: 120}, MOST_DOTS = 250;

function firstFrom(x, wanted) {
  let low = 0, high = x.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (x[middle] < wanted) low = middle + 1; else high = middle;
  }
  return low;
}

// The points of one parity (0 or 1; null: all) in [start, end], with a neighbour on each side, so that lines
// reach the edges.  Many points are replaced by the smallest and the largest value of each bucket, which keeps
// spikes; even and odd steps have buckets of their own, so no branch of an alternation is lost.
function thinned(x, y, start, end, parity, scale, unknown, most) {
  // Only numbers in 16 bits have a value for what is not known.
  const known = y instanceof Uint16Array ? (value) => value !== unknown : Number.isFinite;
  const from = Math.max(firstFrom(x, start) - 2, 0), to = Math.min(firstFrom(x, end + 1) + 2, x.length);
  const every = to - from <= most.points, size = every ? 1 : Math.ceil((to - from) / most.buckets);
  const xs = [], ys = [];
  let points = 0;
  for (let bucket = from; bucket < to; bucket += size) {
    let low = -1, high = -1, first = -1;
    for (let i = bucket; i < Math.min(bucket + size, to); i++) {
      if (parity !== null && x[i] % 2 !== parity) continue;
      if (first < 0) first = i;
      if (!known(y[i])) continue;
      if (low < 0 || y[i] < y[low]) low = i;
      if (high < 0 || y[i] > y[high]) high = i;
    }
    // A gap in the values stays a gap in the line.
    const kept = low < 0 ? (first < 0 ? [] : [first]) : low === high ? [low] : [Math.min(low, high), Math.max(low, high)];
    for (const i of kept) { xs.push(x[i]); ys.push(known(y[i]) ? y[i] / scale : NaN); points++; }
  }
  return {x: xs, y: ys, every, points};
}

// Fits the vertical range of each plot to the points that are drawn in it, with a margin.
function fit(drawn) {
  const extents = new Map();
  for (const {vertical, logarithmic, ys} of drawn) {
    const known = extents.get(vertical) || {logarithmic, low: Infinity, high: -Infinity};
    for (const y of ys) {
      if (!Number.isFinite(y)) continue;
      known.low = Math.min(known.low, y);
      known.high = Math.max(known.high, y);
    }
    extents.set(vertical, known);
  }
  for (const [vertical, {logarithmic, low, high}] of extents) {
    if (low > high) continue;
    const [a, b] = logarithmic ? [Math.log(low), Math.log(high)] : [low, high];
    const margin = 0.04 * ((b - a) || Math.abs(b) || 1);
    const [start, end] = [a - margin, b + margin];
    vertical.setv(logarithmic ? {start: Math.exp(start), end: Math.exp(end)} : {start, end});
  }
}

window.explorer.run = ({range, plots, series, events, cascades, unknown}) => {
  const [least, most] = range.bounds, narrowest = range.min_interval;
  followColours(plots);

  let detail = AT_REST;
  const draw = oncePerFrame(() => {
    let everyStep = true;
    const drawn = [];
    for (const {from, column, parity, scale, shown, dotted, vertical, logarithmic} of series) {
      const found = thinned(from.data.x, from.data[column], range.start, range.end, parity, scale, unknown, detail);
      shown.data = {x: found.x, y: found.y};
      const few = found.every && found.points <= MOST_DOTS;
      if (few || dotted.data.x.length) dotted.data = few ? shown.data : {x: [], y: []};
      everyStep = everyStep && found.every;
      drawn.push({vertical, logarithmic, ys: found.y});
    }
    // While the reader moves, the vertical axes stand still: new tick labels would cost most of a move's time.
    if (detail === AT_REST) fit(drawn);
    const [start, end] = [Math.round(range.start), Math.round(range.end)];
    const how = everyStep ? "every recorded step" : "extremes of neighbouring steps";
    say(`Steps ${start.toLocaleString("en")} to ${end.toLocaleString("en")}: ${how}.`);
    keep();
    for (const name of Object.keys(lists)) {
      for (const way of [1, -1]) setAvailable(`${way > 0 ? "next" : "previous"}-${name}`, aim(name, way) !== null);
    }
  });

  // Browsers limit how often an address may change, so it changes once the view has come to rest.
  let kept;
  const keep = () => {
    clearTimeout(kept);
    kept = setTimeout(() => toAddress({steps: `${Math.round(range.start)}-${Math.round(range.end)}`}), REST);
  };

  // Buttons and links show all detail at once; only moves by hand are drawn coarsely first.
  let resting, byHand = true;
  const follow = () => {
    detail = byHand ? MOVING : AT_REST;
    clearTimeout(resting);
    if (byHand) resting = setTimeout(() => { detail = AT_REST; draw(); }, REST);
    draw();
  };

  const show = (start, end) => {
    const width = Math.min(Math.max(end - start, narrowest), most - least);
    const middle = Math.min(Math.max((start + end) / 2, least + width / 2), most - width / 2);
    byHand = false;
    range.setv({start: middle - width / 2, end: middle + width / 2});
    byHand = true;
  };
  // After a jump the place in its list is known; after any other move the middle of the view decides.
  const lists = {cascade: cascades, event: events};
  let place = null;
  const middle = () => (range.start + range.end) / 2;
  const isAt = () => place !== null && range.start === place.start && range.end === place.end;
  const aim = (name, way) => {
    const list = lists[name];
    let index;
    if (isAt() && place.name === name) {
      index = place.index + way;
    } else if (range.end - range.start >= most - least) {
      index = way > 0 ? 0 : -1;
    } else {
      // What is shown in the middle is neither before nor after itself.
      const beyond = ([start, end]) => way * ((start + end) / 2 - middle()) > 0.5;
      index = way > 0 ? list.findIndex(beyond) : list.findLastIndex(beyond);
    }
    return index >= 0 && index < list.length ? index : null;
  };
  const jump = (name, way) => {
    const index = aim(name, way);
    if (index === null) return;
    const [start, end] = lists[name][index], margin = Math.max(narrowest, 0.25 * (end - start));
    show(start - margin, end + margin);
    place = {name, index, start: range.start, end: range.end};
    draw();
  };

  const width = () => range.end - range.start;
  const actions = {
    "whole": () => show(least, most),
    "next-cascade": () => jump("cascade", 1),
    "previous-cascade": () => jump("cascade", -1),
    "next-event": () => jump("event", 1),
    "previous-event": () => jump("event", -1),
    "in": () => show(middle() - width() / 4, middle() + width() / 4),
    "out": () => show(middle() - width(), middle() + width()),
  };
  for (const [name, action] of Object.entries(actions)) at(name).addEventListener("click", action);

  const read = () => {
    const match = /^(\d+)-(\d+)$/.exec(fromAddress().get("steps") || "");
    if (match) show(Number(match[1]), Number(match[2]));
  };
  addEventListener("hashchange", read);
  range.properties.start.change.connect(follow);
  range.properties.end.change.connect(follow);
  read();
  draw();
};
