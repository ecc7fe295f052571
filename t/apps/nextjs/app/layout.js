// SPDX-License-Identifier: Apache-2.0
import Link from 'next/link'

export const metadata = { title: 'Test site' }

export default function Layout({ children }) {
  return (
    <html lang="en">
      <body>
        <Link href="/">Home</Link> <Link href="/account">Account</Link>
        {children}
      </body>
    </html>
  )
}
