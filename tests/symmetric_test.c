// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Clear shares of symmetric vault keys: their secrets and ciphertexts come from
 * outside, OpenSSL's AES key wrap being the vault, and what the kernel makes of
 * them, of those that are no such thing, and of what it was told.
 */
#include <stddef.h>
#include <stdio.h>
#include <sys/socket.h>

#include <linux/netlink.h>

#include "kselftest_harness.h"
#include "shares_fixture.h"

#define GOES_ON 1
#define WRAPPED VAULTRING_CLEAR_DATA_KEYWRAP
#define IDENTITY "https://hsm.managedhsm.azure.net/keys/wraps/0123456789abcdef"

/* A vault with a symmetric key, and a share that it has wrapped. */
struct aes_vault {
	uint8_t key[32];
	struct share_spec spec;
};

FIXTURE(symmetric)
{
	struct soft_vault ec;
	struct share_spec oblivious;
	struct aes_vault aes;
	struct kek kek;
	struct nl_reply r;
	int nl;
};

/* RFC 3394, either way; how many bytes came out, or -EINVAL */
static int key_wrap(const uint8_t *key, int wrap, const uint8_t *in, int len,
		    uint8_t *out)
{
	EVP_CIPHER *alg = EVP_CIPHER_fetch(NULL, "AES-256-WRAP", NULL);
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	int n = 0, good;

	EVP_CIPHER_CTX_set_flags(ctx, EVP_CIPHER_CTX_FLAG_WRAP_ALLOW);
	good = EVP_CipherInit_ex2(ctx, alg, key, NULL, wrap, NULL) == 1 &&
	       EVP_CipherUpdate(ctx, out, &n, in, len) == 1;
	EVP_CIPHER_CTX_free(ctx);
	EVP_CIPHER_free(alg);
	return good ? n : -EINVAL;
}

static int aes_vault_make(struct aes_vault *v, const char *identity)
{
	struct share_spec *spec = &v->spec;

	memset(v, 0, sizeof(*v));
	RAND_bytes(v->key, sizeof(v->key));
	spec->method = VAULTRING_METHOD_CLEAR;
	spec->identity = identity;
	spec->len = SECRET_SIZE;
	RAND_bytes(spec->data, SECRET_SIZE);
	SHA256((const uint8_t *)identity, strlen(identity), spec->fingerprint);
	spec->wrapped_len = WRAPPED;
	return key_wrap(v->key, 1, spec->data, SECRET_SIZE, spec->wrapped) ==
	       WRAPPED ? 0 : -EINVAL;
}

FIXTURE_SETUP(symmetric)
{
	self->nl = nl_open();
	ASSERT_GE(self->nl, 0);
	ASSERT_EQ(0, own_session());
	ASSERT_EQ(0, soft_vault_make(&self->ec));
	ASSERT_EQ(0, aes_vault_make(&self->aes, IDENTITY));
	memset(&self->oblivious, 0, sizeof(self->oblivious));
	self->oblivious.method = VAULTRING_METHOD_OBLIVIOUS;
	self->oblivious.len = SPKI_SIZE;
	memcpy(self->oblivious.data, self->ec.spki, SPKI_SIZE);
	memcpy(self->oblivious.fingerprint, self->ec.fingerprint, 32);
}

FIXTURE_TEARDOWN(symmetric)
{
	kek_revoke(self->nl, &self->kek);
	pins_set(self->nl, NULL, NULL, NULL);
	soft_vault_free(&self->ec);
	close(self->nl);
}

#define ANSWER(id, index, data, len) \
	state_of(answer_with(self->nl, id, index, data, len, 0, &self->r), \
		 &self->r)
#define SAYS(what) EXPECT_NE(NULL, strstr(self->r.text, what)) \
	TH_LOG("%s", self->r.text)

/* The envelope's last share, which is the symmetric one. */
#define LAST() ((struct vaultring_share *)(self->kek.envelope +		\
	self->kek.envelope_len - WRAPPED - sizeof(struct vaultring_share)))

