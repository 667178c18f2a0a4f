// SPDX-License-Identifier: GPL-2.0-only
/*
 * RSA public keys of vaults (RFC 8017, 5.1.1 and A.1.1; RFC 5280, 4.1)
 */

#include <linux/err.h>
#include <linux/slab.h>

#include "vr.h"

#define DER_INTEGER	0x02
#define DER_BIT_STRING	0x03
#define DER_SEQUENCE	0x30

struct der {
	const u8 *at;
	size_t len;
};

/* AlgorithmIdentifier: rsaEncryption, NULL */
static const u8 rsa_algorithm[] = {
	0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01,
	0x01, 0x05, 0x00,
};

/* Take the element that comes next off @in; only DER's one way to write it. */
static bool der_take(struct der *in, u8 tag, struct der *out)
{
	size_t head = 2, len;

	if (in->len < head || in->at[0] != tag)
		return false;
	len = in->at[1];
	if (len > 0x7f) {
		head += len & 0x7f;
		if (len > 0x82 || len == 0x80 || in->len < head)
			return false;
		len = head == 3 ? in->at[2] : get_unaligned_be16(in->at + 2);
		if (len < (head == 3 ? 0x80 : 0x100))
			return false;
	}
	if (in->len - head < len)
		return false;
	*out = (struct der){ in->at + head, len };
	in->at += head + len;
	in->len -= head + len;
	return true;
}

/* A positive integer, without the zero that may stand before its top bit. */
static bool der_take_integer(struct der *in, struct der *out)
{
	if (!der_take(in, DER_INTEGER, out) || !out->len || out->at[0] > 0x7f)
		return false;
	if (out->at[0])
		return true;
	out->at++;
	out->len--;
	return out->len && out->at[0] > 0x7f;
}

static bool modulus_ok(const struct der *n)
{
	return n->len <= VAULTRING_CLEAR_DATA_MAX &&
	       (n->len > VAULTRING_CLEAR_DATA_MIN ||
		(n->len == VAULTRING_CLEAR_DATA_MIN && n->at[0] > 0x7f)) &&
	       n->at[n->len - 1] & 1;
}

/* Odd, from 65537 to 2^32 - 1 */
static bool exponent_ok(const struct der *e)
{
	u32 value = 0;
	size_t i;

	if (e->len > sizeof(value))
		return false;
	for (i = 0; i < e->len; i++)
		value = value << 8 | e->at[i];
	return value & 1 && value >= VR_RSA_E;
}

/* -EKEYREJECTED: not an RSA public key, or none that will do. */
static int parse(const u8 *spki, size_t len, struct der *n, struct der *e)
{
	struct der in = { spki, len }, outer, bits, key;

	if (!der_take(&in, DER_SEQUENCE, &outer) || in.len)
		return -EKEYREJECTED;
	if (outer.len < sizeof(rsa_algorithm) ||
	    memcmp(outer.at, rsa_algorithm, sizeof(rsa_algorithm)))
		return -EKEYREJECTED;
	outer.at += sizeof(rsa_algorithm);
	outer.len -= sizeof(rsa_algorithm);
	/* No bits of its last byte are unused. */
	if (!der_take(&outer, DER_BIT_STRING, &bits) || outer.len ||
	    bits.len < 1 || bits.at[0])
		return -EKEYREJECTED;
	bits.at++;
	bits.len--;
	if (!der_take(&bits, DER_SEQUENCE, &key) || bits.len ||
	    !der_take_integer(&key, n) || !der_take_integer(&key, e) ||
	    key.len || !modulus_ok(n) || !exponent_ok(e))
		return -EKEYREJECTED;
	return 0;
}

static int raise(const struct der *n_der, const struct der *e_der, u8 *em)
{
	MPI n = mpi_read_raw_data(n_der->at, n_der->len);
	MPI e = mpi_read_raw_data(e_der->at, e_der->len);
	MPI m = mpi_read_raw_data(em, n_der->len), c = mpi_alloc(0);
	int err = -ENOMEM;

	if (n && e && m && c)
		err = mpi_powm(c, m, e, n);
	if (!err)
		vr_mpi_write(c, em, n_der->len);
	mpi_free(n);
	mpi_free(e);
	mpi_free(m);
	mpi_free(c);
	return err;
}

/*
 * Encrypt a message with RSA-OAEP, SHA-256.  @out has room for
 * VAULTRING_CLEAR_DATA_MAX bytes; how many it got is returned, or
 * -EKEYREJECTED: the public key is not one.
 */
int vr_rsa_encrypt(const u8 *spki, size_t spki_len, const u8 *message,
		   unsigned int len, u8 *out)
{
	struct der n, e;
	int err;

	err = parse(spki, spki_len, &n, &e) ?:
	      vr_oaep_encode(VAULTRING_HASH_SHA256, message, len, out, n.len) ?:
	      raise(&n, &e, out);
	if (!err)
		return n.len;
	memzero_explicit(out, VAULTRING_CLEAR_DATA_MAX);
	return err;
}
