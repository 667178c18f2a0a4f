// SPDX-License-Identifier: GPL-2.0-only
/*
 * RSA-3072 with a private key of our own: making it (FIPS 186-5, A.1.3) and
 * using it (RFC 8017, 5.1.2)
 *
 * mpi_powm() does not take constant time.  So what it is given is blinded, anew
 * each time: the base by r^e, where r is random, and the exponents by a random
 * multiple of the order.  1 / r needs no division: modulo a prime p it is
 * r^(p - 2).
 */

#include <crypto/algapi.h>
#include <linux/err.h>
#include <linux/slab.h>

#include "vr.h"

/* One prime p of a key, and what it takes to compute modulo p. */
struct half {
	MPI p;
	MPI order;		/* p - 1 */
	MPI d;			/* 1 / e modulo the order */
	MPI invert;		/* p - 2 */
};

struct vr_rsa {
	MPI n, e;
	struct half p, q;
	MPI q_inverse;		/* modulo p */
};

static void half_free(struct half *half)
{
	mpi_free(half->p);
	mpi_free(half->order);
	mpi_free(half->d);
	mpi_free(half->invert);
}

void vr_rsa_free(struct vr_rsa *rsa)
{
	if (!rsa)
		return;
	/* mpi_free() wipes. */
	mpi_free(rsa->n);
	mpi_free(rsa->e);
	half_free(&rsa->p);
	half_free(&rsa->q);
	mpi_free(rsa->q_inverse);
	kfree_sensitive(rsa);
}

void vr_rsa_modulus(const struct vr_rsa *rsa, u8 n[VR_RSA_SIZE])
{
	vr_mpi_write(rsa->n, n, VR_RSA_SIZE);
}

/*
 * Making
 */

/* The inverse of a number from 1 to e - 1 modulo e, which is prime. */
static u32 inverse_mod_e(u32 value)
{
	u64 power = value, out = 1;
	u32 exponent;

	for (exponent = VR_RSA_E - 2; exponent; exponent >>= 1) {
		if (exponent & 1)
			out = (u32)out * power % VR_RSA_E;
		power = power * power % VR_RSA_E;
	}
	return out;
}

/*
 * 1 / e modulo @order, which is no multiple of e: (1 + k * @order) / e with the
 * one k below e that makes it an integer.
 */
static MPI inverse_of_e(const u8 order[VR_RSA_PRIME_SIZE])
{
	u32 k = VR_RSA_E - inverse_mod_e(vr_prime_mod(order, VR_RSA_E));
	u8 out[VR_RSA_PRIME_SIZE + 4];
	u64 carry = 1, rest = 0;
	int i;
	MPI d;

	for (i = sizeof(out) - 1; i >= 0; i--) {
		carry += i < 4 ? 0 : (u64)order[i - 4] * k;
		out[i] = carry;
		carry >>= 8;
	}
	for (i = 0; i < sizeof(out); i++) {
		rest = rest << 8 | out[i];
		out[i] = (u32)rest / VR_RSA_E;
		rest = (u32)rest % VR_RSA_E;
	}
	d = mpi_read_raw_data(out, sizeof(out));
	memzero_explicit(out, sizeof(out));
	return d;
}

static int make_half(struct half *half, u8 be[VR_RSA_PRIME_SIZE])
{
	half->p = mpi_read_raw_data(be, VR_RSA_PRIME_SIZE);
	be[VR_RSA_PRIME_SIZE - 1] -= 1;	/* it is odd */
	half->order = mpi_read_raw_data(be, VR_RSA_PRIME_SIZE);
	half->d = inverse_of_e(be);
	half->invert = mpi_alloc(0);
	if (!half->p || !half->order || !half->d || !half->invert)
		return -ENOMEM;
	return mpi_sub_ui(half->invert, half->p, 2);
}

/* So far apart that n cannot be factored from its root: 2^(nlen / 2 - 100). */
static int far_apart(const struct vr_rsa *rsa, bool *far)
{
	MPI d = mpi_alloc(0);
	int err = d ? vr_mpi_call(mpi_sub(d, rsa->p.p, rsa->q.p)) : -ENOMEM;

	*far = !err && mpi_get_nbits(d) > 8 * VR_RSA_PRIME_SIZE - 100 + 1;
	mpi_free(d);
	return err;
}

static int draw_halves(struct vr_rsa *rsa, const bool *stop,
		       unsigned int *tried)
{
	struct vr_primes *primes = vr_primes_alloc();
	u8 be[VR_RSA_PRIME_SIZE];
	bool far = false;
	int err = -ENOMEM;

	if (primes)
		err = vr_prime_draw(primes, stop, be, tried) ?:
		      make_half(&rsa->p, be);
	while (!err && !far) {
		half_free(&rsa->q);
		memset(&rsa->q, 0, sizeof(rsa->q));
		err = vr_prime_draw(primes, stop, be, tried) ?:
		      make_half(&rsa->q, be) ?: far_apart(rsa, &far);
	}
	memzero_explicit(be, sizeof(be));
	kfree(primes);
	return err;
}

/*
 * d is not computed, but is greater than lcm(p - 1, q - 1) / e and so than
 * 2^(nlen / 2), as the standard wants it.
 */
static int finish(struct vr_rsa *rsa)
{
	static const u8 e[] = { VR_RSA_E >> 16, VR_RSA_E >> 8 & 0xff,
				VR_RSA_E & 0xff };

	rsa->e = mpi_read_raw_data(e, sizeof(e));
	rsa->n = mpi_alloc(0);
	rsa->q_inverse = mpi_alloc(0);
	if (!rsa->e || !rsa->n || !rsa->q_inverse)
		return -ENOMEM;
	return vr_mpi_call(mpi_mul(rsa->n, rsa->p.p, rsa->q.p)) ?:
	       mpi_powm(rsa->q_inverse, rsa->q.p, rsa->p.invert, rsa->p.p);
}

