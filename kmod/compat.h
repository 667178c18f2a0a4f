/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What differs between the kernels, and the only version tests
 *
 * Kbuild includes this before each file, so that the real code is written for
 * the newest kernel and tests nothing.
 */
#ifndef _VAULTRING_COMPAT_H
#define _VAULTRING_COMPAT_H

#include <linux/version.h>

/* 6.3: a completion gets the data pointer instead of the request */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 3, 0)
#include <linux/crypto.h>
typedef struct crypto_async_request *vr_completion_t;
static inline void *vr_completion_data(vr_completion_t req)
{
	return req->data;
}
#else
typedef void *vr_completion_t;
static inline void *vr_completion_data(vr_completion_t data)
{
	return data;
}
#endif

/* 6.2: pre_doit and post_doit get a split op */
#include <net/genetlink.h>
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 2, 0)
typedef struct genl_ops vr_genl_op_t;
#else
typedef struct genl_split_ops vr_genl_op_t;
#endif

/* 6.4: hex2bin() has a header of its own */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 4, 0)
#include <linux/kernel.h>
#else
#include <linux/hex.h>
#endif

/* 6.12: asm/unaligned.h moved */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 12, 0)
#include <asm/unaligned.h>
#else
#include <linux/unaligned.h>
#endif

/* 7.0: the AES library has a key type that each machine fills in its way */
#include <crypto/aes.h>
#if LINUX_VERSION_CODE < KERNEL_VERSION(7, 0, 0)
#define aes_key crypto_aes_ctx
#define aes_preparekey aes_expandkey
#endif

/*
 * 6.14: the crypto API's tester has forgotten kw(aes), see keywrap.c.  The
 * function is exported; its declaration is in a header of crypto/.
 */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 14, 0)
#define VR_TESTMGR_KNOWS_KW
void crypto_alg_tested(const char *name, int err);
#endif

/* 6.12: modular arithmetic on MPIs can fail for want of memory and says so */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 12, 0)
#define vr_mpi_call(call) ({ call; 0; })
#else
#define vr_mpi_call(call) (call)
#endif

/* 6.13: a timer gets its function when it is set up */
#include <linux/hrtimer.h>
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 13, 0)
static inline void hrtimer_setup(struct hrtimer *timer,
				 enum hrtimer_restart (*function)(struct hrtimer *),
				 clockid_t clock, enum hrtimer_mode mode)
{
	hrtimer_init(timer, clock, mode);
	timer->function = function;
}
#endif

#endif /* _VAULTRING_COMPAT_H */
