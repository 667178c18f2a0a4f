// SPDX-License-Identifier: GPL-2.0-only
/*
 * Shamir's scheme against another program
 *
 * The secret is the SHA-256 of "secret", the coefficient of x^i that of "x" and
 * i.  The parts were computed with tables of logarithms, by tests/oracle.py,
 * whose test computes them anew.
 */

#include <linux/bits.h>
#include <linux/errno.h>
#include <linux/printk.h>
#include <linux/string.h>

#include "../vr.h"

static const char * const coefficients[VAULTRING_MAX_SHARES] = {
	"2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b",
	"ec31682fde561917952ff78a7a8adeffd0febc372dd26871916c46c630381b45",
	"844ecc08164e2eab27634a9adee1afa6599e589570e719784e080ce747fc0e45",
	"844b69c4d54cc264bc2dadb6bb70f53bc123beafc0f58d81ed8cd4a07c24a5a7",
	"7985b0c8b858e77f57c6d403b315ade04d2485d6ec2d09694256eadd20db6f27",
	"29f2394eb92d0ded9247b8d7188ebddae3e13c71ebcf939302619b29604486b0",
	"0520220e0f12bb847b57ad4bb3dfe908368a1057a7028b92186e73769fe3cc62",
	"8cf3ebbdacddfddd6f13673f945f523cc9813df2fcdf2a420a230d283bdf4a7a",
};

static const struct {
	unsigned int threshold;
	const char *parts[VAULTRING_MAX_SHARES];
} vectors[] = {
	{ 1, {
		"2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b",
		"2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b",
		"2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b",
		"2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b",
		"2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b",
		"2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b",
		"2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b",
		"2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b",
	} },
	{ 2, {
		"c789657ca54bbaf41efcf4ebd00f88796d1e56fa5cb096873333afbdc51fb91e",
		"e8dadd0ddcb191cdba8df66e5e8af163060789a32bdd2e149b8765ec955794d1",
		"04ebb52202e788da2fa201e424002f9cd6f93594060f46650aeb232aa56f8f94",
		"b67cb6ef2e5ec7bfe96ff27f599b0357d0352c11c5074529d0f4ea4e35c7ce54",
		"5a4ddec0f008dea87c4005f52311dda800cb9026e8d52d584198ac8805ffd511",
		"751e66b189f2f591d8310770ad94a4b26bd24f7f9fb895cbe92c66d955b7f8de",
		"992f0e9e57a4ec864d1ef0fad71e7a4dbb2cf348b26afdba7840201f658fe39b",
		"0a2b6030d19b6b5b4fb0fa5d57b9fc3f67517d6e02a893534612ef116efc7a45",
	} },
	{ 3, {
		"43c7a974b305945f399fbe710eee27df34800e6f2c578fff7d3ba35a82e3b75b",
		"cef9c02d84922957261ac5300b237bcd7949f2c1f06c4aefb8a7555d928aacde",
		"a686640a4c8a1eeb94567820af480a94f0291663ad593be667c31f7ce54eb9de",
		"2ef0c26f55d211e1af053e1c16091dd93716db8284f5cee85c742abc299e2e68",
		"468f66489dca265d1d49830cb2626c80be763f20d9c0bfe18310609d5e5a3b68",
		"cbb10f11aa5d9b5502ccf84db7af3092f3bfc38e05fb7af1468c969a4e3320ed",
		"a3ceab366245ace9b080455d13c441cb7adf272c58ce0bf899e8dcbb39f735ed",
		"5c2dab06269d1e384c03e7ca70c78431d6dd8c141d4d897a4024c2f41e83d7b5",
	} },
	{ 5, {
		"be097078de11b144d274c7c4068b7f04b8873516008f0b17d2e19d27de1c7ddb",
		"531f5063033391ebb6bd35c761c5ac8c973cfd01e863de41ddbc8d5569ae59d7",
		"f30f40e66e8c390f4af432fb7af08d9422918b152f86288bf50737e4514d75a8",
		"c7f50eff95bdce6c0b5fb453fdcad963a42fd7be2e1e2df1a37fad9856b6ae2a",
		"ecaf061db6366d5aa1aacc8dce5ec0902cc2d3f1c6c3d2ea18df4b9c176b6d9e",
		"0c2d16c8f77c5b4a6900c051f94963d579f9ff50705f15052ab4e39f52a58c1f",
		"12d673841c44423f661b7b167de672bc41de52d02e8ae935c911cb7600a0bc54",
		"df04a725ffd36687f7ae0711ca50a80eec3bedd5c0a71649c0e35dd529f37133",
	} },
	{ 8, {
		"1e288085c4f3faf05477b567398579eaa46d24c2b09d3954c2cd78501a647d73",
		"9f91e2fe4fdd5bcca5da6c8d0186208dfce2f9003ca5444bb0c66e4195c6c39c",
		"6ee79889e063989d526131d78c2337bdc189e8fa8b6b44df761b89152d3aba47",
		"2f74068fffb2d6cebb892e6ce0431ce66c850750f975e50e99366dba402a7510",
		"6512c0650b4c0b3e510f4edd6638a6c4540f5a6acffddea4c335d778e079c41c",
		"fc1c88d535d9e597b7f7d778c87f18f94846a2bef94022181ed5b6128bb52d47",
		"d68f044c0f2b8479ff0045d65a6c3197f1e80153aec7551213b01c46fb673ffa",
		"527294e5d71d3a50b59fa9d965b2d77f16a2dcb24bff05c018c8191bf0aaa318",
	} },
};

