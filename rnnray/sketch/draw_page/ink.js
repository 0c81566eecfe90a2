"use strict";
// From what a pointer draws to the ink that the classifier reads. The same as
// rnnray/sketch/data/simplify.py, ink.py and shortening.py, which have the explanations.

const SIZE = 255, EPSILON = 2;

// Strokes as lists of [x, y] -> the official simplified form, whole numbers from 0 to 255.
function simplify(strokes) {
  const all = strokes.flat();
  const low = [0, 1].map((axis) => Math.min(...all.map((point) => point[axis])));
  let extent = 0;
  for (const point of all) extent = Math.max(extent, point[0] - low[0], point[1] - low[1]);
  const scale = extent > 0 ? SIZE / extent : 1;
  return strokes.map((stroke) => {
    const moved = stroke.map((point) => [(point[0] - low[0]) * scale, (point[1] - low[1]) * scale]);
    const dense = resample(moved);
    return keptBy(dense, EPSILON).map((index) => dense[index].map(roundHalfToEven));
  });
}

function roundHalfToEven(value) {
  const rounded = Math.round(value);
  return value % 1 === 0.5 && rounded % 2 === 1 ? rounded - 1 : rounded;
}

// Points every pixel along a stroke, and its last point.
function resample(points) {
  if (points.length === 1) return points;
  const along = [0];
  for (let i = 1; i < points.length; i++) {
    along.push(along[i - 1] + Math.hypot(points[i][0] - points[i - 1][0], points[i][1] - points[i - 1][1]));
  }
  const length = along[along.length - 1];
  const wanted = [];
  for (let at = 0; at < Math.max(Math.ceil(length), 1); at++) wanted.push(at);
  wanted.push(length);
  let segment = 0;
  return wanted.map((at) => {
    while (segment < points.length - 2 && along[segment + 1] <= at) segment++;
    const span = along[segment + 1] - along[segment];
    const share = span > 0 ? Math.min(1, Math.max(0, (at - along[segment]) / span)) : 1;
    return [0, 1].map((axis) => points[segment][axis] + share * (points[segment + 1][axis] - points[segment][axis]));
  });
}

// Indices of the points that the algorithm of Ramer, Douglas and Peucker keeps.
function keptBy(points, epsilon) {
  const keep = new Set([0, points.length - 1]);
  const parts = [[0, points.length - 1]];
  while (parts.length) {
    const [first, last] = parts.pop();
    if (last - first < 2) continue;
    const [x0, y0] = points[first];
    const chordX = points[last][0] - x0, chordY = points[last][1] - y0;
    const chord = Math.hypot(chordX, chordY);
    let farthest = first + 1, largest = -1;
    for (let i = first + 1; i < last; i++) {
      const x = points[i][0] - x0, y = points[i][1] - y0;
      const distance = chord > 0 ? Math.abs(chordX * y - chordY * x) / chord : Math.hypot(x, y);
      if (distance > largest) [farthest, largest] = [i, distance];
    }
    if (largest > epsilon) {
      keep.add(farthest);
      parts.push([first, farthest], [farthest, last]);
    }
  }
  return [...keep].sort((a, b) => a - b);
}

// Rows of [dx, dy, end of stroke] in a box of 1 x 1; null for fewer than two points.
function inkOf(strokes) {
  const points = strokes.flat();
  if (points.length < 2) return null;
  const low = [0, 1].map((axis) => Math.min(...points.map((point) => point[axis])));
  const extent = [0, 1].map((axis) => Math.max(...points.map((point) => point[axis])) - low[axis] || 1);
  const normal = points.map((point) => [0, 1].map((axis) => Math.fround((point[axis] - low[axis]) / extent[axis])));
  const ends = new Set();
  let count = 0;
  for (const stroke of strokes) ends.add((count += stroke.length) - 1);
  return normal.slice(1).map((point, i) => [point[0] - normal[i][0], point[1] - normal[i][1], ends.has(i + 1) ? 1 : 0]);
}

// Ink of at most `most` rows, by leaving out the points that change it least.
function shortened(ink, most) {
  if (ink.length <= most) return ink;
  const position = [];
  let x = 0, y = 0;
  for (const row of ink) position.push([(x += row[0]), (y += row[1])]);
  const fixed = ink.map((row, i) => row[2] > 0 || i === ink.length - 1 || (i > 0 && ink[i - 1][2] > 0));
  let rest = ink.map((_, i) => i);
  while (rest.length > most) {
    const distances = rest.map((row, i) => {
      if (fixed[row]) return Infinity;
      const before = i ? position[rest[i - 1]] : [0, 0];
      const after = position[rest[Math.min(i + 1, rest.length - 1)]];
      const chord = [after[0] - before[0], after[1] - before[1]];
      const arm = [position[row][0] - before[0], position[row][1] - before[1]];
      const length = Math.hypot(...chord);
      return length > 0 ? Math.abs(chord[0] * arm[1] - chord[1] * arm[0]) / Math.max(length, 1e-12) : Math.hypot(...arm);
    });
    const nearest = rest.map((_, i) => i).sort((a, b) => distances[a] - distances[b] || a - b)
      .slice(0, rest.length - most).filter((i) => distances[i] < Infinity);
    if (!nearest.length) break;
    const goes = new Set();
    for (const i of nearest) if (!goes.has(i - 1) && !goes.has(i + 1)) goes.add(i);
    rest = rest.filter((_, i) => !goes.has(i));
  }
  return rest.map((row, i) => {
    const before = i ? position[rest[i - 1]] : [0, 0];
    return [position[row][0] - before[0], position[row][1] - before[1], ink[row][2]];
  });
}
