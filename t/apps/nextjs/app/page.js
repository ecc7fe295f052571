// SPDX-License-Identifier: Apache-2.0
import Link from 'next/link'
import { edition } from '../lib/articles'

export const revalidate = 60

export default function Home() {
  const all = Array.from({ length: 48 }, (_, i) => i + 1)
  return (
    <main>
      <h1>Articles</h1>
      <ul>{all.map((n) => <li key={n}><Link href={`/articles/${n}`}>Article {n}</Link></li>)}</ul>
      <p>Article 3: {edition(3)} edition</p>
    </main>
  )
}
