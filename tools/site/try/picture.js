// A photograph as the network is shown it: upright, on white, in sRGB, its middle as a square, made smaller as plantnb.photos does it.

const MOST_PIXELS = 120e6, MIN_SIDE = 16, LONGEST = 16 // of a photograph; of its shorter side; times as long as wide
const LARGE = 20e6                                     // pixels above which also a PNG is made smaller in two steps
const ROWS = 256                                       // rows of a photograph that are looked at in one go

export class NoPicture extends Error {}                // its message is for the reader

// ---- what the first bytes say

const text = bytes => String.fromCharCode(...bytes)

function jpegSize(view) {
  for (let at = 2; at + 9 < view.byteLength && view.getUint8(at) === 0xff;) {
    const mark = view.getUint8(at + 1)
    if (mark === 0xff) { at += 1; continue }
    if (mark >= 0xc0 && mark <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(mark)) return [view.getUint16(at + 7), view.getUint16(at + 5)]
    at += 2 + view.getUint16(at + 2)
  }
  return null
}

// {kind: JPEG, PNG, HEIC or '', size: [width, height] or null}
export async function header(file) {
  const bytes = new Uint8Array(await file.slice(0, 1 << 18).arrayBuffer()), view = new DataView(bytes.buffer)
  if (bytes[0] === 0xff && bytes[1] === 0xd8) return {kind: 'JPEG', size: jpegSize(view)}
  if (text(bytes.slice(1, 4)) === 'PNG' && bytes.length > 24) return {kind: 'PNG', size: [view.getUint32(16), view.getUint32(20)]}
  if (text(bytes.slice(4, 8)) === 'ftyp' && /^(hei|hev|mif|msf)/.test(text(bytes.slice(8, 12)))) return {kind: 'HEIC', size: null}
  return {kind: '', size: null}
}

const tooMany = (width, height) => new NoPicture(`has more pixels than this page opens (${width} x ${height}); save it smaller`)

async function opened(file) {
  if (!file.size) throw new NoPicture('is empty (0 bytes)')
  const {kind, size} = await header(file)
  if (size && size[0]*size[1] > MOST_PIXELS) throw tooMany(...size)
  let bitmap
  try { bitmap = await createImageBitmap(file, {imageOrientation: 'from-image'}) } // as EXIF says, colours brought to sRGB
  catch { throw new NoPicture(kind === 'HEIC' ? 'is HEIC, which this browser cannot open; save it as a JPEG' : kind ? 'is broken or cut short' : 'is no picture that this browser can open') }
  if (bitmap.width*bitmap.height > MOST_PIXELS) { bitmap.close(); throw tooMany(bitmap.width, bitmap.height) }
  if (Math.min(bitmap.width, bitmap.height) < MIN_SIDE) { bitmap.close(); throw new NoPicture('is too small to show a leaf') }
  return {bitmap, kind}
}

// ---- how a line of pixels becomes a shorter or a longer one

export const BICUBIC = {support: 2, at(x) {
  x = Math.abs(x)
  return x < 1 ? (1.5*x - 2.5)*x*x + 1 : x < 2 ? ((-.5*x + 2.5)*x - 4)*x + 2 : 0
}}
export const BILINEAR = {support: 1, at: x => Math.max(0, 1 - Math.abs(x))}

// For each of `size` new pixels: the first old one it is made of, and the weights of that and the next ones. The filter is as wide as what is lost.
// The new ones are made of `from` old pixels, from `start` on; beside an edge within the picture, `all` pixels long, the filter looks over it.
export function weights(from, size, filter, start = 0, all = from) {
  const scale = from/size, wide = Math.max(scale, 1), reach = filter.support*wide
  return Array.from({length: size}, (_, i) => {
    const middle = start + (i + .5)*scale, first = Math.max(0, Math.trunc(middle - reach + .5)), end = Math.min(all, Math.trunc(middle + reach + .5))
    const found = Array.from({length: end - first}, (_, k) => filter.at((first + k - middle + .5)/wide)), sum = found.reduce((a, b) => a + b, 0)
    return {first, weights: found.map(w => w/sum)}
  })
}

const BITS = 1 << 22 // Pillow's weights are whole numbers of this
const whole = lines => lines.map(({first, weights}) => ({first, weights: weights.map(w => Math.trunc(w*BITS + (w < 0 ? -.5 : .5)))}))
const byte = sum => sum < 0 ? 0 : Math.min(255, Math.floor((sum + BITS/2)/BITS))

// ---- a photograph, some rows at a time

// As numpy and Python round: half to even.
const rounded = x => Math.abs(x % 1) === .5 ? 2*Math.round(x/2) : Math.round(x)

// A JPEG is decoded by Pillow at a half, a quarter or an eighth where that leaves twice the pixels wanted; the mean of so many is nearly that.
function shrinkOf(kind, width, height, size) {
  const times = Math.floor(Math.min(width, height)/(2*size))
  if (kind === 'JPEG') return [8, 4, 2].find(s => times >= s) || 1
  return width*height > LARGE ? Math.max(1, times) : 1
}

