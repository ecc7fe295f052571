// SPDX-License-Identifier: Apache-2.0
// Tell mod_devcache what has changed. revalidatePath() is for Next.js's own cache; this is for
// the one in front of it. In docs/applications.md, too.
export async function purge(...paths) {
  for (const path of paths) {
    const answer = await fetch(process.env.DEVCACHE_SERVER + path, { method: 'PURGE', cache: 'no-store' })
    if (!answer.ok) console.error('mod_devcache: not purged:', path, await answer.text())
  }
}