TEST_F(symmetric, beside_an_oblivious_share_it_opens)
{
	uint8_t x[X_SIZE], secret[64];
	struct nl_share asked[2];
	uint64_t unseal;
	int i;

	ASSERT_EQ(0, PIN(&self->oblivious));
	EXPECT_EQ(-EACCES, CREATE(2, &self->oblivious, &self->aes.spec));
	SAYS("not pinned");
	ASSERT_EQ(0, PIN(&self->oblivious, &self->aes.spec));
	ASSERT_EQ(0, CREATE(2, &self->oblivious, &self->aes.spec))
		TH_LOG("%s", self->r.text);
	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, START());
		unseal = ID();
		ASSERT_EQ(2, nl_shares_of(&self->r, asked, 2));
		EXPECT_EQ(VAULTRING_METHOD_CLEAR, asked[1].method);
		ASSERT_EQ(WRAPPED, asked[1].len);
		EXPECT_EQ(0, memcmp(asked[1].fingerprint,
				    self->aes.spec.fingerprint, 32));
		ASSERT_EQ(SECRET_SIZE, key_wrap(self->aes.key, 0,
						asked[1].challenge, WRAPPED,
						secret));
		ASSERT_EQ(0, soft_vault_exchange(&self->ec, asked[0].challenge,
						 x));
		EXPECT_EQ(GOES_ON, ANSWER(unseal, i ? 1 : 2, i ? x : secret, 32));
		EXPECT_EQ(0, HELD());
		EXPECT_EQ(0, ANSWER(unseal, i ? 2 : 1, i ? secret : x, 32));
		EXPECT_EQ(1, HELD());
		ASSERT_EQ(0, kek_revoke(self->nl, &self->kek));
	}
}

TEST_F(symmetric, another_secret_is_refused)
{
	uint8_t x[X_SIZE], secret[SECRET_SIZE];
	struct nl_share asked[2];
	uint64_t unseal;

	ASSERT_EQ(0, PIN(&self->oblivious, &self->aes.spec));
	ASSERT_EQ(0, CREATE(2, &self->oblivious, &self->aes.spec));
	ASSERT_EQ(0, START());
	unseal = ID();
	ASSERT_EQ(2, nl_shares_of(&self->r, asked, 2));
	ASSERT_EQ(0, soft_vault_exchange(&self->ec, asked[0].challenge, x));
	memcpy(secret, self->aes.spec.data, sizeof(secret));
	secret[31] ^= 1;
	EXPECT_EQ(GOES_ON, ANSWER(unseal, 1, x, 32));
	EXPECT_EQ(-EKEYREJECTED, ANSWER(unseal, 2, secret, 32));
	EXPECT_EQ(0, HELD());
}

/* The rule of all clear shares, at creation and in whatever envelope. */
TEST_F(symmetric, alone_such_shares_never_make_a_kek)
{
	static const char text[] = "clear shares alone would reach the threshold";
	struct vaultring_envelope *head = (void *)self->kek.envelope;
	struct aes_vault second;

	ASSERT_EQ(0, aes_vault_make(&second, IDENTITY "0"));
	ASSERT_EQ(0, PIN(&self->oblivious, &self->aes.spec, &second.spec));
	EXPECT_EQ(-EINVAL, CREATE(1, &self->aes.spec));
	SAYS(text);
	EXPECT_EQ(-EINVAL, CREATE(1, &self->oblivious, &self->aes.spec));
	EXPECT_EQ(-EINVAL, CREATE(2, &self->aes.spec, &second.spec));
	EXPECT_EQ(-EINVAL, CREATE(2, &self->oblivious, &self->aes.spec,
				  &second.spec));
	SAYS(text);
	ASSERT_EQ(0, CREATE(3, &self->oblivious, &self->aes.spec, &second.spec));
	ASSERT_EQ(0, START());
	head->threshold = 2;
	EXPECT_EQ(-EKEYREJECTED, START());
	SAYS(text);
}

