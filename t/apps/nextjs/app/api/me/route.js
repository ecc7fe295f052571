// SPDX-License-Identifier: Apache-2.0
import { cookies } from 'next/headers'

export async function GET() {
  const user = (await cookies()).get('session')?.value
  return Response.json({ user: user ? `Private-${user}` : null })
}
