// SPDX-License-Identifier: GPL-2.0-only
/*
 * The vectors that RFC 3394 and RFC 5649 print, and forgeries of which each
 * is wrong in one thing only.  The forgeries are RFC 5649's first vector with
 * that one thing changed before the wrapping steps, by another program.
 */

#include <linux/errno.h>
#include <linux/printk.h>
#include <linux/string.h>

#include "../vr.h"

#define VR_VECTOR_MAX	40	/* bytes of the longest vector, wrapped */

static const u8 no_bytes[VR_VECTOR_MAX];

static const struct {
	const char *name, *kek, *key, *wrapped;
} kw_vectors[] = {
	{ "RFC 3394 4.1",
	  "000102030405060708090a0b0c0d0e0f",
	  "00112233445566778899aabbccddeeff",
	  "1fa68b0a8112b447aef34bd8fb5a7b829d3e862371d2cfe5" },
	{ "RFC 3394 4.2",
	  "000102030405060708090a0b0c0d0e0f1011121314151617",
	  "00112233445566778899aabbccddeeff",
	  "96778b25ae6ca435f92b5b97c050aed2468ab8a17ad84e5d" },
	{ "RFC 3394 4.3",
	  "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
	  "00112233445566778899aabbccddeeff",
	  "64e8c3f9ce0f5ba263e9777905818a2a93c8191e7d6e8ae7" },
	{ "RFC 3394 4.4",
	  "000102030405060708090a0b0c0d0e0f1011121314151617",
	  "00112233445566778899aabbccddeeff0001020304050607",
	  "031d33264e15d33268f24ec260743edce1c6c7ddee725a936ba814915c6762d2" },
	{ "RFC 3394 4.5",
	  "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
	  "00112233445566778899aabbccddeeff0001020304050607",
	  "a8f9bc1612c68b3ff6e6f4fbe30e71e4769c8b80a32cb8958cd5d17d6b254da1" },
	{ "RFC 3394 4.6",
	  "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
	  "00112233445566778899aabbccddeeff000102030405060708090a0b0c0d0e0f",
	  "28c9f404c4b810f4cbccb35cfb87f8263f5786e2d80ed326cbc7f0e71a99f43bfb988b9b7a02dd21" },
};

#define KWP_KEK	"5840df6e29b02af1ab493b705bf16ea1ae8338f4dcc176a8"

static const struct {
	const char *name, *key, *wrapped;
} kwp_vectors[] = {
	{ "RFC 5649 6, 20 bytes",
	  "c37b7e6492584340bed12207808941155068f738",
	  "138bdeaa9b8fa7fc61f97742e72248ee5ae6ae5360d1ae6a5f54f373fa543b6a" },
	{ "RFC 5649 6, 7 bytes",
	  "466f7250617369",
	  "afbeb0f07dfbf5419200f2ccb50bb24f" },
};

static const struct {
	const char *wrong, *wrapped;
} kwp_forgeries[] = {
	{ "the constant's first bit",
	  "ae63dcdecf3b5c368a738b2f9add671d98acd4b6e6fd2ffcbb2b80289be810bf" },
	{ "the constant's last bit",
	  "281e4e08c3f102206116612bc3496e867895f65be1c3fce8caed8bf48451634d" },
	{ "the padding's first byte",
	  "6bbc81fe5be1b521173032fb8a5994eeb0d6cd42c851a35b42df4ee8462792c0" },
	{ "the padding's last byte",
	  "848504d43a675f286bfc2a6003437305e4b77f062634eb576e242a8bc85047bd" },
	{ "a length beyond the end",
	  "2e46f3143fd6a2864b44aaa4e210791afaccc1ccbade33c18542cb180daba0b3" },
	{ "8 bytes of padding",
	  "1ef7abde73eca8bf8a2726dd827f4faa63853f7d52961dbeb63abc50a38ea002" },
	{ "a length of 0",
	  "0c61aedfd52c447a13f16a6be9443095" },
	{ "a length of 2^32 - 1",
	  "8b3a1c984e42c563dbe80d60d091e8a5c922c435f9268a9dc57ddedee9bb4034" },
};

