// SPDX-License-Identifier: Apache-2.0
export async function POST(request) {
  const form = await request.formData()
  return new Response(null, {
    status: 303,
    headers: { Location: '/account', 'Set-Cookie': `session=${form.get('user')}; Path=/; HttpOnly; SameSite=Lax` },
  })
}
