// SPDX-License-Identifier: GPL-2.0-only
/*
 * The oblivious method: a blinded exchange on P-256 (FIPS 186-4, SEC 1)
 *
 * The vault holds s, the world knows S = s * G.  Whoever makes a share picks c,
 * publishes C = c * G and has the secret x(c * S) without asking anybody.  To
 * get it back, the kernel picks r, has the vault multiply r * C by s and
 * multiplies what comes back by 1 / r: x(s * C).  The daemon and the vault see
 * points that are independent of the secret.  This is the exchange of McCallum
 * and Relyea, blinded by multiplication, which any HSM's plain ECDH can serve.
 *
 * Only x coordinates travel: the ECDH of the crypto API gives no more, nor does
 * PKCS#11's.  A point and its negative have the same x, so either root of the
 * curve's equation will do.
 */

#include <crypto/ecc_curve.h>
#include <crypto/ecdh.h>
#include <crypto/internal/ecc.h>
#include <crypto/kpp.h>
#include <linux/err.h>
#include <linux/mpi.h>
#include <linux/random.h>
#include <linux/scatterlist.h>
#include <linux/slab.h>

#include "vr.h"

#define VR_DIGITS	ECC_CURVE_NIST_P256_DIGITS
#define VR_FIELD_SIZE	32

/* Up to the point: a DER SubjectPublicKeyInfo, uncompressed (RFC 5480, 2.2). */
static const u8 vr_spki_p256[] = {
	0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02,
	0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03,
	0x42, 0x00, 0x04,
};

/* (p + 1) / 4 and 3, big-endian */
static const u8 vr_root_exponent[] = {
	0x3f, 0xff, 0xff, 0xff, 0xc0, 0x00, 0x00, 0x00, 0x40, 0x00, 0x00, 0x00,
	0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x40, 0x00, 0x00, 0x00,
	0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
};

static const u8 vr_three[] = { 3 };

static void digits_to_be(const u64 *digits, u8 out[VR_FIELD_SIZE])
{
	unsigned int i;

	for (i = 0; i < VR_DIGITS; i++)
		put_unaligned_be64(digits[VR_DIGITS - 1 - i], out + 8 * i);
}

/*
 * The ECDH transform with a private key of 32 bytes, or with a random one of
 * its own if there is none.
 */
static struct crypto_kpp *ecdh_alloc(const u8 *scalar)
{
	struct ecdh params = {
		.key = (char *)scalar,
		.key_size = scalar ? VR_FIELD_SIZE : 0,
	};
	struct crypto_kpp *tfm;
	unsigned int len;
	char *buf;
	int err;

	tfm = crypto_alloc_kpp("ecdh-nist-p256", 0, 0);
	if (IS_ERR(tfm))
		return tfm;
	len = crypto_ecdh_key_len(&params);
	buf = kzalloc(len, GFP_KERNEL);
	err = buf ? crypto_ecdh_encode_key(buf, len, &params) ?:
		    crypto_kpp_set_secret(tfm, buf, len) : -ENOMEM;
	kfree_sensitive(buf);
	if (err) {
		crypto_free_kpp(tfm);
		return ERR_PTR(err);
	}
	return tfm;
}

/*
 * Run one operation of the ECDH transform: with a @point, x(scalar * point),
 * 32 bytes; without, scalar * G, 64 bytes.  -EKEYREJECTED: not a point of the
 * curve, or the result is the point at infinity.
 */
static int ecdh_run(struct crypto_kpp *tfm, const u8 *point, u8 *out)
{
	unsigned int len = point ? VR_FIELD_SIZE : VR_POINT_SIZE;
	struct scatterlist src, dst;
	struct kpp_request *req;
	DECLARE_CRYPTO_WAIT(wait);
	u8 *buf;
	int err = -ENOMEM;

	/* Scatterlists need memory that kmalloc() gave. */
	buf = kzalloc(2 * VR_POINT_SIZE, GFP_KERNEL);
	req = kpp_request_alloc(tfm, GFP_KERNEL);
	if (!buf || !req)
		goto out;
	if (point) {
		memcpy(buf, point, VR_POINT_SIZE);
		sg_init_one(&src, buf, VR_POINT_SIZE);
		kpp_request_set_input(req, &src, VR_POINT_SIZE);
	} else {
		kpp_request_set_input(req, NULL, 0);
	}
	sg_init_one(&dst, buf + VR_POINT_SIZE, len);
	kpp_request_set_output(req, &dst, len);
	kpp_request_set_callback(req, CRYPTO_TFM_REQ_MAY_BACKLOG,
				 crypto_req_done, &wait);
	err = crypto_wait_req(point ? crypto_kpp_compute_shared_secret(req) :
			      crypto_kpp_generate_public_key(req), &wait);
	/* Its own point it cannot reject: want of memory there is -EAGAIN. */
	if (err && err != -ENOMEM)
		err = point ? -EKEYREJECTED : -ENOMEM;
	if (!err)
		memcpy(out, buf + VR_POINT_SIZE, len);
out:
	if (req)
		kpp_request_free(req);
	kfree_sensitive(buf);
	return err;
}

