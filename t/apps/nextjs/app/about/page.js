// SPDX-License-Identifier: Apache-2.0
export default function About() {
  return <main><h1>About</h1><p>The same until the next build.</p></main>
}
