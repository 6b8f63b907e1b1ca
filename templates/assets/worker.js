// What the script of the pages runs beside them, so that they do not stand still: it searches for the number that solves a proof of work,
// the SHA-256 of a salt and a number in decimal. The browser's own digest takes longer to be asked than to answer, and is not there
// without https, so this one is written out (FIPS 180-4).
"use strict";

// The first bits of the fractions of roots of primes.
const initial = [];
const constants = [];
const fraction = (root) => Math.floor((root % 1) * 2 ** 32) | 0;
for (let n = 2; constants.length < 64; n++) {
  let prime = true;
  for (let d = 2; d * d <= n; d++) prime &&= n % d !== 0;
  if (!prime) continue;
  if (initial.length < 8) initial.push(fraction(Math.sqrt(n)));
  constants.push(fraction(Math.cbrt(n)));
}
const k = Int32Array.from(constants);
const w = new Int32Array(64);

// compress adds one block of 64 bytes to a state of eight words.
const compress = (state, bytes, at) => {
  for (let i = 0; i < 16; i++, at += 4) w[i] = (bytes[at] << 24) | (bytes[at + 1] << 16) | (bytes[at + 2] << 8) | bytes[at + 3];
  for (let i = 16; i < 64; i++) {
    const x = w[i - 15];
    const y = w[i - 2];
    const s0 = ((x >>> 7) | (x << 25)) ^ ((x >>> 18) | (x << 14)) ^ (x >>> 3);
    const s1 = ((y >>> 17) | (y << 15)) ^ ((y >>> 19) | (y << 13)) ^ (y >>> 10);
    w[i] = (w[i - 16] + s0 + w[i - 7] + s1) | 0;
  }
  let [a, b, c, d, e, f, g, h] = state;
  for (let i = 0; i < 64; i++) {
    const s1 = ((e >>> 6) | (e << 26)) ^ ((e >>> 11) | (e << 21)) ^ ((e >>> 25) | (e << 7));
    const t1 = (h + s1 + ((e & f) ^ (~e & g)) + k[i] + w[i]) | 0;
    const s0 = ((a >>> 2) | (a << 30)) ^ ((a >>> 13) | (a << 19)) ^ ((a >>> 22) | (a << 10));
    const t2 = (s0 + ((a & b) ^ (a & c) ^ (b & c))) | 0;
    h = g;
    g = f;
    f = e;
    e = (d + t1) | 0;
    d = c;
    c = b;
    b = a;
    a = (t1 + t2) | 0;
  }
  state[0] += a;
  state[1] += b;
  state[2] += c;
  state[3] += d;
  state[4] += e;
  state[5] += f;
  state[6] += g;
  state[7] += h;
};

// solve returns the number, or undefined if none up to most solves it. The whole blocks of the salt are hashed once.
const solve = (salt, wanted, most) => {
  const prefix = new TextEncoder().encode(salt);
  const whole = prefix.length - (prefix.length % 64);
  const start = Int32Array.from(initial);
  for (let at = 0; at < whole; at += 64) compress(start, prefix, at);
  const rest = prefix.length - whole;
  const state = new Int32Array(8);
  const tail = new Uint8Array(128);
  tail.set(prefix.subarray(whole));
  for (let n = 0; n <= most; n++) {
    const digits = String(n);
    let end = rest;
    for (let i = 0; i < digits.length; i++) tail[end++] = digits.charCodeAt(i);
    const size = end < 56 ? 64 : 128;
    tail.fill(0, end, size);
    tail[end] = 0x80;
    const bits = (whole + end) * 8;
    tail[size - 3] = bits >>> 16;
    tail[size - 2] = bits >>> 8;
    tail[size - 1] = bits;
    state.set(start);
    for (let at = 0; at < size; at += 64) compress(state, tail, at);
    if (state[0] === wanted[0] && state.every((word, i) => word === wanted[i])) return n;
  }
  return undefined;
};

self.onmessage = ({ data }) => {
  const wanted = Int32Array.from(data.challenge.match(/.{8}/g), (word) => parseInt(word, 16));
  self.postMessage(solve(data.salt, wanted, data.maxNumber));
};
