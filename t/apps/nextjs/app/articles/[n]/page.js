// SPDX-License-Identifier: Apache-2.0
import { edition } from '../../../lib/articles'

// Made when first asked for, and again after a minute.
export const revalidate = 60
export const generateStaticParams = () => []

export default async function Article({ params }) {
  const { n } = await params
  return <main><h1>Article {n}</h1><p>{`The text of article ${n}, ${edition(n)} edition.`}</p></main>
}