TEST_F(symmetric, secrets_and_ciphertexts_of_other_lengths_are_refused)
{
	static const size_t secrets[] = { 0, 1, 31, 33, 64 };
	static const size_t wrapped[] = { 0, 8, 32, 39, 41, 48 };
	struct share_spec spec;
	unsigned int i;

	ASSERT_EQ(0, PIN(&self->oblivious, &self->aes.spec));
	for (i = 0; i < sizeof(secrets) / sizeof(secrets[0]); i++) {
		spec = self->aes.spec;
		spec.len = secrets[i];
		EXPECT_EQ(-EINVAL, CREATE(2, &self->oblivious, &spec))
			TH_LOG("a secret of %zu bytes", secrets[i]);
		SAYS("a secret of 32 bytes and a ciphertext of 40");
	}
	for (i = 0; i < sizeof(wrapped) / sizeof(wrapped[0]); i++) {
		spec = self->aes.spec;
		spec.wrapped_len = wrapped[i];
		EXPECT_EQ(-EINVAL, CREATE(2, &self->oblivious, &spec))
			TH_LOG("a ciphertext of %zu bytes", wrapped[i]);
		SAYS("a secret of 32 bytes and a ciphertext of 40");
	}
	/* The control. */
	EXPECT_EQ(0, CREATE(2, &self->oblivious, &self->aes.spec));
}

/* Text without blanks, or a public key's bytes could pass for one. */
TEST_F(symmetric, identities_that_are_none_are_refused)
{
	static const char *const bad[] = {
		"", " ", "a b", "a\n", "\t", "a\x7f", "\x80", "\xc3\xa9", "a\x01",
	};
	struct share_spec spec = self->aes.spec;
	char longest[VAULTRING_MAX_IDENTITY + 2];
	unsigned int i;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		spec.identity = bad[i];
		SHA256((const uint8_t *)bad[i], strlen(bad[i]),
		       spec.fingerprint);
		ASSERT_EQ(0, PIN(&self->oblivious, &spec));
		EXPECT_EQ(-EINVAL, CREATE(2, &self->oblivious, &spec))
			TH_LOG("%u", i);
		SAYS("printable ASCII");
	}
	memset(longest, '~', sizeof(longest));
	longest[VAULTRING_MAX_IDENTITY] = 0;
	spec.identity = longest;
	SHA256((const uint8_t *)longest, VAULTRING_MAX_IDENTITY,
	       spec.fingerprint);
	ASSERT_EQ(0, PIN(&self->oblivious, &spec));
	EXPECT_EQ(0, CREATE(2, &self->oblivious, &spec));
	longest[VAULTRING_MAX_IDENTITY] = '~';
	longest[VAULTRING_MAX_IDENTITY + 1] = 0;
	EXPECT_NE(0, CREATE(2, &self->oblivious, &spec));
}

TEST_F(symmetric, two_shares_of_one_identity_are_refused)
{
	struct aes_vault second;

	ASSERT_EQ(0, aes_vault_make(&second, IDENTITY));
	ASSERT_EQ(0, PIN(&self->oblivious, &self->aes.spec));
	EXPECT_EQ(-EINVAL, CREATE(3, &self->oblivious, &self->aes.spec,
				  &second.spec));
	SAYS("same vault key");
}

/* A share request by hand, with what bits of @has say. */
enum { SECRET = 1, CIPHERTEXT = 2, NAME = 4, PUBLIC = 8 };

static int create_by_hand(int nl, const struct share_spec *first,
			  const struct aes_vault *v, uint32_t method,
			  unsigned int has, struct nl_reply *r)
{
	struct nl_msg m;
	size_t nest;

	nl_start(&m, VAULTRING_CMD_KEK_CREATE, 0);
	nl_put_text(&m, VAULTRING_A_NAME, "by-hand");
	nl_put_u32(&m, VAULTRING_A_THRESHOLD, 2);
	put_spec(&m, first);
	nest = nl_nest(&m, VAULTRING_A_SHARE);
	nl_put_u32(&m, VAULTRING_A_SHARE_METHOD, method);
	nl_put_text(&m, VAULTRING_A_SHARE_VAULT, "test");
	if (has & NAME)
		nl_put_text(&m, VAULTRING_A_SHARE_IDENTITY, v->spec.identity);
	if (has & CIPHERTEXT)
		nl_put(&m, VAULTRING_A_SHARE_CHALLENGE, v->spec.wrapped,
		       v->spec.wrapped_len);
	if (has & SECRET)
		nl_put(&m, VAULTRING_A_SHARE_ANSWER, v->spec.data, v->spec.len);
	if (has & PUBLIC)
		nl_put(&m, VAULTRING_A_SHARE_PUBLIC_KEY, first->data,
		       first->len);
	nl_nest_end(&m, nest);
	return nl_call(nl, &m, r);
}

