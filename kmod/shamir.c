// SPDX-License-Identifier: GPL-2.0-only
/*
 * Shamir's scheme over GF(2^8): any k of n parts give the secret, k - 1 tell
 * nothing of it (A. Shamir, "How to share a secret", 1979)
 *
 * Each byte of the secret is the value at 0 of a polynomial of degree k - 1 whose
 * other coefficients are random; part i is the values at i.  Field elements are
 * bytes, with the polynomial of AES, x^8 + x^4 + x^3 + x + 1.
 *
 * What is secret is only ever multiplied by what is public: the numbers of the
 * parts.  Eight bytes are handled at once in a word, so that no branch, address
 * or time depends on them.
 */

#include <linux/bits.h>
#include <linux/random.h>

#include "vr.h"

#define VR_WORDS	(VR_SECRET_SIZE / sizeof(u64))

/* Each byte of @v times x. */
static u64 times_x(u64 v)
{
	u64 over = (v >> 7) & 0x0101010101010101ULL;

	/* @over times 0x1b, of which the bytes do not touch each other. */
	return ((v & 0x7f7f7f7f7f7f7f7fULL) << 1) ^ over ^ (over << 1) ^
	       (over << 3) ^ (over << 4);
}

/* Each byte of @v times @factor, which is public. */
static u64 times(u64 v, u8 factor)
{
	u64 product = 0;

	for (; factor; factor >>= 1) {
		if (factor & 1)
			product ^= v;
		v = times_x(v);
	}
	return product;
}

/* Of public numbers. */
static u8 product_of(u8 a, u8 b)
{
	return times(a, b);
}

/* 1 / @a, which is @a to the 254th, 2 + 4 + ... + 128; of public numbers. */
static u8 inverse_of(u8 a)
{
	u8 power = 1;
	unsigned int i;

	for (i = 0; i < 7; i++) {
		a = product_of(a, a);
		power = product_of(power, a);
	}
	return power;
}

/*
 * The values at @x of polynomials of @k coefficients, that of x^0 first: by
 * Horner's rule, all 32 at once.
 */
void vr_shamir_value(const struct vr_part *coefficients, unsigned int k,
		     u8 x, u8 out[VR_SECRET_SIZE])
{
	u64 value[VR_WORDS] = {}, word;
	unsigned int i, j;

	for (i = k; i--; ) {
		for (j = 0; j < VR_WORDS; j++) {
			memcpy(&word, coefficients[i].bytes + 8 * j, sizeof(word));
			value[j] = times(value[j], x) ^ word;
		}
	}
	memcpy(out, value, VR_SECRET_SIZE);
	memzero_explicit(value, sizeof(value));
	memzero_explicit(&word, sizeof(word));
}

/*
 * Split @secret into @n parts of which @k are needed; parts[i] is part i + 1.
 * With @k = 1 each is the secret itself.  The kernel's RNG is ready.
 */
void vr_shamir_split(const u8 secret[VR_SECRET_SIZE], unsigned int k,
		     unsigned int n, struct vr_part *parts)
{
	struct vr_part coefficients[VAULTRING_MAX_SHARES];
	unsigned int i;

	memcpy(coefficients[0].bytes, secret, VR_SECRET_SIZE);
	/* Zeros are as good as any: without them the parts would tell. */
	get_random_bytes(&coefficients[1], (k - 1) * sizeof(*coefficients));
	for (i = 0; i < n; i++)
		vr_shamir_value(coefficients, k, i + 1, parts[i].bytes);
	memzero_explicit(coefficients, sizeof(coefficients));
}

/*
 * What the polynomials of degree below hweight(@set) that go through these parts
 * are at @x; the secret is at 0.  @set has bit i for part i + 1, which is
 * parts[i]; at least one.  By Lagrange's formula.
 */
void vr_shamir_combine(const struct vr_part *parts, unsigned long set,
		       u8 x, u8 out[VR_SECRET_SIZE])
{
	u64 value[VR_WORDS] = {}, word;
	unsigned int i, j;
	u8 weight;

	for (i = 0; i < VAULTRING_MAX_SHARES; i++) {
		if (!(set & BIT(i)))
			continue;
		weight = 1;
		for (j = 0; j < VAULTRING_MAX_SHARES; j++) {
			if (j == i || !(set & BIT(j)))
				continue;
			weight = product_of(weight, x ^ (j + 1));
			weight = product_of(weight,
					    inverse_of((i + 1) ^ (j + 1)));
		}
		for (j = 0; j < VR_WORDS; j++) {
			memcpy(&word, parts[i].bytes + 8 * j, sizeof(word));
			value[j] ^= times(word, weight);
		}
	}
	memcpy(out, value, VR_SECRET_SIZE);
	memzero_explicit(value, sizeof(value));
	memzero_explicit(&word, sizeof(word));
}
