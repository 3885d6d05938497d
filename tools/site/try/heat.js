// Where the network looked: plantnb.heat, in the browser. Maps are {channels, high, wide, values}, a channel after another.

import {BILINEAR, weights} from './picture.js'

const mean = v => v.reduce((a, b) => a + b, 0)/v.length
const spread = (v, m = mean(v)) => Math.sqrt(v.reduce((sum, x) => sum + (x - m)**2, 0)/(v.length - 1))
const channel = (map, c) => map.values.subarray(c*map.high*map.wide, (c + 1)*map.high*map.wide)
const channels = (map, f) => Array.from({length: map.channels}, (_, c) => f(channel(map, c), c))

// How fast weight @ rooted(s) rises with each summary s of a picture.
function rootedSlope(s, weight) {
  const n = s.length, root = s.map(x => Math.sqrt(Math.abs(x) + 1e-6)), r = s.map((x, i) => Math.sign(x)*root[i])
  const m = mean(r), wide = spread(r, m), w = mean(weight), along = r.reduce((sum, x, i) => sum + weight[i]*(x - m), 0)
  return s.map((x, i) => ((weight[i] - w)/(wide + 1e-6) - along/(wide + 1e-6)**2*(r[i] - m)/((n - 1)*wide))*Math.sign(x)**2/(2*root[i]))
}

// What each map adds at each of its places: how far a channel lies above its mean there, times how fast the logit rises with it.
function spoken(maps, weight) {
  const places = map => map.high*map.wide
  if (maps.length === 1) return [summed(maps[0], (v, m, c) => i => weight[c]/places(maps[0]))]
  const middle = maps.slice(0, -1), last = maps.at(-1)
  const parts = [...middle.flatMap(map => [channels(map, v => mean(v)), channels(map, v => spread(v))]),
                 channels(last, v => v.reduce((a, b) => Math.max(a, b), -Infinity)), channels(last, v => mean(v))]
  let at = 0
  const slopes = parts.map(s => rootedSlope(s, weight.slice(at, at += s.length)))
  const found = middle.map((map, k) => summed(map, (v, m, c) => {
    const wide = parts[2*k + 1][c], ofMean = slopes[2*k][c]/places(map), ofSpread = wide > 0 ? slopes[2*k + 1][c]/((places(map) - 1)*wide) : 0
    return i => ofMean + ofSpread*(v[i] - m)
  }))
  const top = summed(last, (v, m, c) => {
    const most = parts.at(-2)[c], times = v.filter(x => x === most).length, ofMost = slopes.at(-2)[c]/times, ofMean = slopes.at(-1)[c]/places(last)
    return i => ofMean + (v[i] === most ? ofMost : 0)
  })
  return [...found, top]
}

function summed(map, slopeOf) {
  const out = new Float64Array(map.high*map.wide)
  for (let c = 0; c < map.channels; c++) {
    const v = channel(map, c), m = mean(v), slope = slopeOf(v, m, c)
    for (let i = 0; i < out.length; i++) out[i] += (v[i] - m)*slope(i)
  }
  return {high: map.high, wide: map.wide, values: out}
}

function enlarged({high, wide, values}, size) {
  const x = weights(wide, size, BILINEAR), y = weights(high, size, BILINEAR), lines = new Float64Array(high*size), out = new Float64Array(size*size)
  for (let r = 0; r < high; r++) for (let i = 0; i < size; i++) lines[r*size + i] = along(values, r*wide, 1, x[i])
  for (let i = 0; i < size; i++) for (let k = 0; k < size; k++) out[i*size + k] = along(lines, k, size, y[i])
  return out
}

function along(from, start, step, line) {
  let sum = 0
  for (let k = 0; k < line.weights.length; k++) sum += line.weights[k]*from[start + (line.first + k)*step]
  return sum
}

// A leaf is looked at as it is, mirrored, upside down, and moved by four pixels: for each, which pixel of n x n stands at (y, x), there and back again.
const MOVED = 4, as = (y, x, n) => y*n + x, mirrored = (y, x, n) => y*n + n - 1 - x, turned = (y, x, n) => (n - 1 - y)*n + x
const moved = (y, x, n) => Math.max(0, y - MOVED)*n + Math.max(0, x - MOVED), back = (y, x, n) => Math.min(n - 1, y + MOVED)*n + Math.min(n - 1, x + MOVED)
const POSITIONS = [[as, as], [mirrored, mirrored], [turned, turned], [moved, back]]

function put(pixels, size, at, depth) {
  const out = new pixels.constructor(pixels.length)
  for (let y = 0, o = 0; y < size; y++) for (let x = 0; x < size; x++) {
    const from = at(y, x, size)*depth
    for (let c = 0; c < depth; c++) out[o++] = pixels[from + c]
  }
  return out
}

// (size, size) numbers, above 0 where a place speaks for disease; `look` gives the maps of a picture.
export async function heat(look, weight, leaf, size) {
  const total = new Float64Array(size*size)
  for (const [there, again] of POSITIONS) {
    const seen = new Float64Array(size*size)
    for (const part of spoken(await look(put(leaf, size, there, 3)), weight)) {
      const large = enlarged(part, size), wide = Math.max(spread(large), 1e-20)
      for (let i = 0; i < seen.length; i++) seen[i] += large[i]/wide
    }
    const placed = put(seen, size, again, 1)
    for (let i = 0; i < total.length; i++) total[i] += placed[i]/POSITIONS.length
  }
  return total
}

// The leaf in grey under the brightest fifth of its map, yellow to red, as RGBA.
export function overlay(leaf, found) {
  const sorted = Float64Array.from(found).sort(), at = .8*(sorted.length - 1), k = Math.floor(at)
  const low = Math.max(0, sorted[k] + (sorted[k + 1] - sorted[k])*(at - k)), high = sorted.at(-1), out = new Uint8ClampedArray(found.length*4)
  for (let i = 0; i < found.length; i++) {
    const weight = Math.min(1, Math.max(0, (found[i] - low)/Math.max(high - low, 1e-12)))**.5*.85
    const grey = ((leaf[3*i] + leaf[3*i + 1] + leaf[3*i + 2])/3*.8 + 25)*(1 - weight), green = 255 - Math.min(255, Math.floor(256*weight))
    out[4*i] = Math.trunc(grey + 255*weight)
    out[4*i + 1] = Math.trunc(grey + green*weight)
    out[4*i + 2] = Math.trunc(grey)
    out[4*i + 3] = 255
  }
  return out
}
