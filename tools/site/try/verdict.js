// How log-odds become a probability and a verdict, alone or together: plantnb.verdict, in the browser.

export const VERDICTS = ['healthy', 'diseased', 'unsure', 'no leaf']

const dot = (a, b) => a.reduce((sum, v, i) => sum + v*b[i], 0)
const clipped = (x, low, high) => Math.min(high, Math.max(low, x))

export const oddsOf = (embedding, head) => dot(head.weight, embedding) + head.bias
export const showsLeaf = (embedding, guard) => !guard || dot(guard.weight, embedding) + guard.bias >= guard.threshold

export const probability = (odds, rule) => 1/(1 + Math.exp(-clipped(rule.scale*odds + rule.bias, -60, 60)))
export const band = rule => rule.unsure || [rule.threshold, rule.threshold]

export function decide(score, rule) {
  const [low, high] = band(rule)
  return score >= high ? 'diseased' : score < low ? 'healthy' : 'unsure'
}

// Scores and verdicts of leaves {odds, leaf}; `together`: they are of one species, and those that show a leaf say where its healthy ones end.
export function verdicts(answers, numbers, together = false) {
  const rule = together ? numbers.unlabelled : numbers.rule, leaves = answers.filter(a => a.leaf)
  const moved = together && leaves.length ? unlabelled(leaves.map(a => a.odds), rule.shapes) : leaves.map(a => a.odds)
  const at = new Map(leaves.map((a, i) => [a, moved[i]]))
  return answers.map(a => {
    const score = probability(at.has(a) ? at.get(a) : a.odds, rule)
    return {score, decision: a.leaf ? decide(score, rule) : 'no leaf'}
  })
}

// ---- leaves of one species together: two normal distributions, weighed by how well they explain all and by how usual they are

const linspace = (low, high, n) => Array.from({length: n}, (_, i) => low + (high - low)*i/(n - 1))
const normal = (x, mean, spread) => -(((x - mean)/spread)**2)/2 - Math.log(spread)
const logAdd = (a, b) => Math.max(a, b) + Math.log1p(Math.exp(-Math.abs(a - b)))
const gradient = v => v.map((_, i) => (v[Math.min(i + 1, v.length - 1)] - v[Math.max(i - 1, 0)])/(i && i < v.length - 1 ? 2 : 1))

function quantile(sorted, share) {
  const at = share*(sorted.length - 1), below = Math.floor(at), above = Math.min(below + 1, sorted.length - 1)
  return sorted[below] + (sorted[above] - sorted[below])*(at - below)
}

function interpolated(x, grid, values) {
  const step = (grid.at(-1) - grid[0])/(grid.length - 1), at = step ? clipped((x - grid[0])/step, 0, grid.length - 1) : 0, below = Math.min(Math.floor(at), grid.length - 2)
  return values[below] + (values[below + 1] - values[below])*(at - below)
}

const MOST = 500 // leaves that are looked at, evenly spread over all
const SHARES = [.003, .01, .03, .06, .1, .2, .3, .4, .5, .6, .7, .8, .9, .94, .97, .99, .997] // of diseased ones

function* usual(shapes) {
  for (const a of linspace(-2.5, 2.5, 25)) for (const b of linspace(-1.5, 1.5, 7)) for (const c of linspace(-1.5, 1.5, 5)) {
    const [healthy, gap, near, far] = [a, b, c, c].map((move, i) => shapes.mean[i] + shapes.spread[i]*move)
    const wide = Math.exp(gap), narrow = Math.exp(near)
    yield {healthy, diseased: healthy + wide, near: narrow*wide, far: Math.max(Math.exp(far), 1.001*narrow)*wide, gap: wide, unusual: a*a + b*b + c*c}
  }
}

export function unlabelled(odds, shapes) {
  const sorted = [...odds].sort((a, b) => a - b), some = linspace(0, 1, Math.max(2, Math.min(odds.length, MOST))).map(share => quantile(sorted, share))
  if (odds.length === 1) some.pop()
  const kinds = [...usual(shapes)], gap = kinds.reduce((sum, k) => sum + k.gap, 0)/kinds.length, prior = gradient(SHARES).map(Math.log)
  const anywhere = some.map(x => Math.log(.02) + normal(x, shapes.mean[0] + gap/2, 4*gap)) // a leaf in fifty is like neither
  const fits = kinds.map(k => {
    const ill = some.map((x, i) => logAdd(Math.log(.98) + normal(x, k.diseased, k.far), anywhere[i]))
    const well = some.map((x, i) => logAdd(Math.log(.98) + normal(x, k.healthy, k.near), anywhere[i]))
    return SHARES.map((share, j) => some.reduce((sum, _, i) => sum + logAdd(Math.log(share) + ill[i], Math.log(1 - share) + well[i]), 0) - k.unusual/2 + prior[j])
  })
  const best = fits.reduce((most, fit) => Math.max(most, ...fit), -Infinity)
  const weight = fits.map(fit => fit.reduce((sum, f) => sum + Math.exp(f - best), 0)), all = weight.reduce((a, b) => a + b, 0)
  const grid = linspace(sorted[0], sorted.at(-1), 512)
  const moved = grid.map(g => {
    const p = kinds.reduce((sum, k, i) => {
      const turn = (k.healthy/k.near**2 - k.diseased/k.far**2)/(1/k.near**2 - 1/k.far**2), x = Math.max(g, turn) // below it the wider one would win again
      return sum + weight[i]/(1 + Math.exp(Math.min(normal(x, k.healthy, k.near) - normal(x, k.diseased, k.far), 60)))
    }, 0)/all
    const sure = clipped(p, 1e-6, 1 - 1e-6)
    return Math.log(sure/(1 - sure))
  })
  return odds.map(x => interpolated(x, grid, moved))
}
