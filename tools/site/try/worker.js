// Off the page's own thread: opens a photograph, asks the network, says what it said. Messages come in one at a time and are answered in turn.

import * as ort from './runtime/ort.wasm.bundle.min.mjs'
import {NoPicture, prepared} from './picture.js'
import {oddsOf, showsLeaf} from './verdict.js'
import {heat, overlay} from './heat.js'

const here = file => new URL(file, import.meta.url).href
ort.env.wasm.numThreads = 1 // more would need headers that a plain server does not send

async function got(file) {
  const answer = await fetch(here(file))
  if (!answer.ok) throw new Error(`${file}: ${answer.status}`)
  return answer
}

async function loaded() {
  const [numbers, network, binary] = await Promise.all([got('numbers.json').then(a => a.json()),
    ...['network.onnx', 'runtime/ort-wasm-simd-threaded.wasm'].map(file => got(file).then(a => a.arrayBuffer()))])
  ort.env.wasm.wasmBinary = binary
  const session = await ort.InferenceSession.create(new Uint8Array(network), {executionProviders: ['wasm']})
  return {numbers, session}
}

const ready = loaded()
ready.then(({numbers}) => postMessage({kind: 'ready', numbers}), e => postMessage({kind: 'broken', why: String(e.message || e)}))

// (size, size, 3) bytes -> the outputs of the network that are named.
async function asked(session, pixels, size, names) {
  const input = new Float32Array(3*size*size)
  for (let i = 0; i < size*size; i++) for (let c = 0; c < 3; c++) input[c*size*size + i] = pixels[3*i + c]/255
  return session.run({pixels: new ort.Tensor('float32', input, [1, 3, size, size])}, names)
}

async function answer({numbers, session}, file) {
  const looks = await prepared(file, numbers.size, numbers.closer), seen = []
  for (const {pixels, size} of looks) seen.push((await asked(session, pixels, size, ['embedding'])).embedding.data)
  const odds = seen.reduce((sum, embedding) => sum + oddsOf(embedding, numbers.head)/seen.length, 0)
  if (!Number.isFinite(odds)) throw new NoPicture('what the network says of it is no number')
  return {pixels: looks[0].pixels, odds, leaf: showsLeaf(seen[0], numbers.guard)} // whether it is a leaf the whole says
}

async function where({numbers, session}, pixels) {
  const names = session.outputNames.filter(name => name.startsWith('map'))
  const look = async picture => {
    const found = await asked(session, picture, numbers.size, names)
    return names.map(name => ({channels: found[name].dims[1], high: found[name].dims[2], wide: found[name].dims[3], values: found[name].data}))
  }
  return overlay(pixels, await heat(look, numbers.head.weight, pixels, numbers.size))
}

const DOES = {answer: (model, m) => answer(model, m.file), where: async (model, m) => ({overlay: await where(model, m.pixels)})}

// The first look takes several times as long as any other: it is done before somebody waits for it.
let turn = ready.then(({numbers, session}) => asked(session, new Uint8Array(3*numbers.size**2), numbers.size, ['embedding']))
onmessage = ({data}) => {
  turn = turn.then(async () => {
    try { postMessage({id: data.id, ...await DOES[data.kind](await ready, data)}) }
    catch (e) { postMessage({id: data.id, error: e instanceof NoPicture ? e.message : `could not be looked at (${e.message || e})`}) }
  }, () => {})
}
