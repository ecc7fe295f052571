// SPDX-License-Identifier: Apache-2.0
import { cookies } from 'next/headers'

export default async function Account() {
  const user = (await cookies()).get('session')?.value
  return <main><h1>Account</h1><p>{user ? `Signed in as Private-${user}` : 'Not signed in'}</p></main>
}
