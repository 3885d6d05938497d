// What a reader does on the page, and what it shows. The network is in worker.js; nothing here or there asks for anything once it is loaded.

import {VERDICTS, band, verdicts} from './verdict.js'

const MOST = 100 // photographs on the page
const find = name => document.getElementById(`try-${name}`)
const status = find('status')

// ---- the network, in a worker that is started from within the page, so that the page's policy holds for it too

const url = new URL('worker.js', import.meta.url).href
const worker = new Worker(URL.createObjectURL(new Blob([`import ${JSON.stringify(url)}`], {type: 'text/javascript'})), {type: 'module'})
const waiting = new Map()
let numbers = null, count = 0

function ask(kind, what) {
  return new Promise(done => {
    waiting.set(++count, done)
    worker.postMessage({id: count, kind, ...what})
  })
}

function broken(why) {
  status.className = 'broken'
  status.textContent = `The network cannot run in this browser; a newer one may help. (${why})`
}

// For when there is no connection: all that is here is kept. What cannot be kept changes nothing else.
function keep() {
  const at = file => new URL(`../${file}`, import.meta.url)
  navigator.serviceWorker?.register(at('try-offline.js').href, {scope: at('try.html').pathname}).catch(() => {})
}

worker.onmessage = ({data}) => {
  if (data.kind === 'broken') return broken(data.why)
  if (data.kind === 'ready') {
    numbers = data.numbers
    document.body.dataset.try = 'ready'
    if (!leaves.length) status.textContent = 'Ready.'
    return keep()
  }
  waiting.get(data.id)?.(data)
  waiting.delete(data.id)
}
worker.onerror = e => { if (!numbers) broken(e.message || 'its program could not be loaded') }

// ---- what is on the page: {name, answer, card} of each photograph, and a line of each file that is none

let leaves = [], problems = [], left = 0, round = 0, busy = Promise.resolve()

const element = (tag, className, text = '') => Object.assign(document.createElement(tag), {className, textContent: text})

function drawn(canvas, size, rgba) {
  canvas.width = canvas.height = size
  canvas.getContext('2d').putImageData(new ImageData(rgba, size, size), 0, 0)
}

function withAlpha(pixels) {
  const out = new Uint8ClampedArray(pixels.length/3*4).fill(255)
  for (let i = 0; i < pixels.length/3; i++) for (let c = 0; c < 3; c++) out[4*i + c] = pixels[3*i + c]
  return out
}

function card(leaf) {
  const item = element('li', ''), pictures = element('div', 'try-pictures'), said = element('div', 'try-said')
  const [seen, where] = ['the leaf as the network sees it', 'where it looked'].map(what => {
    const canvas = element('canvas', '')
    canvas.setAttribute('role', 'img')
    canvas.setAttribute('aria-label', `${leaf.name}: ${what}`)
    return canvas
  })
  for (const canvas of [seen, where]) drawn(canvas, numbers.size, withAlpha(leaf.answer.pixels))
  where.classList.add('waiting')
  pictures.append(seen, where)
  const verdict = element('p', 'try-verdict'), scale = element('div', 'try-scale')
  verdict.append(element('span', ''), element('span', ''))
  scale.setAttribute('aria-hidden', 'true')
  scale.append(element('i', ''), element('b', ''))
  said.append(verdict, scale, element('p', 'try-name', leaf.name))
  item.append(pictures, said)
  find('leaves').append(item)
  return {item, where, verdict, scale}
}

const percent = p => p > .995 && p < 1 ? 'over 99 %' : p < .005 && p > 0 ? 'under 1 %' : `${Math.round(100*p)} %`
const capital = s => s[0].toUpperCase() + s.slice(1)

function judge() {
  const together = find('together').checked, [low, high] = band(together ? numbers.unlabelled : numbers.rule)
  verdicts(leaves.map(l => l.answer), numbers, together).forEach((v, i) => {
    const {item, verdict, scale} = leaves[i].card, [what, how] = verdict.children, [unsure, at] = scale.children
    Object.assign(leaves[i], v)
    item.className = v.decision.replace(' ', '-')
    what.textContent = capital(v.decision)
    how.textContent = v.decision === 'no leaf' ? 'no verdict' : `diseased: ${percent(v.score)}`
    Object.assign(unsure.style, {left: `${100*low}%`, width: `${100*(Math.min(high, 1) - low)}%`})
    at.style.left = `${100*v.score}%`
  })
}

