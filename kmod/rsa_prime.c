// SPDX-License-Identifier: GPL-2.0-only
/*
 * Random probable primes for RSA (FIPS 186-5, A.1.3 and B.3)
 *
 * In the terms of the standard: nlen is 3072, so a prime has 1536 bits, and 4
 * rounds of Miller-Rabin let a composite pass once in 2^128 (table B.1).  What
 * divides by a small prime is sorted out first.
 */

#include <linux/err.h>
#include <linux/math64.h>
#include <linux/random.h>
#include <linux/sched.h>
#include <linux/slab.h>

#include "vr.h"

#define ROUNDS		4
#define SMALL_LIMIT	8192	/* beyond it dividing costs more than it saves */
#define SMALL_COUNT	1027	/* odd primes below it */
#define TRIES		(5 * 8 * VR_RSA_SIZE)

/* The top 64 bits of the square root of 2, scaled; so n has its top bit set. */
#define SQRT2_TOP	0xb504f333f9de6484ULL

struct vr_primes {
	unsigned int count;
	u16 small[SMALL_COUNT];
};

struct vr_primes *vr_primes_alloc(void)
{
	struct vr_primes *primes = kzalloc(sizeof(*primes), GFP_KERNEL);
	unsigned int n, i;

	if (!primes)
		return NULL;
	for (n = 3; n < SMALL_LIMIT; n += 2) {
		for (i = 0; i < primes->count; i++)
			if (primes->small[i] * primes->small[i] > n ||
			    n % primes->small[i] == 0)
				break;
		if (i < primes->count && n % primes->small[i] == 0)
			continue;
		if (WARN_ON_ONCE(primes->count == SMALL_COUNT))
			break;
		primes->small[primes->count++] = n;
	}
	return primes;
}

/* A prime's bytes modulo a small number. */
u32 vr_prime_mod(const u8 be[VR_RSA_PRIME_SIZE], u32 by)
{
	unsigned int i;
	u64 value = 0;

	for (i = 0; i < VR_RSA_PRIME_SIZE; i += 4) {
		value = value << 32 | get_unaligned_be32(be + i);
		value = do_div(value, by);
	}
	return value;
}

static bool divides(const struct vr_primes *primes, const u8 *be)
{
	unsigned int i;

	for (i = 0; i < primes->count; i++)
		if (!vr_prime_mod(be, primes->small[i]))
			return true;
	return false;
}

/* What a test of one candidate w works with: w - 1 = m * 2^a */
struct test {
	MPI w, less, m, b, z, t;
	unsigned int a;
};

static void test_free(struct test *t)
{
	mpi_free(t->w);
	mpi_free(t->less);
	mpi_free(t->m);
	mpi_free(t->b);
	mpi_free(t->z);
	mpi_free(t->t);
}

static int test_init(struct test *t, const u8 be[VR_RSA_PRIME_SIZE])
{
	int err;

	memset(t, 0, sizeof(*t));
	t->w = mpi_read_raw_data(be, VR_RSA_PRIME_SIZE);
	t->less = mpi_alloc(0);
	t->m = mpi_alloc(0);
	t->z = mpi_alloc(0);
	t->t = mpi_alloc(0);
	if (!t->w || !t->less || !t->m || !t->z || !t->t)
		return -ENOMEM;
	err = mpi_sub_ui(t->less, t->w, 1);
	while (!err && !mpi_test_bit(t->less, t->a))
		t->a++;
	return err ?: vr_mpi_call(mpi_rshift(t->m, t->less, t->a));
}

/* b, between 1 and w - 1; w has its top bit set. */
static int draw_base(struct test *t)
{
	do {
		mpi_free(t->b);
		t->b = vr_mpi_random(VR_RSA_PRIME_SIZE);
		if (!t->b)
			return -ENOMEM;
	} while (mpi_cmp_ui(t->b, 1) <= 0);
	return 0;
}

/* 1: this base does not show that w is composite. */
static int passes(struct test *t)
{
	unsigned int j;
	int err;

	err = draw_base(t) ?: mpi_powm(t->z, t->b, t->m, t->w);
	if (err || !mpi_cmp_ui(t->z, 1) || !mpi_cmp(t->z, t->less))
		return err ?: 1;
	for (j = 1; j < t->a; j++) {
		err = vr_mpi_call(mpi_mulm(t->t, t->z, t->z, t->w));
		if (err)
			return err;
		swap(t->z, t->t);
		if (!mpi_cmp(t->z, t->less))
			return 1;
		if (!mpi_cmp_ui(t->z, 1))
			return 0;
	}
	return 0;
}

/* 1: probably */
static int is_prime(const u8 be[VR_RSA_PRIME_SIZE])
{
	struct test t;
	int i, ret;

	ret = test_init(&t, be);
	for (i = 0; !ret && i < ROUNDS; i++) {
		ret = passes(&t);
		if (ret <= 0)
			break;
		ret = i == ROUNDS - 1;
	}
	test_free(&t);
	return ret;
}

/*
 * Draw a prime p of which p - 1 has no factor in common with e.  -EINTR: @stop
 * was set; -EIO: there was none in as many tries as the standard allows.
 */
int vr_prime_draw(const struct vr_primes *primes, const bool *stop,
		  u8 be[VR_RSA_PRIME_SIZE], unsigned int *tried)
{
	unsigned int i;
	int ret = 0;

	for (i = 0; !ret && i < TRIES; ) {
		cond_resched();
		if (READ_ONCE(*stop))
			return -EINTR;
		get_random_bytes(be, VR_RSA_PRIME_SIZE);
		be[VR_RSA_PRIME_SIZE - 1] |= 1;
		/* Those below the range are not counted (A.1.3, 4.4). */
		if (get_unaligned_be64(be) <= SQRT2_TOP)
			continue;
		i++;
		/* e is a prime, too. */
		if (vr_prime_mod(be, VR_RSA_E) == 1 || divides(primes, be))
			continue;
		ret = is_prime(be);
		++*tried;
	}
	if (ret <= 0)
		memzero_explicit(be, VR_RSA_PRIME_SIZE);
	return ret > 0 ? 0 : ret ?: -EIO;
}