static unsigned int from_hex(u8 *bytes, const char *hex)
{
	unsigned int len = strlen(hex) / 2;

	return hex2bin(bytes, hex, len) ? 0 : len;
}

static int set_kek(struct aes_key *kek, const char *hex)
{
	u8 bytes[AES_MAX_KEY_SIZE];

	return aes_preparekey(kek, bytes, from_hex(bytes, hex));
}

static int failed(const char *name, const char *what)
{
	pr_err("key wrap: %s: %s\n", name, what);
	return -ENOTRECOVERABLE;
}

/* One bit of each byte. */
static int kw_forgeries(const struct aes_key *kek, const char *name,
			const u8 *wrapped, unsigned int len)
{
	u8 buf[VR_VECTOR_MAX];
	unsigned int i;

	for (i = 0; i < len; i++) {
		memcpy(buf, wrapped, len);
		buf[i] ^= 1;
		if (vr_kw_unwrap(kek, buf, len) != -EBADMSG)
			return failed(name, "a forgery unwraps");
		if (memcmp(buf, no_bytes, len))
			return failed(name, "a forgery is not wiped");
	}
	return 0;
}

static int kw_vector(size_t i)
{
	u8 key[VR_VECTOR_MAX], wrapped[VR_VECTOR_MAX], buf[VR_VECTOR_MAX];
	const char *name = kw_vectors[i].name;
	unsigned int len = from_hex(key, kw_vectors[i].key);
	unsigned int size = from_hex(wrapped, kw_vectors[i].wrapped);
	struct aes_key kek;

	if (set_kek(&kek, kw_vectors[i].kek))
		return failed(name, "no such KEK");
	memcpy(buf + VR_SEMIBLOCK, key, len);
	if (vr_kw_wrap(&kek, buf, len) != size || memcmp(buf, wrapped, size))
		return failed(name, "does not wrap");
	if (vr_kw_unwrap(&kek, buf, size) != len ||
	    memcmp(buf + VR_SEMIBLOCK, key, len))
		return failed(name, "does not unwrap");
	return kw_forgeries(&kek, name, wrapped, size);
}

static int kwp_vector(const struct aes_key *kek, size_t i)
{
	u8 key[VR_VECTOR_MAX], wrapped[VR_VECTOR_MAX], buf[VR_VECTOR_MAX];
	const char *name = kwp_vectors[i].name;
	unsigned int len = from_hex(key, kwp_vectors[i].key);
	unsigned int size = from_hex(wrapped, kwp_vectors[i].wrapped);

	memset(buf, 0xff, sizeof(buf));
	memcpy(buf + VR_SEMIBLOCK, key, len);
	if (vr_kwp_wrap(kek, buf, len) != size || memcmp(buf, wrapped, size))
		return failed(name, "does not wrap");
	/* The length, too, is the plaintext's own. */
	if (vr_kwp_unwrap(kek, buf, size) != len ||
	    memcmp(buf + VR_SEMIBLOCK, key, len))
		return failed(name, "does not unwrap");
	return 0;
}

static int kwp_forgery(const struct aes_key *kek, size_t i)
{
	const char *wrong = kwp_forgeries[i].wrong;
	u8 buf[VR_VECTOR_MAX];
	unsigned int size = from_hex(buf, kwp_forgeries[i].wrapped);

	if (vr_kwp_unwrap(kek, buf, size) != -EBADMSG)
		return failed(wrong, "a forgery unwraps");
	if (memcmp(buf, no_bytes, size))
		return failed(wrong, "a forgery is not wiped");
	return 0;
}

int vr_keywrap_selftest(void)
{
	struct aes_key kek;
	int err = 0;
	size_t i;

	for (i = 0; !err && i < ARRAY_SIZE(kw_vectors); i++)
		err = kw_vector(i);
	if (!err && set_kek(&kek, KWP_KEK))
		err = failed("RFC 5649 6", "no such KEK");
	for (i = 0; !err && i < ARRAY_SIZE(kwp_vectors); i++)
		err = kwp_vector(&kek, i);
	for (i = 0; !err && i < ARRAY_SIZE(kwp_forgeries); i++)
		err = kwp_forgery(&kek, i);
	return err;
}
