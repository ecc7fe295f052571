// SPDX-License-Identifier: Apache-2.0
import { cookies } from 'next/headers'
import { revalidatePath } from 'next/cache'
import { edit } from '../../../../lib/articles'
import { purge } from '../../../../lib/purge'

export async function POST(request, { params }) {
  const { n } = await params
  if ((await cookies()).get('session')?.value !== 'ave') return new Response('no', { status: 403 })
  edit(n, (await request.formData()).get('edition'))
  revalidatePath(`/articles/${n}`)
  revalidatePath('/')
  await purge(`/articles/${n}`, '/')
  return Response.json({ saved: n })
}