static int ecdh_usable(const u8 scalar[VR_FIELD_SIZE])
{
	struct crypto_kpp *tfm = ecdh_alloc(scalar);

	if (IS_ERR(tfm))
		return PTR_ERR(tfm);
	crypto_free_kpp(tfm);
	return 0;
}

/* x(scalar * point) */
static int ecdh_mult(const u8 scalar[VR_FIELD_SIZE], const u8 *point, u8 *x)
{
	struct crypto_kpp *tfm = ecdh_alloc(scalar);
	int err;

	if (IS_ERR(tfm))
		return PTR_ERR(tfm);
	err = ecdh_run(tfm, point, x);
	crypto_free_kpp(tfm);
	return err;
}

/*
 * Lifting: y from x by the curve's equation.  p is 3 mod 4, so that a root of
 * v is v ^ ((p + 1) / 4).  Only blinded values come here: the time it takes
 * tells nothing.
 */

static MPI digits_to_mpi(const u64 *digits)
{
	u8 be[VR_FIELD_SIZE];

	digits_to_be(digits, be);
	return mpi_read_raw_data(be, sizeof(be));
}

/* Write @value, smaller than 2^256, as 32 bytes. */
static int mpi_to_be(MPI value, u8 out[VR_FIELD_SIZE])
{
	unsigned int len;
	int err;

	memset(out, 0, VR_FIELD_SIZE);
	err = mpi_read_buffer(value, out, VR_FIELD_SIZE, &len, NULL);
	if (err)
		return err;
	memmove(out + VR_FIELD_SIZE - len, out, len);
	memset(out, 0, VR_FIELD_SIZE - len);
	return 0;
}

static int lift(MPI x, MPI p, MPI b, u8 y_be[VR_FIELD_SIZE])
{
	MPI e = mpi_read_raw_data(vr_root_exponent, sizeof(vr_root_exponent));
	MPI three = mpi_read_raw_data(vr_three, sizeof(vr_three));
	MPI v = mpi_alloc(0), y = mpi_alloc(0);
	int err = -ENOMEM;

	if (!e || !three || !v || !y)
		goto out;
	/* v = (x^2 - 3) x + b */
	err = vr_mpi_call(mpi_mulm(v, x, x, p)) ?:
	      vr_mpi_call(mpi_subm(v, v, three, p)) ?:
	      vr_mpi_call(mpi_mulm(v, v, x, p)) ?:
	      vr_mpi_call(mpi_addm(v, v, b, p)) ?:
	      mpi_powm(y, v, e, p) ?:
	      vr_mpi_call(mpi_mulm(e, y, y, p));
	if (err)
		goto out;
	err = mpi_cmp(e, v) ? -EKEYREJECTED : mpi_to_be(y, y_be);
out:
	mpi_free(e);
	mpi_free(three);
	mpi_free(v);
	mpi_free(y);
	return err;
}

/*
 * The point, either of two, with that x.  -EKEYREJECTED: there is none.  Zero
 * is refused, too: no honest answer is, and an MPI of no limbs is trouble.
 */
static int point_from_x(const u8 x[VR_FIELD_SIZE], u8 point[VR_POINT_SIZE])
{
	const struct ecc_curve *curve = ecc_get_curve(ECC_CURVE_NIST_P256);
	MPI mx, p, b;
	int err = -ENOMEM;

	if (!memchr_inv(x, 0, VR_FIELD_SIZE))
		return -EKEYREJECTED;
	mx = mpi_read_raw_data(x, VR_FIELD_SIZE);
	p = digits_to_mpi(curve->p);
	b = digits_to_mpi(curve->b);
	if (!mx || !p || !b)
		goto out;
	memcpy(point, x, VR_FIELD_SIZE);
	err = mpi_cmp(mx, p) >= 0 ? -EKEYREJECTED :
	      lift(mx, p, b, point + VR_FIELD_SIZE);
out:
	mpi_free(mx);
	mpi_free(p);
	mpi_free(b);
	return err;
}

