#!/usr/bin/env node
// A subject in JavaScript (Node 18 or later, no packages):
//
//     spanver verify --command "node examples/subject.js"
//
// It reads and writes one JSON message a line, as docs/protocol.md says. It uses only the simplest queries of the
// oracle, `prompt`, `sample` and `reward`: it draws every response itself, and decides itself which to accept. The
// example in C lets the harness draw.
'use strict';

const fs = require('fs');

// Lines are read synchronously: the two sides take turns, so no callbacks are needed.
let unread = Buffer.alloc(0);

function readLine() {
  const parts = [];
  for (;;) {
    const end = unread.indexOf(10);
    if (end >= 0) {
      parts.push(unread.subarray(0, end));
      unread = unread.subarray(end + 1);
      return Buffer.concat(parts).toString();
    }
    parts.push(unread);
    const chunk = Buffer.alloc(1 << 16);
    const count = fs.readSync(0, chunk);
    if (count === 0) return null; // the harness has closed our input
    unread = chunk.subarray(0, count);
  }
}

function send(message) {
  const line = Buffer.from(JSON.stringify(message) + '\n');
  for (let sent = 0; sent < line.length; ) sent += fs.writeSync(1, line, sent);
}

// Arrays: nested lists, or an object of shape and base64 if a number is not finite or there are no numbers.
function decode(array) {
  if (Array.isArray(array)) return array;
  const bytes = Buffer.from(array.float64, 'base64');
  const numbers = Array.from({ length: bytes.length / 8 }, (_, i) => bytes.readDoubleLE(8 * i));
  if (array.shape.length === 1) return numbers;
  const [rows, width] = array.shape;
  return Array.from({ length: rows }, (_, i) => numbers.slice(i * width, (i + 1) * width));
}

function encode(vector) {
  if (vector.every(Number.isFinite)) return vector;
  const bytes = Buffer.alloc(8 * vector.length);
  vector.forEach((number, i) => bytes.writeDoubleLE(number, 8 * i));
  return { shape: [vector.length], float64: bytes.toString('base64') };
}

// The number of columns; of an array without rows only the shape has it.
const columns = (array) => (Array.isArray(array) ? array[0].length : array.shape[1]);

// The oracle: every method sends a query to the harness.
class Oracle {
  constructor(facts, seq) {
    Object.assign(this, facts); // dimension, beta, radius, reward_range
    this.seq = seq;
  }

  ask(query, given) {
    send({ seq: this.seq, ask: query, ...given });
    const reply = JSON.parse(readLine());
    if ('refused' in reply) throw new Error(`refused: ${reply.reason}`); // as when the budget is used up
    return reply.answer;
  }

  prompt() {
    return this.ask('prompt', {});
  }

  sample(prompt, count) {
    const { ids, features } = this.ask('sample', { prompt, count });
    const rows = decode(features);
    return ids.map((id, i) => ({ id, features: rows[i] }));
  }

  reward(prompt, response) {
    return this.ask('reward', { prompt, response: response.id });
  }
}

const dot = (a, b) => a.reduce((sum, each, i) => sum + each * b[i], 0);
const minus = (a, b) => a.map((each, i) => each - b[i]);
const norm = (a) => Math.hypot(...a);

function cholesky(matrix) {
  const lower = matrix.map((row) => row.map(() => 0));
  for (let i = 0; i < matrix.length; i++) {
    for (let j = 0; j <= i; j++) {
      const rest = matrix[i][j] - dot(lower[i].slice(0, j), lower[j]);
      lower[i][j] = i === j ? Math.sqrt(rest) : rest / lower[j][j];
    }
  }
  return lower;
}

// ||v|| in the inverse of L L^T is the Euclidean norm of the solution of L z = v: no inverse is needed.
function ellipticNorm(lower, vector) {
  const z = [];
  for (let i = 0; i < vector.length; i++) z.push((vector[i] - dot(z, lower[i])) / lower[i][i]);
  return norm(z);
}