/* What is encrypted must come back (SP 800-56B, 6.4.1.1). */
static int check_pair(const struct vr_rsa *rsa)
{
	u8 *in = kmalloc(VR_RSA_SIZE, GFP_KERNEL);
	u8 *out = kmalloc(VR_RSA_SIZE, GFP_KERNEL);
	MPI m = vr_mpi_random(VR_RSA_SIZE), c = mpi_alloc(0);
	int err = -ENOMEM;

	if (in && out && m && c)
		err = mpi_powm(c, m, rsa->e, rsa->n);
	if (!err) {
		vr_mpi_write(c, in, VR_RSA_SIZE);
		err = vr_rsa_private(rsa, in, out);
	}
	if (!err) {
		vr_mpi_write(m, in, VR_RSA_SIZE);
		err = crypto_memneq(in, out, VR_RSA_SIZE) ? -EIO : 0;
	}
	kfree_sensitive(in);
	kfree_sensitive(out);
	mpi_free(m);
	mpi_free(c);
	return err;
}

/*
 * A new key.  Takes some tenths of a second, much more under emulation, and ends
 * soon after @stop is set, with -EINTR.  @tried gets how many candidates took a
 * primality test.
 */
struct vr_rsa *vr_rsa_make(const bool *stop, unsigned int *tried)
{
	struct vr_rsa *rsa = kzalloc(sizeof(*rsa), GFP_KERNEL);
	int err;

	*tried = 0;
	if (!rsa)
		return ERR_PTR(-ENOMEM);
	err = wait_for_random_bytes() ?: draw_halves(rsa, stop, tried) ?:
	      finish(rsa) ?: check_pair(rsa);
	if (!err)
		return rsa;
	vr_rsa_free(rsa);
	return ERR_PTR(err);
}

/*
 * Using
 */

/* @base ^ @exponent modulo the half's prime, the exponent blinded */
static int power(MPI out, MPI base, MPI exponent, const struct half *half)
{
	MPI k = vr_mpi_random(sizeof(u64)), blinded = mpi_alloc(0);
	int err = -ENOMEM;

	if (k && blinded)
		err = vr_mpi_call(mpi_mul(blinded, k, half->order)) ?:
		      vr_mpi_call(mpi_add(blinded, blinded, exponent)) ?:
		      mpi_powm(out, base, blinded, half->p);
	mpi_free(k);
	mpi_free(blinded);
	return err;
}

/* @out = @blinded ^ d / @r modulo the half's prime */
static int half_private(MPI out, MPI blinded, MPI r, const struct half *half)
{
	MPI x = mpi_alloc(0), inverse = mpi_alloc(0);
	int err = -ENOMEM;

	if (x && inverse)
		err = power(x, blinded, half->d, half) ?:
		      power(inverse, r, half->invert, half) ?:
		      vr_mpi_call(mpi_mulm(out, x, inverse, half->p));
	mpi_free(x);
	mpi_free(inverse);
	return err;
}

/* What is @x modulo p and @y modulo q. */
static int combine(const struct vr_rsa *rsa, MPI x, MPI y, u8 *out)
{
	MPI h = mpi_alloc(0), m = mpi_alloc(0);
	int err = -ENOMEM;

	if (h && m)
		err = vr_mpi_call(mpi_subm(m, x, y, rsa->p.p)) ?:
		      vr_mpi_call(mpi_mulm(h, m, rsa->q_inverse, rsa->p.p)) ?:
		      vr_mpi_call(mpi_mul(m, h, rsa->q.p)) ?:
		      vr_mpi_call(mpi_add(m, m, y));
	if (!err)
		vr_mpi_write(m, out, VR_RSA_SIZE);
	mpi_free(h);
	mpi_free(m);
	return err;
}

/* @c * r^e, with a new r */
static int blind(const struct vr_rsa *rsa, MPI c, MPI r, MPI out)
{
	MPI factor = mpi_alloc(0);
	int err = -ENOMEM;

	if (factor)
		err = mpi_powm(factor, r, rsa->e, rsa->n) ?:
		      vr_mpi_call(mpi_mulm(out, c, factor, rsa->n));
	mpi_free(factor);
	return err;
}

/*
 * RSADP: @in ^ d modulo n.  -EKEYREJECTED: not a number from 2 to n - 2, which
 * everybody can see.
 */
int vr_rsa_private(const struct vr_rsa *rsa, const u8 in[VR_RSA_SIZE],
		   u8 out[VR_RSA_SIZE])
{
	MPI c = mpi_read_raw_data(in, VR_RSA_SIZE), less = mpi_alloc(0);
	MPI r = vr_mpi_random(VR_RSA_SIZE), blinded = mpi_alloc(0);
	MPI x = mpi_alloc(0), y = mpi_alloc(0);
	int err = -ENOMEM;

	if (c && less && r && blinded && x && y)
		err = mpi_sub_ui(less, rsa->n, 1);
	if (!err && (mpi_cmp_ui(c, 2) < 0 || mpi_cmp(c, less) >= 0))
		err = -EKEYREJECTED;
	err = err ?: blind(rsa, c, r, blinded) ?:
	      half_private(x, blinded, r, &rsa->p) ?:
	      half_private(y, blinded, r, &rsa->q) ?: combine(rsa, x, y, out);
	mpi_free(c);
	mpi_free(less);
	mpi_free(r);
	mpi_free(blinded);
	mpi_free(x);
	mpi_free(y);
	return err;
}
