/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file base/version.h
 * The version, in the one place where it stands: the Makefile, the packages and
 * t/90-guards.t read this line.
 */
#ifndef DEVCACHE_BASE_VERSION_H
#define DEVCACHE_BASE_VERSION_H

#define DEVCACHE_VERSION "0.9.0"

#endif