// Reads rows of RGB out of a bitmap, every shrink x shrink of its pixels as their mean.
function reader(bitmap, shrink, left, width) {
  const across = Math.min(width*shrink, bitmap.width - left*shrink), canvas = new OffscreenCanvas(across, ROWS*shrink)
  const context = canvas.getContext('2d', {willReadFrequently: true, alpha: false})
  context.imageSmoothingEnabled = false
  return (top, rows) => {
    const high = Math.min(rows*shrink, bitmap.height - top*shrink)
    context.fillStyle = 'white'
    context.fillRect(0, 0, across, high)
    context.drawImage(bitmap, left*shrink, top*shrink, across, high, 0, 0, across, high)
    const seen = context.getImageData(0, 0, across, high).data, out = new Uint8ClampedArray(width*rows*3)
    for (let y = 0, o = 0; y < rows; y++) for (let x = 0; x < width; x++) for (let c = 0; c < 3; c++, o++) {
      if (shrink === 1) { out[o] = seen[(y*across + x)*4 + c]; continue }
      const y1 = Math.min((y + 1)*shrink, high), x1 = Math.min((x + 1)*shrink, across)
      let sum = 0
      for (let v = y*shrink; v < y1; v++) for (let u = x*shrink; u < x1; u++) sum += seen[(v*across + u)*4 + c]
      out[o] = sum/((y1 - y*shrink)*(x1 - x*shrink)) + .5 | 0
    }
    return out
  }
}

const middle = (whole, part) => Math.floor((whole - part)/2)

// Which of `from` old pixels, from `start` on, the `size` middle ones of `to` new pixels are made of.
function lineOf(from, start, to, size) {
  const off = middle(to, size)
  if (from === to) return {first: start + off, end: start + off + size, made: null}
  return madeOf(weights(from, to, BICUBIC).slice(off, off + size), start)
}

function madeOf(lines, start) {
  const made = whole(lines), last = made.at(-1), first = made[0].first, end = Math.max(...made.map(m => m.first + m.weights.length), last.first)
  return {first: start + first, end: start + end, made: made.map(m => ({...m, first: m.first - first}))}
}

// A part of a bitmap as (size, size, 3) bytes: along the rows first, then along the columns, as Pillow does it.
function resampled(bitmap, shrink, x, y, size) {
  const inside = x.end - x.first, read = reader(bitmap, shrink, x.first, inside)
  const lines = new Uint8Array((y.end - y.first)*size*3)
  for (let top = y.first; top < y.end; top += ROWS) {
    const rows = Math.min(ROWS, y.end - top), pixels = read(top, rows)
    for (let r = 0, o = (top - y.first)*size*3; r < rows; r++) for (let i = 0; i < size; i++) for (let c = 0; c < 3; c++, o++)
      lines[o] = x.made ? along(pixels, (r*inside + x.made[i].first)*3 + c, 3, x.made[i].weights) : pixels[(r*inside + i)*3 + c]
  }
  if (!y.made) return lines
  const out = new Uint8Array(size*size*3)
  for (let i = 0, o = 0; i < size; i++) for (let k = 0; k < size*3; k++, o++) out[o] = along(lines, y.made[i].first*size*3 + k, size*3, y.made[i].weights)
  return out
}

const sides = (bitmap, shrink) => [bitmap.width, bitmap.height].map(side => Math.ceil(side/shrink))

// The middle of a bitmap; `near`: the side for which a large photograph would have been decoded.
export function squareOf(bitmap, kind, size, near = size) {
  const shrink = shrinkOf(kind, bitmap.width, bitmap.height, near), [width, height] = sides(bitmap, shrink), short = Math.min(width, height)
  const [wide, high] = [width, height].map(side => Math.min(side, LONGEST*short)), scale = size/short
  const [across, down] = [wide, high].map(side => scale === 1 ? side : Math.max(size, rounded(side*scale)))
  return resampled(bitmap, shrink, lineOf(wide, middle(width, wide), across, size), lineOf(high, middle(height, high), down, size), size)
}

// Four windows, one in each corner, `share` of the shorter side wide: plantnb.looks.
export function windowsOf(bitmap, kind, size, near, share) {
  const shrink = shrinkOf(kind, bitmap.width, bitmap.height, near), [width, height] = sides(bitmap, shrink), side = rounded(share*Math.min(width, height))
  const line = (all, start) => madeOf(weights(side, size, BICUBIC, start, all), 0)
  return [0, height - side].flatMap(top => [0, width - side].map(left => resampled(bitmap, shrink, line(width, left), line(height, top), size)))
}

function along(values, start, step, weights) {
  let sum = 0
  for (let k = 0, at = start; k < weights.length; k++, at += step) sum += weights[k]*values[at]
  return byte(sum)
}

// A file as looks, {size, pixels: (size, size, 3) bytes} each: the whole, and the windows of a `closer` look. Throws NoPicture, which says in a line what is wrong with it.
export async function prepared(file, size, closer) {
  const {bitmap, kind} = await opened(file), small = closer && rounded(closer.small*size), near = closer ? rounded(small/closer.share) : size
  try {
    const windows = closer ? windowsOf(bitmap, kind, small, near, closer.share) : []
    return [{size, pixels: squareOf(bitmap, kind, size, near)}, ...windows.map(pixels => ({size: small, pixels}))]
  } finally { bitmap.close() }
}
