"use strict";
// The classifier of rnnray/sketch/sketch_model.py, for one drawing at a time. Weights are flat
// arrays in the order in which Keras has them, row after row.

class Network {
  // about: configuration, classes and places of the arrays; weights: floats of 16 bits, base64.
  constructor(about, weights) {
    this.config = about.config;
    this.classes = about.classes;
    const numbers = floatsOf(weights);
    this.arrays = new Map(Object.entries(about.arrays).map(([name, { shape, offset }]) => {
      const size = shape.reduce((product, length) => product * length, 1);
      return [name, numbers.subarray(offset, offset + size)];
    }));
  }

  // Probability of each class; strokes are lists of [x, y], y downwards. Null for no drawing.
  probabilities(strokes) {
    const drawn = strokes.filter((stroke) => stroke.length);
    const ink = drawn.length ? inkOf(simplify(drawn)) : null;
    return ink && this.probabilitiesOfInk(ink);
  }

  probabilitiesOfInk(rows) {
    const { config } = this;
    const ink = (config.long_drawings === "simplify" ? shortened(rows, config.max_points) : rows)
      .slice(0, config.max_points);
    const path = pathOf(ink, config.max_points);
    let found = this.strokesVector(path);
    if (config.bitmap.size) found = found.concat(this.bitmapVector(path));
    return softmax(this.dense(found, "logits"));
  }

  strokesVector(path) {
    const { config } = this;
    let x = featuresOf(path, config.features);
    let steps = config.max_points;
    config.filters.forEach((_, number) => {
      [x, steps] = this.convolution(x, steps, number);
    });
    const stride = config.strides.reduce((product, each) => product * each, 1);
    const drawn = Array.from({ length: steps }, (_, step) => step * stride < Math.max(path.length, 1));
    const mask = config.mask_padding ? drawn : drawn.map(() => true);
    for (let number = 0; number < config.layers; number++) x = this.recurrent(x, mask, number);
    if (!config.pooling.length) return x.last;
    const shown = x.filter((_, step) => drawn[step]);
    return config.pooling.flatMap((kind) => this.pooled(shown, kind));
  }

  // x: rows; a convolution over them, then ReLU, then batch normalisation.
  convolution(x, steps, number) {
    const { config } = this;
    const kernel = this.arrays.get(`convolution_${number}.kernel`);
    const bias = this.arrays.get(`convolution_${number}.bias`);
    const scale = this.arrays.get(`convolution_${number}.scale`);
    const shift = this.arrays.get(`convolution_${number}.shift`);
    const size = config.kernel_sizes[number], stride = config.strides[number];
    const inputs = x[0].length, outputs = bias.length;
    const { count, before } = placesOf(steps, size, stride, config.same_padding);
    const result = [];
    for (let step = 0; step < count; step++) {
      const sums = Float64Array.from(bias);
      for (let k = 0; k < size; k++) {
        const row = x[step * stride + k - before];
        if (row) addProduct(sums, row, kernel, k * inputs * outputs);
      }
      result.push(Array.from(sums, (value, i) => scale ? Math.max(value, 0) * scale[i] + shift[i] : Math.max(value, 0)));
    }
    return [result, count];
  }

  // A recurrent layer, in one or both directions: rows of its outputs, and in `last` its last one.
  recurrent(x, mask, number) {
    const directions = this.config.bidirectional ? [0, 1] : [0];
    const outputs = directions.map((direction) => this.lstm(x, mask, `recurrent_${number}.${direction}`, direction === 1));
    const rows = x.map((_, step) => outputs.flatMap((each) => each.rows[step]));
    rows.last = outputs.flatMap((each) => each.last);
    return rows;
  }

  lstm(x, mask, name, backwards) {
    const kernel = this.arrays.get(`${name}.kernel`), recurrent = this.arrays.get(`${name}.recurrent`);
    const bias = this.arrays.get(`${name}.bias`), units = bias.length / 4;
    let hidden = new Array(units).fill(0), cell = new Array(units).fill(0);
    const rows = new Array(x.length);
    const order = x.map((_, step) => (backwards ? x.length - 1 - step : step));
    for (const step of order) {
      if (mask[step]) {
        const gates = Float64Array.from(bias);
        addProduct(gates, x[step], kernel, 0);
        addProduct(gates, hidden, recurrent, 0);
        const next = new Array(units);
        const kept = new Array(units);
        for (let i = 0; i < units; i++) {
          kept[i] = sigmoid(gates[units + i]) * cell[i] + sigmoid(gates[i]) * Math.tanh(gates[2 * units + i]);
          next[i] = sigmoid(gates[3 * units + i]) * Math.tanh(kept[i]);
        }
        [hidden, cell] = [next, kept];
      }
      rows[step] = hidden;
    }
    return { rows, last: hidden };
  }