TEST_F(symmetric, what_is_missing_or_too_much_is_refused)
{
	const unsigned int all = SECRET | CIPHERTEXT | NAME;
	unsigned int has;

	ASSERT_EQ(0, PIN(&self->oblivious, &self->aes.spec));
#define BY_HAND(method, has) create_by_hand(self->nl, &self->oblivious, \
		&self->aes, VAULTRING_METHOD_##method, has, &self->r)
	EXPECT_EQ(0, BY_HAND(CLEAR, all));
	for (has = 0; has < all; has++) {
		EXPECT_EQ(-EINVAL, BY_HAND(CLEAR, has)) TH_LOG("%u", has);
		SAYS("a share needs a public-key");
	}
	EXPECT_EQ(-EINVAL, BY_HAND(CLEAR, all | PUBLIC));
	EXPECT_EQ(-EINVAL, BY_HAND(OBLIVIOUS, all));
	EXPECT_EQ(-EINVAL, BY_HAND(OBLIVIOUS, all | PUBLIC));
	EXPECT_EQ(-EINVAL, BY_HAND(SEALED, all));
	SAYS("a share needs a public-key");
}

/* Longer or shorter by one byte, and of what other methods have. */
TEST_F(symmetric, an_envelope_with_another_length_is_refused)
{
	static const int lengths[] = { 0, 32, 39, 41, 64, 255 };
	struct kek good;
	unsigned int i;

	ASSERT_EQ(0, PIN(&self->oblivious, &self->aes.spec));
	ASSERT_EQ(0, CREATE(2, &self->oblivious, &self->aes.spec));
	ASSERT_EQ(0, START());
	good = self->kek;
	for (i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		self->kek = good;
		LAST()->data_len = lengths[i];
		self->kek.envelope_len += lengths[i] - WRAPPED;
		EXPECT_EQ(-EINVAL, START()) TH_LOG("%d", lengths[i]);
		SAYS("a clear share has 40 or 256 to 512 bytes");
	}
	self->kek = good;
}

/* Another ciphertext of the same secret, and another vault key's name. */
TEST_F(symmetric, a_changed_share_is_refused)
{
	uint8_t x[X_SIZE], other[32] = { 1 }, wrapped[64];
	struct nl_share asked[2];
	uint64_t unseal;
	int i;

	ASSERT_EQ(0, PIN(&self->oblivious, &self->aes.spec));
	ASSERT_EQ(0, CREATE(2, &self->oblivious, &self->aes.spec));
	ASSERT_EQ(WRAPPED, key_wrap(other, 1, self->aes.spec.data, SECRET_SIZE,
				    wrapped));
	for (i = 0; i < 2; i++) {
		if (i)
			LAST()->fingerprint[0] ^= 1;
		else
			memcpy(LAST() + 1, wrapped, WRAPPED);
		ASSERT_EQ(0, START());
		unseal = ID();
		ASSERT_EQ(2, nl_shares_of(&self->r, asked, 2));
		ASSERT_EQ(0, soft_vault_exchange(&self->ec, asked[0].challenge,
						 x));
		EXPECT_EQ(GOES_ON, ANSWER(unseal, 1, x, 32));
		EXPECT_EQ(-EKEYREJECTED, ANSWER(unseal, 2, self->aes.spec.data,
						32));
		SAYS("has been changed");
		EXPECT_EQ(0, HELD());
		memcpy(LAST() + 1, self->aes.spec.wrapped, WRAPPED);
	}
}

/* Whether @what is in the message that the kernel sends back with its refusal. */
static int echoed(int nl, struct nl_msg *m, const void *what, size_t len,
		  int *err)
{
	struct nlmsghdr *h;
	uint8_t buf[16384];
	int off = 0;
	ssize_t got;

	if (setsockopt(nl, SOL_NETLINK, NETLINK_CAP_ACK, &off, sizeof(off)) ||
	    nl_send(nl, m))
		return -1;
	got = recv(nl, buf, sizeof(buf), 0);
	h = (struct nlmsghdr *)buf;
	if (got < (ssize_t)m->len || h->nlmsg_type != NLMSG_ERROR)
		return -2;
	*err = ((struct nlmsgerr *)NLMSG_DATA(h))->error;
	return !!memmem(buf, (size_t)got, what, len);
}

