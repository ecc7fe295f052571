// SPDX-License-Identifier: Apache-2.0
// What is regenerated stays in memory: the folder that was built is shared by all runs.
export default { experimental: { isrFlushToDisk: false }, eslint: { ignoreDuringBuilds: true } }
