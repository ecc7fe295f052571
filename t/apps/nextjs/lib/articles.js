// SPDX-License-Identifier: Apache-2.0
// The site's articles: a file, so that all workers of the server see an edit.
import fs from 'node:fs'

const file = process.env.ARTICLES || '/tmp/articles.json'

export function edition(n) {
  const edited = fs.existsSync(file) ? JSON.parse(fs.readFileSync(file)) : {}
  return edited[n] || 'first'
}

export function edit(n, text) {
  const edited = fs.existsSync(file) ? JSON.parse(fs.readFileSync(file)) : {}
  fs.writeFileSync(file, JSON.stringify({ ...edited, [n]: text }))
}
