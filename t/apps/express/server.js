// SPDX-License-Identifier: Apache-2.0
// A small shop: pages for all that say so, a basket and an account for each visitor.
const express = require('express')
const session = require('express-session')

const app = express()
const secret = process.env.SECRET || 'test'
const names = { alice: 'Private-ecila', bob: 'Private-bob', eva: 'Private-ave' }
const editions = {}

app.use(express.urlencoded({ extended: false }))
// saveUninitialized: false, so that only those who have done something get a cookie.
app.use(session({ secret, resave: false, saveUninitialized: false }))

// What the cache has to be told. Pages show who is logged in, so they are for all only where
// nobody is, and depend on the cookie; accounts and baskets are nobody else's business.
app.use((req, res, next) => {
  const mine = req.session.user || req.session.basket || /^\/(account|basket|login)/.test(req.path)
  res.set('Vary', 'Cookie')
  res.set('Cache-Control', mine ? 'private, no-cache' : 'max-age=0, s-maxage=60, stale-while-revalidate=600')
  next()
})

function page(req, title, text) {
  const who = req.session.user ? names[req.session.user] : 'nobody'
  return `<!DOCTYPE html><title>${title}</title><p>Logged in: ${who}. In your basket: ${(req.session.basket || []).join(' ')}</p>
<h1>${title}</h1><p>${text}</p>\n`
}

app.get('/', (req, res) => {
  res.set('Cache-Tag', 'lists')
  res.send(page(req, 'Shop', Array.from({ length: 49 }, (_, i) => `<a href="/products/${i + 1}">${i + 1}</a>`).join(' ')))
})
app.get('/products/:n', (req, res) => {
  res.set('Cache-Tag', `product-${req.params.n}`)
  res.send(page(req, `Product ${req.params.n}`, `${editions[req.params.n] || 'first'} edition` + (req.query.colour ? `, ${req.query.colour}` : '')))
})
app.post('/products/:n', async (req, res) => {
  if (req.session.user !== 'eva') return res.status(403).send('no')
  editions[req.params.n] = req.body.edition
  const purged = await fetch(process.env.DEVCACHE_SERVER, {
    method: 'PURGE', headers: { 'Cache-Tag': `product-${req.params.n} lists` },
  })
  if (!purged.ok) console.error('mod_devcache: not purged:', await purged.text())
  res.send('saved')
})
app.post('/basket', (req, res) => {
  req.session.basket = [...(req.session.basket || []), req.body.item]
  res.redirect(303, '/basket')
})
app.get('/basket', (req, res) => res.send(page(req, 'Basket', (req.session.basket || []).join(', '))))
app.post('/login', (req, res) => req.session.regenerate(() => {
  req.session.user = req.body.user
  res.redirect(303, '/account')
}))
app.post('/logout', (req, res) => req.session.destroy(() => {
  res.clearCookie('connect.sid')
  res.redirect(303, '/')
}))
app.get('/account', (req, res) => res.send(page(req, 'Account', `You are ${names[req.session.user] || 'nobody'}`)))

app.listen(Number(process.env.PORT), '127.0.0.1')
