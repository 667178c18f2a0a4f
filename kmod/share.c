// SPDX-License-Identifier: GPL-2.0-only
/*
 * Shares: what each method does when one is made, asked for and answered
 *
 * oblivious.c and sealed.c have their methods.  A clear share's secret is 32
 * random bytes that only the vault can decrypt; the daemon sees them when it has
 * asked, and so clear shares alone never make a KEK.  With a symmetric vault key
 * somebody else has to have them wrapped, and sees them then already.
 */

#include <linux/err.h>
#include <linux/netlink.h>
#include <linux/random.h>

#include "vr.h"

#define BAD_RSA	"not an RSA public key of 2048 to 4096 bits, e from 65537"
#define BAD_X	"the vault's answer is not the x coordinate of a point"
/* The same whatever is wrong with it. */
#define BAD_SEALED \
	"not the vault's key, released for this transport key, or used before"
#define OTHER_KEY "the transport key is another one by now; try again"

/*
 * What came for a symmetric vault key.  An identity is text: no other vault key's
 * public half can pass for one, and be pinned as such.
 */
static int check_given(const struct vr_share_request *req,
		       struct netlink_ext_ack *extack)
{
	const char *c;

	for (c = req->identity; *c > ' ' && *c <= '~'; c++)
		;
	if (*c || c == req->identity) {
		NL_SET_ERR_MSG(extack, "an identity is printable ASCII without blanks");
		return -EINVAL;
	}
	if (req->answer_len != VR_SECRET_SIZE ||
	    req->wrapped_len != VAULTRING_CLEAR_DATA_KEYWRAP) {
		NL_SET_ERR_MSG(extack, "it needs a secret of 32 bytes and a ciphertext of 40");
		return -EINVAL;
	}
	return 0;
}

/* How the world knows the vault key that a share is to be made for. */
int vr_share_fingerprint(const struct vr_share_request *req,
			 u8 fingerprint[VAULTRING_FINGERPRINT_SIZE],
			 struct netlink_ext_ack *extack)
{
	int err;

	if (req->identity)
		return check_given(req, extack) ?:
		       vr_sha256(req->identity, strlen(req->identity),
				 fingerprint);
	if (req->method != VAULTRING_METHOD_SEALED)
		return vr_sha256(req->public_key, req->public_key_len,
				 fingerprint);
	err = vr_sealed_fingerprint(req->hash, req->answer, req->answer_len,
				    fingerprint);
	if (err == -EKEYREJECTED)
		NL_SET_ERR_MSG(extack, BAD_SEALED);
	return err;
}

static int make_clear(const struct vr_share_request *req, u8 *data,
		      u8 secret[VR_SECRET_SIZE])
{
	int err;

	if (req->identity) {
		memcpy(secret, req->answer, VR_SECRET_SIZE);
		memcpy(data, req->wrapped, req->wrapped_len);
		return req->wrapped_len;
	}
	err = get_random_bytes_wait(secret, VR_SECRET_SIZE);
	return err ?: vr_rsa_encrypt(req->public_key, req->public_key_len,
				     secret, VR_SECRET_SIZE, data);
}

/*
 * A new share's secret.  @data, of VR_SHARE_DATA_MAX bytes, gets what the
 * envelope keeps of it; how much is returned.  -EKEYREJECTED: not that method's
 * public key, or answer.
 */
int vr_share_make(const struct vr_share_request *req,
		  const u8 fingerprint[VAULTRING_FINGERPRINT_SIZE], u8 *data,
		  u8 secret[VR_SECRET_SIZE], struct netlink_ext_ack *extack)
{
	int ret;

	switch (req->method) {
	case VAULTRING_METHOD_OBLIVIOUS:
		ret = vr_oblivious_create(req->public_key, req->public_key_len,
					  data, secret);
		if (ret == -EKEYREJECTED)
			NL_SET_ERR_MSG(extack, "not a P-256 public key in DER (SPKI)");
		return ret ?: VAULTRING_OBLIVIOUS_DATA;
	case VAULTRING_METHOD_CLEAR:
		ret = make_clear(req, data, secret);
		if (ret == -EKEYREJECTED)
			NL_SET_ERR_MSG(extack, BAD_RSA);
		return ret;
	case VAULTRING_METHOD_SEALED:
		ret = vr_sealed_finish(req->hash, req->answer, req->answer_len,
				       fingerprint, secret);
		if (ret == -EKEYREJECTED)
			NL_SET_ERR_MSG(extack, BAD_SEALED);
		if (ret == -EAGAIN)
			NL_SET_ERR_MSG(extack, OTHER_KEY);
		return ret;
	default:
		return -EINVAL;
	}
}