/*
 * A random r and its inverse modulo the group's order.  vli_mod_inv() does not
 * take constant time, so it gets r * m with a random m, and m is taken out of
 * its result.  The multiplications are not constant-time either, but r and m
 * are used this once.
 */
static int blinding_pair(u8 r_be[VR_FIELD_SIZE], u8 inverse_be[VR_FIELD_SIZE])
{
	const struct ecc_curve *curve = ecc_get_curve(ECC_CURVE_NIST_P256);
	u64 r[VR_DIGITS], m[VR_DIGITS], t[VR_DIGITS];
	int err;

	err = get_random_bytes_wait(t, sizeof(t));
	if (err)
		return err;
	do {
		get_random_bytes(r, sizeof(r));
	} while (vli_is_zero(r, VR_DIGITS) ||
		 vli_cmp(r, curve->n, VR_DIGITS) >= 0);
	do {
		get_random_bytes(m, sizeof(m));
	} while (vli_is_zero(m, VR_DIGITS) ||
		 vli_cmp(m, curve->n, VR_DIGITS) >= 0);

	vli_mod_mult_slow(t, r, m, curve->n, VR_DIGITS);
	vli_mod_inv(t, t, curve->n, VR_DIGITS);
	vli_mod_mult_slow(t, t, m, curve->n, VR_DIGITS);
	digits_to_be(r, r_be);
	digits_to_be(t, inverse_be);
	memzero_explicit(r, sizeof(r));
	memzero_explicit(m, sizeof(m));
	memzero_explicit(t, sizeof(t));
	return 0;
}

/*
 * Make a share for a vault key: @point gets C, @secret x(c * S).
 * -EKEYREJECTED: the public key is not one.
 */
int vr_oblivious_create(const u8 *public_key, unsigned int len,
			u8 point[VR_POINT_SIZE], u8 secret[VR_SECRET_SIZE])
{
	struct crypto_kpp *tfm;
	int err;

	if (len != sizeof(vr_spki_p256) + VR_POINT_SIZE ||
	    memcmp(public_key, vr_spki_p256, sizeof(vr_spki_p256)))
		return -EKEYREJECTED;
	tfm = ecdh_alloc(NULL);
	if (IS_ERR(tfm))
		return PTR_ERR(tfm);
	err = ecdh_run(tfm, public_key + sizeof(vr_spki_p256), secret) ?:
	      ecdh_run(tfm, NULL, point);
	crypto_free_kpp(tfm);
	return err;
}

/*
 * Begin an exchange: what to ask the vault for a share with that point.
 * -EKEYREJECTED: the point is not on the curve.
 */
int vr_oblivious_start(struct vr_exchange *ex, const u8 point[VR_POINT_SIZE],
		       u8 challenge[VR_POINT_SIZE])
{
	u8 r[VR_FIELD_SIZE], x[VR_FIELD_SIZE];
	int err, tries = 3;

	/*
	 * 6.1 range-checks a scalar in the wrong byte order and so refuses one
	 * in 2^32, with -EINVAL: take another pair.
	 */
	do {
		err = blinding_pair(r, ex->unblind) ?:
		      ecdh_usable(ex->unblind) ?:
		      ecdh_mult(r, point, x);
	} while (err == -EINVAL && --tries);
	if (!err)
		err = point_from_x(x, challenge);
	memzero_explicit(r, sizeof(r));
	if (err)
		memzero_explicit(ex, sizeof(*ex));
	return err;
}

/*
 * End an exchange with the vault's answer, an x coordinate: x(s * C).  It is
 * used up whatever comes of it.  -EKEYREJECTED: no point has that x.
 */
int vr_oblivious_finish(struct vr_exchange *ex, const u8 *answer,
			unsigned int len, u8 secret[VR_SECRET_SIZE])
{
	u8 point[VR_POINT_SIZE];
	int err = -EKEYREJECTED;

	if (len == VR_FIELD_SIZE)
		err = point_from_x(answer, point) ?:
		      ecdh_mult(ex->unblind, point, secret);
	memzero_explicit(ex, sizeof(*ex));
	return err;
}