/* The message outlives its handling; what comes back shows what is left of it. */
TEST_F(symmetric, what_it_was_told_is_wiped)
{
	static const uint8_t commands[] = {
		VAULTRING_CMD_KEK_CREATE, VAULTRING_CMD_RESEAL_START,
	};
	struct nl_msg m;
	unsigned int i;
	int err;

	ASSERT_EQ(0, PIN(&self->oblivious));
	for (i = 0; i < sizeof(commands); i++) {
		nl_start(&m, commands[i], 0);
		nl_put_text(&m, VAULTRING_A_NAME, "wiped");
		nl_put(&m, VAULTRING_A_ENVELOPE, "no envelope", 11);
		put_spec(&m, &self->oblivious);
		put_spec(&m, &self->aes.spec);
		EXPECT_EQ(0, echoed(self->nl, &m, self->aes.spec.data,
				    SECRET_SIZE, &err));
		EXPECT_LT(err, 0);
	}
	/* The control: of what is not for shares nothing is wiped. */
	nl_start(&m, VAULTRING_CMD_REQUEST_FAIL, 0);
	nl_put_text(&m, VAULTRING_A_NAME, "not wiped");
	EXPECT_EQ(1, echoed(self->nl, &m, "not wiped", 9, &err));
}

/* From a token's key alone to one of both, and the blobs' KEK stays what it is. */
TEST_F(symmetric, a_kek_is_resealed_for_it)
{
	uint8_t x[X_SIZE], id[16];
	struct nl_share asked[2];
	struct nl_msg m;
	int i, err = 0;

	ASSERT_EQ(0, PIN(&self->oblivious));
	ASSERT_EQ(0, CREATE(1, &self->oblivious));
	memcpy(id, self->kek.id, sizeof(id));
	for (i = 0; i < 2; i++) {
		nl_start(&m, VAULTRING_CMD_RESEAL_START, 0);
		nl_put(&m, VAULTRING_A_ENVELOPE, self->kek.envelope,
		       self->kek.envelope_len);
		nl_put_text(&m, VAULTRING_A_NAME, self->kek.name);
		nl_put_u32(&m, VAULTRING_A_VERSION, 1);
		nl_put_u32(&m, VAULTRING_A_THRESHOLD, 2);
		put_spec(&m, &self->oblivious);
		put_spec(&m, &self->aes.spec);
		err = nl_call(self->nl, &m, &self->r);
		EXPECT_EQ(i ? 0 : -EACCES, err);
		ASSERT_EQ(0, PIN(&self->oblivious, &self->aes.spec));
	}
	ASSERT_EQ(1, nl_shares_of(&self->r, asked, 2));
	ASSERT_EQ(0, soft_vault_exchange(&self->ec, asked[0].challenge, x));
	ASSERT_EQ(0, answer_with(self->nl, ID(), 1, x, 32, 0, &self->r));
	self->kek.envelope_len = self->r.attr_len[VAULTRING_A_ENVELOPE];
	ASSERT_GT(self->kek.envelope_len, WRAPPED);
	memcpy(self->kek.envelope, self->r.attr[VAULTRING_A_ENVELOPE],
	       self->kek.envelope_len);
	EXPECT_EQ(0, memcmp(LAST() + 1, self->aes.spec.wrapped, WRAPPED));
	ASSERT_EQ(0, START());
	ASSERT_EQ(2, nl_shares_of(&self->r, asked, 2));
	ASSERT_EQ(0, soft_vault_exchange(&self->ec, asked[0].challenge, x));
	EXPECT_EQ(GOES_ON, ANSWER(ID(), 1, x, 32));
	EXPECT_EQ(0, ANSWER(ID(), 2, self->aes.spec.data, 32));
	EXPECT_EQ(1, HELD());
	EXPECT_EQ(0, memcmp(id, self->kek.id, sizeof(id)));
}

TEST_HARNESS_MAIN