/* -EINVAL: an envelope cannot have such a share. */
int vr_share_check(const struct vr_share *share, struct netlink_ext_ack *extack)
{
	switch (share->head->method) {
	case VAULTRING_METHOD_OBLIVIOUS:
		if (share->data_len == VAULTRING_OBLIVIOUS_DATA)
			return 0;
		NL_SET_ERR_MSG(extack, "an oblivious share has one point of 64 bytes");
		return -EINVAL;
	case VAULTRING_METHOD_CLEAR:
		if (share->data_len == VAULTRING_CLEAR_DATA_KEYWRAP ||
		    (share->data_len >= VAULTRING_CLEAR_DATA_MIN &&
		     share->data_len <= VAULTRING_CLEAR_DATA_MAX))
			return 0;
		NL_SET_ERR_MSG(extack, "a clear share has 40 or 256 to 512 bytes of ciphertext");
		return -EINVAL;
	case VAULTRING_METHOD_SEALED:
		if (!share->data_len)
			return 0;
		NL_SET_ERR_MSG(extack, "a sealed share has no data");
		return -EINVAL;
	default:
		NL_SET_ERR_MSG(extack, "this module does not know a share's method");
		return -EINVAL;
	}
}

/*
 * What to ask the vault: @challenge, of VR_SHARE_DATA_MAX bytes, of which so many
 * count as are returned.  -EKEYREJECTED: the envelope has a point that is not on the curve.
 */
int vr_share_start(const struct vr_share *share, struct vr_exchange *ex,
		   u8 *challenge)
{
	int err;

	switch (share->head->method) {
	case VAULTRING_METHOD_OBLIVIOUS:
		err = vr_oblivious_start(ex, share->data, challenge);
		return err ?: VR_POINT_SIZE;
	case VAULTRING_METHOD_CLEAR:
		memcpy(challenge, share->data, share->data_len);
		return share->data_len;
	default:
		ex->keys_gone = vr_transport_count();
		vr_transport_want();
		err = get_random_bytes_wait(challenge, VR_NONCE_SIZE);
		return err ?: VR_NONCE_SIZE;
	}
}

/*
 * The secret from a vault's answer.  -EKEYREJECTED: it cannot be one; -EAGAIN: it
 * may have been one for the former transport key.
 */
int vr_share_finish(const struct vr_share *share, struct vr_exchange *ex,
		    const struct vr_answer *answer, u8 secret[VR_SECRET_SIZE],
		    struct netlink_ext_ack *extack)
{
	int err;

	switch (share->head->method) {
	case VAULTRING_METHOD_OBLIVIOUS:
		err = vr_oblivious_finish(ex, answer->data, answer->len,
					  secret);
		if (err == -EKEYREJECTED)
			NL_SET_ERR_MSG(extack, BAD_X);
		return err;
	case VAULTRING_METHOD_CLEAR:
		if (answer->len != VR_SECRET_SIZE) {
			NL_SET_ERR_MSG(extack, "the vault's answer is not 32 bytes");
			return -EKEYREJECTED;
		}
		memcpy(secret, answer->data, VR_SECRET_SIZE);
		return 0;
	default:
		err = vr_sealed_finish(answer->hash, answer->data, answer->len,
				       share->head->fingerprint, secret);
		/* It may be for the key that there was when it was asked for. */
		if (err == -EKEYREJECTED && ex->keys_gone != vr_transport_count())
			err = -EAGAIN;
		if (err == -EAGAIN)
			NL_SET_ERR_MSG(extack, OTHER_KEY);
		if (err == -EKEYREJECTED)
			NL_SET_ERR_MSG(extack, BAD_SEALED);
		return err;
	}
}
