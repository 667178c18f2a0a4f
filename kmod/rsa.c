// SPDX-License-Identifier: GPL-2.0-only
/*
 * RSA-3072 with a private key of our own: making it (FIPS 186-5, A.1.3) and
 * using it (RFC 8017, 5.1.2)
 *
 * MPIs do not take constant time.  So what they work on is blinded, anew each
 * time: the base by r^e, where r is random, and the exponents by a random multiple
 * of the order.  1 / r needs no division: modulo a prime p it is r^(p - 2).  The
 * blinding is taken off last, modulo n: a sender can know the result, and its
 * residues modulo p and q would tell him how it compares with them.
 *
 * On 6.1 most operations neither return that memory ran out nor bear it; so what
 * they write to is large enough from the start.
 */

#include <crypto/algapi.h>
#include <linux/err.h>
#include <linux/minmax.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "vr.h"

/* One prime p of a key, and what it takes to compute modulo p. */
struct half {
	MPI p;
	MPI order;		/* p - 1 */
	MPI d;			/* 1 / e modulo the order */
	MPI invert;		/* p - 2 */
};

/* References: one of whoever made it, and those of vr_rsa_get(). */
struct vr_rsa {
	refcount_t refs;
	MPI n, e;
	struct half p, q;
	MPI q_inverse;		/* modulo p */
	MPI q_minus;		/* p - q_inverse */
};

/* Room for a product of two numbers below n. */
static MPI number(void)
{
	return mpi_alloc(2 * VR_RSA_SIZE / sizeof(mpi_limb_t) + 1);
}

static void half_free(struct half *half)
{
	mpi_free(half->p);
	mpi_free(half->order);
	mpi_free(half->d);
	mpi_free(half->invert);
}

struct vr_rsa *vr_rsa_get(struct vr_rsa *rsa)
{
	refcount_inc(&rsa->refs);
	return rsa;
}

/* In a task; NULL is none. */
void vr_rsa_put(struct vr_rsa *rsa)
{
	if (!rsa || !refcount_dec_and_test(&rsa->refs))
		return;
	/* mpi_free() wipes. */
	mpi_free(rsa->n);
	mpi_free(rsa->e);
	half_free(&rsa->p);
	half_free(&rsa->q);
	mpi_free(rsa->q_inverse);
	mpi_free(rsa->q_minus);
	kfree_sensitive(rsa);
}

void vr_rsa_modulus(const struct vr_rsa *rsa, u8 n[VR_RSA_SIZE])
{
	vr_mpi_write(rsa->n, n, VR_RSA_SIZE);
}

/* Both halves of the secret; whoever has them wipes them. */
void vr_rsa_primes(const struct vr_rsa *rsa, u8 p[VR_RSA_PRIME_SIZE],
		   u8 q[VR_RSA_PRIME_SIZE])
{
	vr_mpi_write(rsa->p.p, p, VR_RSA_PRIME_SIZE);
	vr_mpi_write(rsa->q.p, q, VR_RSA_PRIME_SIZE);
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
	half->invert = number();
	if (!half->p || !half->order || !half->d || !half->invert)
		return -ENOMEM;
	return mpi_sub_ui(half->invert, half->p, 2);
}

/*
 * So far apart that n cannot be factored from its root: the standard wants
 * 2^(nlen / 2 - 100) at least, and this is 2^(nlen / 2 - 64) or more.
 */
static bool far_apart(const u8 *p, const u8 *q)
{
	u64 x = get_unaligned_be64(p), y = get_unaligned_be64(q);

	return max(x, y) - min(x, y) > 1;
}