// Eigenvalues of a symmetric matrix, and its eigenvectors as columns, by Jacobi's rotations.
function eigen(symmetric) {
  const d = symmetric.length;
  const a = symmetric.map((row) => row.slice());
  const vectors = a.map((row, i) => row.map((_, j) => (i === j ? 1 : 0)));
  const negligible = 1e-18 * Math.max(...a.flat().map(Math.abs));
  for (let rotated = true, sweep = 0; rotated && sweep < 60; sweep++) {
    rotated = false;
    for (let p = 0; p < d; p++) {
      for (let q = p + 1; q < d; q++) {
        if (Math.abs(a[p][q]) <= negligible) continue;
        rotated = true;
        const tau = (a[q][q] - a[p][p]) / (2 * a[p][q]);
        const t = (tau >= 0 ? 1 : -1) / (Math.abs(tau) + Math.hypot(1, tau)); // the smaller of two angles converges
        const c = 1 / Math.hypot(1, t);
        const s = c * t;
        const turn = (one, other) => [c * one - s * other, s * one + c * other];
        for (let k = 0; k < d; k++) [a[k][p], a[k][q]] = turn(a[k][p], a[k][q]);
        for (let k = 0; k < d; k++) [a[p][k], a[q][k]] = turn(a[p][k], a[q][k]);
        for (let k = 0; k < d; k++) [vectors[k][p], vectors[k][q]] = turn(vectors[k][p], vectors[k][q]);
        a[p][q] = a[q][p] = 0;
      }
    }
  }
  return { values: a.map((row, i) => Math.max(row[i], 0)), vectors };
}

// Our own random numbers: splitmix64. The oracle has others.
function uniforms(seed) {
  let state = BigInt.asUintN(64, BigInt(seed));
  const mixed = (z, shift, factor) => BigInt.asUintN(64, (z ^ (z >> shift)) * factor);
  return () => {
    state = BigInt.asUintN(64, state + 0x9e3779b97f4a7c15n);
    const z = mixed(mixed(state, 30n, 0xbf58476d1ce4e5b9n), 27n, 0x94d049bb133111ebn);
    return Number((z ^ (z >> 31n)) >> 11n) / 2 ** 53; // in [0, 1)
  };
}

// What we provide. Each takes the arguments of the run by name.
function ellipticNorms({ features, sigma }) {
  const lower = cholesky(decode(sigma));
  return decode(features).map((vector) => ellipticNorm(lower, vector));
}

// The maximum is subtracted before exponentiating: exponents of 1e8 are ordinary if beta is small.
function logSumExp(exponents) {
  const peak = exponents.reduce((a, b) => Math.max(a, b), -Infinity);
  return peak + Math.log(exponents.reduce((sum, each) => sum + Math.exp(each - peak), 0));
}

function logSoftmax({ log_base: logBase, scores, beta }) {
  const base = decode(logBase);
  const shifts = decode(scores).map((score) => score / beta);
  const logNormaliser = logSumExp(base.map((each, i) => each + shifts[i]));
  return encode(base.map((each, i) => each + (shifts[i] - logNormaliser)));
}

// Least squares on the ball ||theta|| <= radius. With the Gram matrix diagonal, theta_i = c_i / (value_i + mu), and
// the multiplier mu >= 0 is 0 or puts theta on the sphere.
function fit({ features, targets, radius }) {
  const d = columns(features);
  const rows = decode(features);
  const y = decode(targets);
  const axes = Array.from({ length: d }, (_, i) => i);
  const column = axes.map((i) => rows.map((row) => row[i]));
  const gram = axes.map((i) => axes.map((j) => dot(column[i], column[j])));
  const moment = axes.map((i) => dot(column[i], y));
  // In units of the radius and of the larger of both moments, nothing below overflows.
  const scale = Math.max(...gram.flat().map(Math.abs), ...moment.map((each) => Math.abs(each) / radius));
  if (scale === 0) return axes.map(() => 0);
  const { values, vectors } = eigen(gram.map((row) => row.map((each) => each / scale)));
  const c = axes.map((i) => axes.reduce((sum, k) => sum + vectors[k][i] * (moment[k] / scale / radius), 0));
  // In a direction outside the data, curvature and moment are rounding errors: theta is 0 there.
  const rounding = 1e3 * d * Number.EPSILON;
  const [largest, length] = [Math.max(...values), norm(c)];
  const kept = axes.filter((i) => values[i] > rounding * largest || Math.abs(c[i]) > rounding * length);
  const smallest = Math.min(...kept.map((i) => values[i]));
  const size = (mu) => norm(kept.map((i) => c[i] / (values[i] + mu)));
  let mu = 0;
  if (kept.length > 0 && (smallest === 0 || size(0) > 1)) {
    // 1/||theta(mu)|| is concave, so Newton's steps from the left of the root of 1/||theta(mu)|| = 1 never overshoot.
    const steepest = Math.max(...kept.map((i) => (values[i] === smallest ? Math.abs(c[i]) : 0)));
    mu = Math.max(length - largest, steepest * (1 - 1e-12) - smallest, 0);
    for (let step = 0; step < 100; step++) {
      const now = size(mu);
      const slope = kept.reduce((sum, i) => sum + (c[i] / (values[i] + mu)) ** 2 / (values[i] + mu), 0);
      const next = mu + ((now - 1) * now * now) / slope;
      if (now <= 1 + 1e-15 || next === mu) break;
      mu = next;
    }
  }
  return axes.map((k) => radius * kept.reduce((sum, i) => sum + (vectors[k][i] * c[i]) / (values[i] + mu), 0));
}