  pooled(rows, kind) {
    const columns = rows[0].map((_, i) => i);
    if (kind === "max") return columns.map((i) => Math.max(...rows.map((row) => row[i])));
    let weights = rows.map(() => 1 / rows.length);
    if (kind === "attention") {
      const score = this.arrays.get("attention");
      weights = softmax(rows.map((row) => row.reduce((sum, value, i) => sum + value * score[i], 0)));
    }
    return columns.map((i) => rows.reduce((sum, row, step) => sum + weights[step] * row[i], 0));
  }

  // What convolutions see in the drawing as a bitmap: mean and maximum over the last one's pixels.
  bitmapVector(path) {
    const { size, samples, filters } = this.config.bitmap;
    let pixels = bitmapOf(path, size, samples), width = size, channels = 4;
    filters.forEach((_, number) => {
      const kernel = this.arrays.get(`bitmap_${number}.kernel`), bias = this.arrays.get(`bitmap_${number}.bias`);
      const side = number ? 3 : 5, outputs = bias.length;
      const { count, before } = placesOf(width, side, 2, true);
      const result = [];
      for (let y = 0; y < count; y++) {
        for (let x = 0; x < count; x++) {
          const sums = Float64Array.from(bias);
          for (let ky = 0; ky < side; ky++) {
            const row = 2 * y + ky - before;
            if (row < 0 || row >= width) continue;
            for (let kx = 0; kx < side; kx++) {
              const column = 2 * x + kx - before;
              if (column < 0 || column >= width) continue;
              addProduct(sums, pixels[row * width + column], kernel, (ky * side + kx) * channels * outputs);
            }
          }
          result.push(Array.from(sums, (value) => Math.max(value, 0)));
        }
      }
      [pixels, width, channels] = [result, count, outputs];
    });
    const columns = pixels[0].map((_, i) => i);
    return [
      ...columns.map((i) => pixels.reduce((sum, pixel) => sum + pixel[i], 0) / pixels.length),
      ...columns.map((i) => pixels.reduce((most, pixel) => Math.max(most, pixel[i]), -Infinity)),
    ];
  }

  dense(vector, name) {
    const sums = Float64Array.from(this.arrays.get(`${name}.bias`));
    addProduct(sums, vector, this.arrays.get(`${name}.kernel`), 0);
    return Array.from(sums);
  }
}

// sums += vector times the matrix [vector, sums] that begins at `offset` of `matrix`.
function addProduct(sums, vector, matrix, offset) {
  const width = sums.length;
  for (let i = 0; i < vector.length; i++) {
    const value = vector[i];
    if (value === 0) continue;
    const row = offset + i * width;
    for (let j = 0; j < width; j++) sums[j] += value * matrix[row + j];
  }
}

// Number of outputs of a convolution, and rows of padding before its input (TensorFlow's "same").
function placesOf(length, size, stride, same) {
  if (!same) return { count: Math.ceil((length - size + 1) / stride), before: 0 };
  const count = Math.ceil(length / stride);
  return { count, before: Math.floor(Math.max((count - 1) * stride + size - length, 0) / 2) };
}

const sigmoid = (value) => 1 / (1 + Math.exp(-value));

function softmax(logits) {
  const most = logits.reduce((a, b) => Math.max(a, b));
  const powers = logits.map((value) => Math.exp(value - most));
  const sum = powers.reduce((a, b) => a + b);
  return powers.map((value) => value / sum);
}