static int draw_halves(struct vr_rsa *rsa, const bool *stop,
		       unsigned int *tried)
{
	struct vr_primes *primes = vr_primes_alloc();
	u8 p[VR_RSA_PRIME_SIZE], q[VR_RSA_PRIME_SIZE];
	int err = -ENOMEM;

	if (primes)
		err = vr_prime_draw(primes, stop, p, tried);
	do
		err = err ?: vr_prime_draw(primes, stop, q, tried);
	while (!err && !far_apart(p, q));
	err = err ?: make_half(&rsa->p, p) ?: make_half(&rsa->q, q);
	memzero_explicit(p, sizeof(p));
	memzero_explicit(q, sizeof(q));
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
	rsa->n = number();
	rsa->q_inverse = number();
	rsa->q_minus = number();
	if (!rsa->e || !rsa->n || !rsa->q_inverse || !rsa->q_minus)
		return -ENOMEM;
	return vr_mpi_call(mpi_mul(rsa->n, rsa->p.p, rsa->q.p)) ?:
	       mpi_powm(rsa->q_inverse, rsa->q.p, rsa->p.invert, rsa->p.p) ?:
	       vr_mpi_call(mpi_sub(rsa->q_minus, rsa->p.p, rsa->q_inverse));
}

/* What is encrypted must come back (SP 800-56B, 6.4.1.1). */
static int check_pair(const struct vr_rsa *rsa)
{
	u8 *in = kmalloc(VR_RSA_SIZE, GFP_KERNEL);
	u8 *out = kmalloc(VR_RSA_SIZE, GFP_KERNEL);
	MPI m = vr_mpi_random(VR_RSA_SIZE), c = number();
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

static struct vr_rsa *rsa_alloc(void)
{
	struct vr_rsa *rsa = kzalloc(sizeof(*rsa), GFP_KERNEL);

	if (rsa)
		refcount_set(&rsa->refs, 1);
	return rsa;
}

/*
 * A new key.  Takes some tenths of a second, much more under emulation, and ends
 * soon after @stop is set, with -EINTR.  @tried gets how many candidates took a
 * primality test.
 */
struct vr_rsa *vr_rsa_make(const bool *stop, unsigned int *tried)
{
	struct vr_rsa *rsa = rsa_alloc();
	int err;

	*tried = 0;
	if (!rsa)
		return ERR_PTR(-ENOMEM);
	err = wait_for_random_bytes() ?: draw_halves(rsa, stop, tried) ?:
	      finish(rsa) ?: check_pair(rsa);
	if (!err)
		return rsa;
	vr_rsa_put(rsa);
	return ERR_PTR(err);
}

static bool right_size(const u8 be[VR_RSA_PRIME_SIZE])
{
	return be[0] & 0x80 && be[VR_RSA_PRIME_SIZE - 1] & 1;
}

static int check_modulus(const struct vr_rsa *rsa, const u8 n[VR_RSA_SIZE])
{
	u8 product[VR_RSA_SIZE];

	vr_rsa_modulus(rsa, product);
	return n[0] & 0x80 && !memcmp(product, n, VR_RSA_SIZE) ?
	       0 : -EKEYREJECTED;
}

/*
 * The key of these primes, which it overwrites, if @n is their product.  That
 * they are prime is not tested anew, but that they make a key that works.
 * -EKEYREJECTED: they do not.
 */
struct vr_rsa *vr_rsa_load(u8 p[VR_RSA_PRIME_SIZE], u8 q[VR_RSA_PRIME_SIZE],
			   const u8 n[VR_RSA_SIZE])
{
	struct vr_rsa *rsa;
	int err;

	if (!right_size(p) || !right_size(q))
		return ERR_PTR(-EKEYREJECTED);
	rsa = rsa_alloc();
	if (!rsa)
		return ERR_PTR(-ENOMEM);
	err = make_half(&rsa->p, p) ?: make_half(&rsa->q, q) ?: finish(rsa) ?:
	      check_modulus(rsa, n) ?: check_pair(rsa);
	if (!err)
		return rsa;
	vr_rsa_put(rsa);
	return ERR_PTR(err == -ENOMEM ? err : -EKEYREJECTED);
}

/*
 * Using
 */

/* @base ^ @exponent modulo the half's prime, the exponent blinded */
static int power(MPI out, MPI base, MPI exponent, const struct half *half)
{
	MPI k = vr_mpi_random(sizeof(u64)), blinded = number();
	int err = -ENOMEM;

	if (k && blinded)
		err = vr_mpi_call(mpi_mul(blinded, k, half->order)) ?:
		      vr_mpi_call(mpi_add(blinded, blinded, exponent)) ?:
		      mpi_powm(out, base, blinded, half->p);
	mpi_free(k);
	mpi_free(blinded);
	return err;
}

/*
 * What is @x modulo p and @y modulo q, modulo n: y + q * ((x - y) / q mod p).
 * Neither may be what a sender can choose.
 */
static int combine(const struct vr_rsa *rsa, MPI x, MPI y, MPI out)
{
	MPI a = number(), b = number(), h = number();
	int err = -ENOMEM;

	if (a && b && h)
		err = vr_mpi_call(mpi_mulm(a, x, rsa->q_inverse, rsa->p.p)) ?:
		      vr_mpi_call(mpi_mulm(b, y, rsa->q_minus, rsa->p.p)) ?:
		      vr_mpi_call(mpi_addm(h, a, b, rsa->p.p)) ?:
		      vr_mpi_call(mpi_mul(out, h, rsa->q.p)) ?:
		      vr_mpi_call(mpi_add(out, out, y));
	mpi_free(a);
	mpi_free(b);
	mpi_free(h);
	return err;
}

/* @out = @base ^ @p modulo p, and ^ @q modulo q */
static int power_by_halves(const struct vr_rsa *rsa, MPI base, MPI p, MPI q,
			   MPI out)
{
	MPI x = number(), y = number();
	int err = -ENOMEM;

	if (x && y)
		err = power(x, base, p, &rsa->p) ?:
		      power(y, base, q, &rsa->q) ?: combine(rsa, x, y, out);
	mpi_free(x);
	mpi_free(y);
	return err;
}

/* @c ^ d modulo n, by way of (@c * r^e)^d / r with a new r */
static int decrypt(const struct vr_rsa *rsa, MPI c, MPI out)
{
	MPI r = vr_mpi_random(VR_RSA_SIZE), a = number(), b = number();
	int err = -ENOMEM;

	if (r && a && b)
		err = mpi_powm(a, r, rsa->e, rsa->n) ?:
		      vr_mpi_call(mpi_mulm(b, c, a, rsa->n)) ?:
		      power_by_halves(rsa, b, rsa->p.d, rsa->q.d, a) ?:
		      power_by_halves(rsa, r, rsa->p.invert, rsa->q.invert,
				      b) ?:
		      vr_mpi_call(mpi_mulm(out, a, b, rsa->n));
	mpi_free(r);
	mpi_free(a);
	mpi_free(b);
	return err;
}

/*
 * RSADP: @in ^ d modulo n.  -EKEYREJECTED: not a number from 2 to n - 2, which
 * everybody can see.
 */
int vr_rsa_private(const struct vr_rsa *rsa, const u8 in[VR_RSA_SIZE],
		   u8 out[VR_RSA_SIZE])
{
	MPI c, less, m;
	int err = -ENOMEM;

	/* Not all MPIs can be 0. */
	if (!memchr_inv(in, 0, VR_RSA_SIZE))
		return -EKEYREJECTED;
	c = mpi_read_raw_data(in, VR_RSA_SIZE);
	less = number();
	m = number();
	if (c && less && m)
		err = mpi_sub_ui(less, rsa->n, 1);
	if (!err && (mpi_cmp_ui(c, 2) < 0 || mpi_cmp(c, less) >= 0))
		err = -EKEYREJECTED;
	err = err ?: decrypt(rsa, c, m);
	if (!err)
		vr_mpi_write(m, out, VR_RSA_SIZE);
	mpi_free(c);
	mpi_free(less);
	mpi_free(m);
	return err;
}