function said() {
  const times = VERDICTS.map(v => [leaves.filter(l => l.decision === v).length, v]).filter(([n]) => n).map(([n, v]) => `${n} ${v}`)
  if (problems.length) times.push(`${problems.length} not looked at`)
  const n = leaves.length + problems.length
  return `${n} photograph${n === 1 ? '' : 's'}: ${times.join(', ')}.`
}

function problem(name, why) {
  problems.push({name, why})
  find('problems').append(element('li', '', `${name}: ${why}`))
}

function shown() {
  const some = leaves.length + problems.length > 0
  find('bar').hidden = !some
  find('legend').hidden = !leaves.length
  find('again').disabled = !some
  find('together').disabled = !numbers?.unlabelled
}

// ---- photographs in, one after another: first a verdict for each, then where it looked

async function look(files) {
  const mine = round, fresh = [], wanted = [...files], room = Math.max(0, MOST - leaves.length - left)
  for (const file of wanted.slice(room)) problem(file.name, `is one too many: ${MOST} at a time; the command plantnb_predict takes any number`)
  const taken = wanted.slice(0, room)
  left += taken.length
  shown()
  unsaid()
  busy = busy.then(async () => {
    for (const [i, file] of taken.entries()) {
      if (mine !== round) return
      status.textContent = numbers ? `Looking at ${i + 1} of ${taken.length} …` : status.textContent
      const answer = await ask('answer', {file})
      if (mine !== round) return
      left--
      if (answer.error) problem(file.name, answer.error)
      else {
        const leaf = {name: file.name, answer}
        leaf.card = card(leaf)
        leaves.push(leaf)
        fresh.push(leaf)
        if (!find('together').checked) judge()
      }
      shown()
    }
    if (leaves.length) judge()
    status.textContent = said()
    document.body.dataset.trySaid = leaves.length + problems.length
    for (const leaf of fresh) {
      const {overlay, error} = await ask('where', {pixels: leaf.answer.pixels})
      if (mine !== round) return
      if (!error) drawn(leaf.card.where, numbers.size, overlay)
      leaf.card.where.classList.remove('waiting')
    }
    document.body.dataset.tryDone = leaves.length + problems.length
  })
}

// For whoever asks the page by a program: all answers are there (try-said), all maps too (try-done).
function unsaid() { for (const what of ['trySaid', 'tryDone']) delete document.body.dataset[what] }

function again() {
  round++
  leaves = []
  problems = []
  left = 0
  for (const name of ['leaves', 'problems']) find(name).replaceChildren()
  find('together').checked = false
  unsaid()
  status.textContent = 'Ready.'
  shown()
  find('files').focus()
}

// ---- the table: the columns of plantnb_predict --csv

const cell = text => /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text
const plain = name => /^[=+\-@\t\r]/.test(name) ? `'${name}` : name // no spreadsheet takes a name for a formula

function table() {
  const rows = [['filename', 'score', 'decision', 'error'],
    ...leaves.map(l => [plain(l.name), l.score.toFixed(6), l.decision, '']), ...problems.map(p => [plain(p.name), '', '', p.why])]
  return rows.map(row => row.map(cell).join(',') + '\n').join('')
}

function save() {
  const link = Object.assign(document.createElement('a'), {href: URL.createObjectURL(new Blob([table()], {type: 'text/csv'})), download: 'leaves.csv'})
  link.click()
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000)
}

// ---- hands on it

for (const name of ['files', 'camera']) find(name).addEventListener('change', e => {
  if (e.target.files.length) look(e.target.files)
  e.target.value = ''
})
find('together').addEventListener('change', () => {
  if (!leaves.length) return
  judge()
  status.textContent = said()
})
find('csv').addEventListener('click', save)
find('again').addEventListener('click', again)

const drop = find('drop'), holdsFiles = e => e.dataTransfer?.types.includes('Files')
for (const [name, over] of [['dragover', true], ['dragleave', false], ['drop', false]]) document.addEventListener(name, e => {
  if (!holdsFiles(e)) return
  e.preventDefault() // a photograph that misses the field does not take the place of the page
  drop.classList.toggle('over', over)
  if (name === 'drop') look(e.dataTransfer.files)
})