function draw({ probabilities, count, seed }) {
  const law = decode(probabilities);
  let total = 0;
  const cumulative = law.map((each) => (total += each));
  const last = law.reduce((found, each, i) => (each > 0 ? i : found), 0); // by rounding the product may reach the total
  const uniform = uniforms(seed);
  return Array.from({ length: count }, () => {
    const quantile = uniform() * total;
    const index = cumulative.findIndex((each) => each > quantile);
    return index < 0 ? last : index;
  });
}

// Responses that one query draws during a search: few round trips, and few samples drawn in vain.
const TOGETHER = 64;

// Phase 1 of SpannerSampling: in every round, try pairs until one is longer than nu in the norm of the pairs before it.
function buildSpanner({ prompts, pairs_per_prompt: pairsPerPrompt, nu, ridge }, oracle) {
  const d = oracle.dimension;
  const sigma = Array.from({ length: d }, (_, i) => Array.from({ length: d }, (_, j) => (i === j ? ridge : 0)));
  const spanner = { prompts: [], first: [], second: [], vectors: [], targets: [], sigma };
  for (let round = 0; round < prompts; round++) {
    const prompt = oracle.prompt();
    const lower = cholesky(sigma);
    search: for (let left = pairsPerPrompt; left > 0; ) {
      const pairs = Math.min(left, TOGETHER / 2);
      const drawn = oracle.sample(prompt, 2 * pairs);
      left -= pairs;
      for (let i = 0; i < drawn.length; i += 2) {
        const vector = minus(drawn[i].features, drawn[i + 1].features);
        if (!(ellipticNorm(lower, vector) > nu)) continue;
        spanner.prompts.push(prompt);
        spanner.first.push(drawn[i].id);
        spanner.second.push(drawn[i + 1].id);
        spanner.vectors.push(vector);
        spanner.targets.push(oracle.reward(prompt, drawn[i]) - oracle.reward(prompt, drawn[i + 1]));
        sigma.forEach((row, k) => row.forEach((_, l) => (row[l] += vector[k] * vector[l])));
        break search;
      }
    }
  }
  return spanner;
}

function scoreFunction(score) {
  const theta = decode(score.theta);
  if (score.kind === 'LinearScore') return (features) => dot(theta, features);
  const [anchor, precision] = [decode(score.anchor), decode(score.precision)];
  return (features) => {
    const vector = minus(features, anchor);
    const square = dot(vector, precision.map((row) => dot(row, vector)));
    return square <= score.nu ** 2 ? dot(theta, vector) : 0; // what the spanner does not cover has score 0
  };
}

function* drawn(oracle, prompt, count, together) {
  for (let left = count; left > 0; left -= together) yield* oracle.sample(prompt, Math.min(left, together));
}

// Rejection sampling with a pilot: N draws estimate the mean weight Z, then each of at most N fresh draws is accepted
// with probability min(1, w/(M Z)), all in logs.
function softmaxSample({ prompt, score, multiplier, failure, seed }, oracle) {
  const f = scoreFunction(score);
  const trials = Math.ceil(4 * multiplier * Math.log(4 / failure));
  const pilot = [];
  for (const response of drawn(oracle, prompt, trials, 4096)) pilot.push(f(response.features) / oracle.beta);
  const logThreshold = Math.log(multiplier) + logSumExp(pilot) - Math.log(trials);
  const uniform = uniforms(seed);
  for (const response of drawn(oracle, prompt, trials, TOGETHER)) {
    if (Math.log(uniform()) < f(response.features) / oracle.beta - logThreshold) return response.id;
  }
  return oracle.sample(prompt, 1)[0].id;
}

const FUNCTIONS = {
  elliptic_norms: ellipticNorms,
  log_softmax: logSoftmax,
  fit,
  draw,
  build_spanner: buildSpanner,
  softmax_sample: softmaxSample,
};

readLine(); // the harness's hello; the harness compares its version with ours
const claims = ['A1']; // to the letter: conformance is judged too
send({ hello: { protocol: 2, name: 'example in JavaScript', provides: Object.keys(FUNCTIONS), claims } });
for (let line = readLine(); line !== null; line = readLine()) {
  const { seq, run, arguments: given } = JSON.parse(line);
  try {
    const oracle = given.oracle && new Oracle(given.oracle, seq);
    send({ seq, result: FUNCTIONS[run](given, oracle) });
  } catch (error) {
    send({ seq, error: String(error) });
  }
}