static int failed(unsigned int threshold, const char *what)
{
	pr_err("shamir: %u of 8: %s\n", threshold, what);
	return -ENOTRECOVERABLE;
}

/* The parts as such: also at a part's own place, from others. */
static int combine_all(const struct vr_part *secret, const struct vr_part *parts,
		       unsigned int threshold)
{
	u8 got[VR_SECRET_SIZE];
	unsigned long set;

	for (set = 1; set < BIT(VAULTRING_MAX_SHARES); set++) {
		unsigned int weight = hweight_long(set);
		bool right;

		vr_shamir_combine(parts, set, 0, got);
		right = !memcmp(got, secret->bytes, sizeof(got));
		if (weight >= threshold && !right)
			return failed(threshold, "enough parts do not combine");
		if (weight < threshold && right)
			return failed(threshold, "too few parts combine");
		vr_shamir_combine(parts, set, VAULTRING_MAX_SHARES, got);
		if (weight >= threshold &&
		    memcmp(got, parts[VAULTRING_MAX_SHARES - 1].bytes,
			   sizeof(got)))
			return failed(threshold, "another part is not found");
	}
	return 0;
}

static int check_vector(size_t i)
{
	struct vr_part in[VAULTRING_MAX_SHARES], parts[VAULTRING_MAX_SHARES];
	unsigned int j, k = vectors[i].threshold;
	u8 got[VR_SECRET_SIZE];

	for (j = 0; j < VAULTRING_MAX_SHARES; j++) {
		if (hex2bin(in[j].bytes, coefficients[j], VR_SECRET_SIZE) ||
		    hex2bin(parts[j].bytes, vectors[i].parts[j],
			    VR_SECRET_SIZE))
			return failed(k, "not hex");
	}
	for (j = 0; j < VAULTRING_MAX_SHARES; j++) {
		vr_shamir_value(in, k, j + 1, got);
		if (memcmp(got, parts[j].bytes, sizeof(got)))
			return failed(k, "a part is not what it should be");
	}
	return combine_all(&in[0], parts, k);
}

/* With random coefficients: of two splits only the secret is the same. */
static int check_split(unsigned int k)
{
	struct vr_part a[VAULTRING_MAX_SHARES], b[VAULTRING_MAX_SHARES], secret;
	int err;

	memset(&secret, 0xa5, sizeof(secret));
	vr_shamir_split(secret.bytes, k, VAULTRING_MAX_SHARES, a);
	vr_shamir_split(secret.bytes, k, VAULTRING_MAX_SHARES, b);
	if (memcmp(a, b, sizeof(a)) ? k == 1 : k > 1)
		return failed(k, "two splits are alike, or must be");
	err = combine_all(&secret, a, k);
	return err ?: combine_all(&secret, b, k);
}

int vr_shamir_selftest(void)
{
	unsigned int k;
	int err = 0;
	size_t i;

	for (i = 0; !err && i < ARRAY_SIZE(vectors); i++)
		err = check_vector(i);
	for (k = 1; !err && k <= VAULTRING_MAX_SHARES; k++)
		err = check_split(k);
	return err;
}