// Where the pen goes: `path_of` and `box_of` of rnnray/sketch/ink_features.py.
function pathOf(ink, points) {
  const position = [], lands = [];
  let x = 0, y = 0, low = [0, 0], high = [0, 0];
  ink.forEach((row, i) => {
    position.push([(x += row[0]), (y += row[1])]);
    lands.push(i && ink[i - 1][2] ? 1 : 0);
    low = [Math.min(low[0], x), Math.min(low[1], y)];
    high = [Math.max(high[0], x), Math.max(high[1], y)];
  });
  return { ink, points, position, lands, low, high, length: ink.length };
}

function featuresOf(path, names) {
  const { ink, position, lands, low, high, length, points } = path;
  let strokes = 0;
  const rows = ink.map((row, i) => {
    const columns = [...row];
    if (names.includes("position")) {
      columns.push(...[0, 1].map((axis) => 2 * position[i][axis] - low[axis] - high[axis]));
    }
    if (names.includes("direction")) {
      const step = Math.hypot(row[0], row[1]), by = Math.max(step, 1e-6);
      columns.push(row[0] / by, row[1] / by, step);
    }
    strokes += lands[i];
    if (names.includes("strokes")) columns.push(lands[i], Math.log1p(strokes), (i + 1) / length);
    return columns;
  });
  const none = new Array(rows[0].length).fill(0);
  while (rows.length < points) rows.push(none);
  return rows;
}

// The drawing with soft lines, [size * size][4]: `InkBitmap` of rnnray/sketch/ink_bitmap.py.
const SIGMA = 0.7, MARGIN = 2, DOT = 0.5;

function bitmapOf(path, size, samples) {
  const { ink, position, lands, low, high, length } = path;
  const scale = (size - 1 - 2 * MARGIN) / Math.max(high[0] - low[0], high[1] - low[1], 1e-3);
  let total = 0;
  const segments = ink.map((row, i) => {
    const step = [row[0] * scale * (1 - lands[i]), row[1] * scale * (1 - lands[i])];
    const end = [0, 1].map((axis) => (position[i][axis] - (low[axis] + high[axis]) / 2) * scale + (size - 1) / 2);
    const long = Math.hypot(...step), by = Math.max(long, 1e-6);
    const cosine = step[0] / by, sine = step[1] / by;
    const before = total;
    total += long + DOT;
    const what = [1, cosine * cosine - sine * sine, 2 * cosine * sine, 2 * (i + 1) / length - 1];
    return { start: [end[0] - step[0], end[1] - step[1]], step, before, worth: long + DOT, what };
  });
  const strength = total / (samples * SIGMA * 2.5066283);
  const sums = Array.from({ length: size * size }, () => [0, 0, 0, 0]);
  let number = 0;
  for (let sample = 0; sample < samples; sample++) {
    const at = (sample + 0.5) / samples * total;
    while (number < segments.length - 1 && at >= segments[number].before + segments[number].worth) number++;
    const { start, step, before, worth, what } = segments[number];
    const share = Math.min(1, Math.max(0, (at - before) / worth));
    const [across, down] = [0, 1].map((axis) => Array.from({ length: size }, (_, pixel) =>
      Math.exp(-0.5 * ((start[axis] + step[axis] * share - pixel) / SIGMA) ** 2)));
    for (let y = 0; y < size; y++) {
      if (down[y] < 1e-9) continue;
      for (let x = 0; x < size; x++) {
        const much = down[y] * across[x] * strength;
        if (much < 1e-12) continue;
        const pixel = sums[y * size + x];
        for (let channel = 0; channel < 4; channel++) pixel[channel] += much * what[channel];
      }
    }
  }
  return sums.map(([sum, ...rest]) => {
    const dark = Math.tanh(sum);
    return [dark, ...rest.map((value) => value * (dark / (sum + 1e-6)))];
  });
}

// Little-endian floats of 16 bits in base64, as floats of 32 bits.
function floatsOf(text) {
  const bytes = atob(text);
  const numbers = new Float32Array(bytes.length / 2);
  for (let i = 0; i < numbers.length; i++) {
    const bits = bytes.charCodeAt(2 * i) | (bytes.charCodeAt(2 * i + 1) << 8);
    const exponent = (bits >> 10) & 31, fraction = bits & 1023;
    const size = exponent ? 2 ** (exponent - 15) * (1 + fraction / 1024) : 2 ** -24 * fraction;
    numbers[i] = bits >> 15 ? -size : size;
  }
  return numbers;
}
