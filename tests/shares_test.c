// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Clear and sealed shares, made and unsealed against OpenSSL: what a vault and
 * a hostile daemon could answer, and that a wrong answer says nothing of why.
 */
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <linux/capability.h>

#include "kselftest_harness.h"
#include "shares_fixture.h"

#define GOES_ON 1
#define ONE_TEXT \
	"not the vault's key, released for this transport key, or used before"

FIXTURE(shares)
{
	struct transport t;
	struct kek kek;
	struct nl_reply r;
	int nl;
};

FIXTURE_SETUP(shares)
{
	self->nl = nl_open();
	ASSERT_GE(self->nl, 0);
	ASSERT_EQ(0, own_session());
	ASSERT_EQ(0, transport_wait(self->nl, &self->t));
}

FIXTURE_TEARDOWN(shares)
{
	kek_revoke(self->nl, &self->kek);
	pins_set(self->nl, NULL, NULL, NULL);
	EVP_PKEY_free(self->t.key);
	BN_free(self->t.n);
	close(self->nl);
}

#define ANSWER(id, index, data, len, hash) \
	state_of(answer_with(self->nl, id, index, data, len, hash, &self->r), \
		 &self->r)

/* --- the transport key --- */

/* Here it is made, unless somebody has had it made before. */
TEST_F_TIMEOUT(shares, the_transport_key_is_rsa_3072_and_stays, 180)
{
	BIGNUM *e = NULL;
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(self->t.key, NULL);
	BN_CTX *numbers = BN_CTX_new();
	struct transport again;
	uint8_t der[1024], *at = der;
	int i, nl;

	EXPECT_EQ(1, EVP_PKEY_is_a(self->t.key, "RSA"));
	EXPECT_EQ(3072, EVP_PKEY_get_bits(self->t.key));
	EXPECT_EQ(1, EVP_PKEY_public_check(ctx));
	ASSERT_EQ(1, EVP_PKEY_get_bn_param(self->t.key, OSSL_PKEY_PARAM_RSA_E,
					   &e));
	EXPECT_TRUE(BN_is_word(e, 65537));
	EXPECT_FALSE(BN_check_prime(self->t.n, numbers, NULL));
	/* What the kernel wrote is what OpenSSL would write. */
	ASSERT_EQ((int)self->t.len, i2d_PUBKEY(self->t.key, &at));
	EXPECT_EQ(0, memcmp(der, self->t.spki, self->t.len));
	for (i = 0; i < 3; i++) {
		nl = nl_open();
		ASSERT_EQ(0, transport_wait(nl, &again));
		EXPECT_EQ(self->t.len, again.len);
		EXPECT_EQ(0, memcmp(self->t.spki, again.spki, again.len));
		EVP_PKEY_free(again.key);
		BN_free(again.n);
		close(nl);
	}
	BN_free(e);
	BN_CTX_free(numbers);
	EVP_PKEY_CTX_free(ctx);
}

/* Each time by another r, another AES key and another secret. */
TEST_F_TIMEOUT(shares, a_hundred_released_keys_are_read_right, 300)
{
	struct share_spec spec;
	uint8_t key[KEY_SIZE];
	int i;

	for (i = 0; i < 100; i++) {
		RAND_bytes(key, sizeof(key));
		/* Leading zeros are bytes like others. */
		memset(key, 0, i % 4);
		ASSERT_EQ(0, release(&self->t, 1 + i % 2, key, &spec));
		ASSERT_EQ(0, fingerprint_of(self->nl, spec.data, spec.len,
					    spec.hash, &self->r))
			TH_LOG("round %d: %s", i, self->r.text);
		/* share { fingerprint } */
		ASSERT_EQ(36, self->r.attr_len[VAULTRING_A_SHARE]);
		EXPECT_EQ(0, memcmp(spec.fingerprint, (const uint8_t *)
				    self->r.attr[VAULTRING_A_SHARE] + 4, 32));
	}
}

static int drop_to_net_admin(void)
{
	struct __user_cap_header_struct h = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct d[2] = {};

	d[0].effective = d[0].permitted = 1u << CAP_NET_ADMIN;
	return syscall(SYS_capset, &h, d);
}

TEST_F(shares, net_admin_gets_the_transport_key_and_no_fingerprint)
{
	struct share_spec spec;
	uint8_t key[KEY_SIZE] = { 1 };
	struct nl_reply r;
	pid_t pid;

	ASSERT_EQ(0, release(&self->t, 1, key, &spec));
	pid = fork();
	if (!pid) {
		int nl = nl_open();

		if (nl < 0 || drop_to_net_admin())
			_exit(100);
		if (transport_get(nl, &r))
			_exit(1);
		_exit(fingerprint_of(nl, spec.data, spec.len, 1, &r) == -EPERM ?
		      0 : 2);
	}
	EXPECT_EQ(0, outcome(pid));
}

static int transport_as_nobody(void *arg)
{
	struct nl_reply r;
	int nl = nl_open();

	(void)arg;
	return nl < 0 ? 100 : transport_get(nl, &r) == -EPERM ? 0 : 1;
}

TEST_F(shares, nobody_gets_neither)
{
	EXPECT_EQ(0, as_nobody(transport_as_nobody, NULL));
}

/* --- sealed --- */

TEST_F(shares, a_sealed_share_is_the_vaults_key)
{
	uint8_t key[KEY_SIZE], master[32], id[32], info[18 + 1 + 32 + 1];
	const struct vaultring_envelope *head = (void *)self->kek.envelope;
	const struct vaultring_share *share = (void *)(head + 1);
	struct share_spec spec, fresh;
	struct nl_share asked;
	uint8_t nonce[32];
	uint64_t unseal;
	int i;

	RAND_bytes(key, sizeof(key));
	ASSERT_EQ(0, release(&self->t, VAULTRING_HASH_SHA384, key, &spec));
	EXPECT_EQ(-EACCES, CREATE(1, &spec));
	EXPECT_NE(NULL, strstr(self->r.text, "not pinned"));
	ASSERT_EQ(0, PIN(&spec));
	ASSERT_EQ(0, CREATE(1, &spec)) TH_LOG("%s", self->r.text);
	EXPECT_EQ(248 + 136, self->kek.envelope_len);
	EXPECT_EQ(0, memcmp(share->fingerprint, spec.fingerprint, 32));

	/* The formats, by OpenSSL: M, and the id that follows from it. */
	ASSERT_EQ(32, sizeof(head->salt));
	memcpy(info, "vaultring share v1\1", 19);
	memcpy(info + 19, head->salt, 32);
	{
		EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
		EVP_KDF_CTX *ctx = EVP_KDF_CTX_new(kdf);
		OSSL_PARAM params[] = {
			OSSL_PARAM_construct_utf8_string("digest", "SHA256", 0),
			OSSL_PARAM_construct_octet_string("key", key, 32),
			OSSL_PARAM_construct_octet_string("info", info, 51),
			OSSL_PARAM_construct_end(),
		};

		ASSERT_EQ(1, EVP_KDF_derive(ctx, master, 32, params));
		EVP_KDF_CTX_free(ctx);
		EVP_KDF_free(kdf);
	}
	for (i = 0; i < 32; i++)
		master[i] ^= share->masked[i];
	ASSERT_EQ(0, hkdf(master, "vaultring id v1", id));
	EXPECT_EQ(0, memcmp(id, self->kek.id, 16));

	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, START());
		unseal = ID();
		ASSERT_EQ(0, nl_share_of(&self->r, &asked));
		EXPECT_EQ(VAULTRING_METHOD_SEALED, asked.method);
		ASSERT_EQ(32, asked.len);
		/* Fresh each time. */
		if (i)
			EXPECT_NE(0, memcmp(nonce, asked.challenge, 32));
		memcpy(nonce, asked.challenge, 32);
		ASSERT_EQ(0, release(&self->t, 1 + i, key, &fresh));
		EXPECT_EQ(0, ANSWER(unseal, 1, fresh.data, fresh.len,
				    fresh.hash));
		EXPECT_EQ(1, HELD());
		ASSERT_EQ(0, kek_revoke(self->nl, &self->kek));
	}
}

TEST_F(shares, an_answer_serves_once)
{
	struct share_spec spec, fresh, late;
	uint8_t key[KEY_SIZE];
	uint64_t unseal;

	RAND_bytes(key, sizeof(key));
	ASSERT_EQ(0, release(&self->t, 1, key, &spec));
	ASSERT_EQ(0, PIN(&spec));
	ASSERT_EQ(0, CREATE(1, &spec));
	/* The one that it was made with. */
	ASSERT_EQ(0, START());
	unseal = ID();
	EXPECT_EQ(-EKEYREJECTED, ANSWER(unseal, 1, spec.data, spec.len, 1));
	EXPECT_EQ(0, HELD());
	EXPECT_EQ(-EKEYREJECTED, CREATE(1, &spec));

	ASSERT_EQ(0, release(&self->t, 1, key, &fresh));
	ASSERT_EQ(0, release(&self->t, 1, key, &late));
	/* That unseal is over. */
	EXPECT_EQ(-ENOENT, ANSWER(unseal, 1, fresh.data, fresh.len, 1));
	ASSERT_EQ(0, START());
	unseal = ID();
	EXPECT_EQ(0, ANSWER(unseal, 1, fresh.data, fresh.len, 1));
	EXPECT_EQ(-ENOENT, ANSWER(unseal, 1, late.data, late.len, 1));
	ASSERT_EQ(0, kek_revoke(self->nl, &self->kek));
	ASSERT_EQ(0, START());
	EXPECT_EQ(-EKEYREJECTED, ANSWER(ID(), 1, fresh.data, fresh.len, 1));
	EXPECT_EQ(0, HELD());
	/* After its deadline. */
	ASSERT_EQ(0, unseal_start(self->nl, self->kek.envelope,
				  self->kek.envelope_len, 1, &self->r));
	unseal = ID();
	usleep(200000);
	EXPECT_EQ(-ENOENT, ANSWER(unseal, 1, late.data, late.len, 1));
	/* Never taken, and so good. */
	ASSERT_EQ(0, START());
	EXPECT_EQ(0, ANSWER(ID(), 1, late.data, late.len, 1));
}

/* --- what is wrong with an answer --- */

enum wrong {
	FIRST_BYTE, FIRST_BYTE_TOP, LABEL_FIRST, LABEL_LAST, PADDING_FIRST,
	PADDING_LAST, NO_SEPARATOR, SEPARATOR_FF, SEPARATOR_LATE, AES_128,
	AES_192, NO_KEY, LONGER, KWP_CHECK, KWP_OF_16, KWP_OF_31, OTHER_HASH,
	OTHER_VAULT, NUMBER_0, NUMBER_1, NUMBER_N, NUMBER_N_LESS_1, NUMBER_MORE,
	CUT, TOO_LONG, EMPTY, RSA_ALONE, WRONGS
};

static const char *const wrong_names[WRONGS] = {
	"first byte 1", "first byte 80", "lHash, first byte", "lHash, last byte",
	"PS, first byte", "PS, last byte", "no 01", "ff for 01", "01 late",
	"an AES-128 key", "an AES-192 key", "an empty message", "33 bytes",
	"the wrap's check", "a key of 16 bytes", "a key of 31 bytes",
	"encoded with the other hash", "another vault's key", "0", "1", "n",
	"n - 1", "c + n", "one byte less", "one byte more", "nothing",
	"no wrapped key",
};

/* How long the message of the encoding is. */
static int message_size(enum wrong w)
{
	switch (w) {
	case AES_128:
		return 16;
	case AES_192:
		return 24;
	case NO_KEY:
		return 0;
	case LONGER:
		return 33;
	default:
		return 32;
	}
}

static void spoil_block(enum wrong w, uint32_t hash, uint8_t *db, int at)
{
	int hlen = EVP_MD_get_size(md_of(hash));

	switch (w) {
	case LABEL_FIRST:
		db[0] ^= 1;
		break;
	case LABEL_LAST:
		db[hlen - 1] ^= 0x80;
		break;
	case PADDING_FIRST:
		db[hlen] = 1;
		break;
	case PADDING_LAST:
		db[at - 2] = 0x40;
		break;
	case NO_SEPARATOR:
		db[at - 1] = 0;
		break;
	case SEPARATOR_FF:
		db[at - 1] = 0xff;
		break;
	case SEPARATOR_LATE:
		db[at - 1] = 0;
		db[at] = 1;
		break;
	default:
		break;
	}
}

/* A number that is not what RSA takes, in place of the ciphertext. */
static void spoil_number(enum wrong w, const struct transport *t, uint8_t *c)
{
	BIGNUM *v = BN_new();

	BN_copy(v, t->n);
	if (w == NUMBER_0 || w == NUMBER_1)
		BN_set_word(v, w == NUMBER_1);
	else if (w == NUMBER_N_LESS_1)
		BN_sub_word(v, 1);
	else if (w == NUMBER_MORE)
		BN_set_bit(v, 8 * RSA_SIZE - 2);
	BN_bn2binpad(v, c, RSA_SIZE);
	BN_free(v);
}

static size_t spoilt_size(enum wrong w)
{
	switch (w) {
	case CUT:
		return WRAP_SIZE - 1;
	case TOO_LONG:
		return WRAP_SIZE + 1;
	case EMPTY:
		return 0;
	case RSA_ALONE:
		return RSA_SIZE;
	default:
		return WRAP_SIZE;
	}
}

/* An answer that is wrong in one way and else what the vault would give. */
static int spoilt(const struct transport *t, enum wrong w, uint32_t hash,
		  const uint8_t *key, uint8_t *out, size_t *len)
{
	uint8_t kek[33], db[RSA_SIZE], em[RSA_SIZE], other[KEY_SIZE], first = 0;
	uint32_t with = w == OTHER_HASH ? 3 - hash : hash;
	int at, size = KEY_SIZE;

	RAND_bytes(kek, sizeof(kek));
	RAND_bytes(other, sizeof(other));
	memset(out, 0, WRAP_SIZE + 1);
	if (w == KWP_OF_16 || w == KWP_OF_31)
		size = w == KWP_OF_16 ? 16 : 31;
	if (kwp(kek, w == OTHER_VAULT ? other : key, size, out + RSA_SIZE) < 0)
		return -EINVAL;
	if (w == KWP_CHECK)
		out[RSA_SIZE] ^= 1;
	at = data_block(with, kek, message_size(w), db);
	spoil_block(w, with, db, at);
	if (w == FIRST_BYTE)
		first = 1;
	if (w == FIRST_BYTE_TOP)
		first = 0x80;
	encode(with, first, db, em);
	*len = spoilt_size(w);
	if (w >= NUMBER_0 && w <= NUMBER_MORE)
		spoil_number(w, t, out);
	else if (raw_rsa(t, em, out))
		return -EINVAL;
	return 0;
}

/* Or each of them would show nothing. */
TEST_F(shares, an_encoding_made_by_hand_is_taken)
{
	uint8_t key[KEY_SIZE] = { 7 }, answer[WRAP_SIZE + 1];
	uint32_t hash;
	size_t len;

	for (hash = 1; hash <= 2; hash++) {
		ASSERT_EQ(0, spoilt(&self->t, WRONGS, hash, key, answer, &len));
		EXPECT_EQ(0, fingerprint_of(self->nl, answer, len, hash,
					    &self->r));
	}
}

TEST_F_TIMEOUT(shares, whatever_is_wrong_is_said_alike, 300)
{
	uint8_t key[KEY_SIZE], answer[WRAP_SIZE + 1];
	struct share_spec spec, fresh;
	uint32_t hash;
	size_t len;
	int w;

	RAND_bytes(key, sizeof(key));
	ASSERT_EQ(0, release(&self->t, 1, key, &spec));
	ASSERT_EQ(0, PIN(&spec));
	ASSERT_EQ(0, CREATE(1, &spec));
	for (hash = 1; hash <= 2; hash++) {
		for (w = 0; w < WRONGS; w++) {
			ASSERT_EQ(0, spoilt(&self->t, w, hash, key, answer,
					    &len));
			ASSERT_EQ(0, START());
			EXPECT_EQ(-EKEYREJECTED, ANSWER(ID(), 1, answer, len,
							hash))
				TH_LOG("%s", wrong_names[w]);
			EXPECT_STREQ(ONE_TEXT, self->r.text)
				TH_LOG("%s", wrong_names[w]);
			EXPECT_EQ(0, HELD());
			if (w == OTHER_VAULT)
				continue;	/* a fingerprint like any */
			EXPECT_EQ(-EKEYREJECTED,
				  fingerprint_of(self->nl, answer, len, hash,
						 &self->r))
				TH_LOG("%s", wrong_names[w]);
			EXPECT_STREQ(ONE_TEXT, self->r.text);
		}
	}
	/* The control. */
	ASSERT_EQ(0, release(&self->t, 1, key, &fresh));
	ASSERT_EQ(0, START());
	EXPECT_EQ(0, ANSWER(ID(), 1, fresh.data, fresh.len, 1));
}

TEST_F(shares, an_answer_to_create_with_is_judged_alike)
{
	static const enum wrong some[] = { FIRST_BYTE, NO_SEPARATOR, KWP_CHECK,
					   NUMBER_N, CUT };
	struct share_spec spec = { .method = VAULTRING_METHOD_SEALED, .hash = 1 };
	uint8_t key[KEY_SIZE] = { 3 }, answer[WRAP_SIZE + 1];
	unsigned int i;

	for (i = 0; i < sizeof(some) / sizeof(some[0]); i++) {
		ASSERT_EQ(0, spoilt(&self->t, some[i], 1, key, answer,
				    &spec.len));
		memcpy(spec.data, answer, spec.len);
		EXPECT_EQ(-EKEYREJECTED, CREATE(1, &spec));
		EXPECT_STREQ(ONE_TEXT, self->r.text);
	}
}

/* --- clear --- */

struct pair {
	struct soft_vault ec;
	struct share_spec oblivious;
	struct rsa_vault rsa;
};

static int pair_make(struct pair *p, int bits)
{
	int err = soft_vault_make(&p->ec);

	memset(&p->oblivious, 0, sizeof(p->oblivious));
	p->oblivious.method = VAULTRING_METHOD_OBLIVIOUS;
	p->oblivious.len = SPKI_SIZE;
	memcpy(p->oblivious.data, p->ec.spki, SPKI_SIZE);
	memcpy(p->oblivious.fingerprint, p->ec.fingerprint, 32);
	return err ? err : rsa_vault_make(&p->rsa, bits, 65537);
}

static void pair_free(struct pair *p)
{
	soft_vault_free(&p->ec);
	rsa_vault_free(&p->rsa);
}

TEST_F(shares, two_of_two_oblivious_and_clear)
{
	uint8_t x[X_SIZE], secret[SECRET_SIZE];
	struct nl_share asked[2];
	uint64_t unseal;
	struct pair p;
	int i;

	ASSERT_EQ(0, pair_make(&p, 2048));
	ASSERT_EQ(0, PIN(&p.oblivious));
	EXPECT_EQ(-EACCES, CREATE(2, &p.oblivious, &p.rsa.spec));
	ASSERT_EQ(0, PIN(&p.oblivious, &p.rsa.spec));
	ASSERT_EQ(0, CREATE(2, &p.oblivious, &p.rsa.spec))
		TH_LOG("%s", self->r.text);
	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, START());
		unseal = ID();
		ASSERT_EQ(2, nl_shares_of(&self->r, asked, 2));
		EXPECT_EQ(VAULTRING_METHOD_CLEAR, asked[1].method);
		EXPECT_EQ(256, asked[1].len);
		EXPECT_EQ(0, memcmp(asked[1].fingerprint,
				    p.rsa.spec.fingerprint, 32));
		ASSERT_EQ(0, soft_vault_exchange(&p.ec, asked[0].challenge, x));
		ASSERT_EQ(0, rsa_vault_unwrap(&p.rsa, asked[1].challenge,
					      asked[1].len, secret));
		EXPECT_EQ(GOES_ON, ANSWER(unseal, i ? 1 : 2, i ? x : secret, 32,
					  0));
		EXPECT_EQ(0, HELD());
		EXPECT_EQ(0, ANSWER(unseal, i ? 2 : 1, i ? secret : x, 32, 0));
		EXPECT_EQ(1, HELD());
		ASSERT_EQ(0, kek_revoke(self->nl, &self->kek));
	}
	pair_free(&p);
}

TEST_F(shares, a_clear_share_that_is_not_the_vaults_is_refused)
{
	static const size_t sizes[] = { 0, 1, 31, 33, 64 };
	uint8_t x[X_SIZE], secret[64] = {};
	struct nl_share asked[2];
	uint64_t unseal;
	unsigned int i;
	struct pair p;

	ASSERT_EQ(0, pair_make(&p, 2048));
	ASSERT_EQ(0, PIN(&p.oblivious, &p.rsa.spec));
	ASSERT_EQ(0, CREATE(2, &p.oblivious, &p.rsa.spec));
	for (i = 0; i <= sizeof(sizes) / sizeof(sizes[0]); i++) {
		ASSERT_EQ(0, START());
		unseal = ID();
		ASSERT_EQ(2, nl_shares_of(&self->r, asked, 2));
		ASSERT_EQ(0, soft_vault_exchange(&p.ec, asked[0].challenge, x));
		ASSERT_EQ(0, rsa_vault_unwrap(&p.rsa, asked[1].challenge,
					      asked[1].len, secret));
		EXPECT_EQ(GOES_ON, ANSWER(unseal, 1, x, 32, 0));
		secret[7] ^= i == 5;
		EXPECT_EQ(-EKEYREJECTED, ANSWER(unseal, 2, secret,
						i < 5 ? sizes[i] : 32, 0));
		EXPECT_EQ(0, HELD());
	}
	pair_free(&p);
}

TEST_F(shares, clear_shares_alone_never_make_a_kek)
{
	static const char text[] = "clear shares alone would reach the threshold";
	struct vaultring_envelope *head = (void *)self->kek.envelope;
	struct rsa_vault second;
	struct pair p;

	ASSERT_EQ(0, pair_make(&p, 2048));
	ASSERT_EQ(0, rsa_vault_make(&second, 2048, 65537));
	ASSERT_EQ(0, PIN(&p.oblivious, &p.rsa.spec, &second.spec));
	EXPECT_EQ(-EINVAL, CREATE(1, &p.rsa.spec));
	EXPECT_EQ(0, strncmp(text, self->r.text, sizeof(text) - 1));
	EXPECT_EQ(-EINVAL, CREATE(1, &p.oblivious, &p.rsa.spec));
	EXPECT_EQ(-EINVAL, CREATE(2, &p.rsa.spec, &second.spec));
	EXPECT_EQ(-EINVAL, CREATE(2, &p.oblivious, &p.rsa.spec, &second.spec));
	/* The same in an envelope, whoever made it. */
	ASSERT_EQ(0, CREATE(3, &p.oblivious, &p.rsa.spec, &second.spec));
	ASSERT_EQ(0, START());
	head->threshold = 2;
	EXPECT_EQ(-EKEYREJECTED, START());
	EXPECT_STREQ(text, self->r.text);
	head->threshold = 1;
	EXPECT_EQ(-EKEYREJECTED, START());
	rsa_vault_free(&second);
	pair_free(&p);
}

/* The largest envelope there can be, and each size of key. */
TEST_F_TIMEOUT(shares, seven_clear_shares_of_rsa_4096, 120)
{
	static const int sizes[] = { 4096, 4095, 4089, 3072, 2049, 4096, 4096 };
	const struct share_spec *specs[SHARES];
	struct rsa_vault rsa[SHARES - 1];
	uint8_t x[X_SIZE], secrets[SHARES - 1][SECRET_SIZE];
	struct nl_share asked[SHARES];
	struct pair p;
	uint64_t unseal;
	int i;

	ASSERT_EQ(0, pair_make(&p, 2048));
	specs[7] = &p.oblivious;
	for (i = 0; i < 7; i++) {
		/* The largest prime below 2^32 is an exponent, too. */
		ASSERT_EQ(0, rsa_vault_make(&rsa[i], sizes[i],
					    i % 2 ? 4294967291UL : 65537));
		specs[i] = &rsa[i].spec;
	}
	ASSERT_EQ(0, pin_specs(self->nl, specs, SHARES));
	ASSERT_EQ(0, create(self->nl, specs, SHARES, SHARES, &self->kek,
			    &self->r)) TH_LOG("%s", self->r.text);
	ASSERT_EQ(0, START());
	unseal = ID();
	ASSERT_EQ(SHARES, nl_shares_of(&self->r, asked, SHARES));
	for (i = 0; i < 7; i++)
		ASSERT_EQ(0, rsa_vault_unwrap(&rsa[i], asked[i].challenge,
					      asked[i].len, secrets[i]))
			TH_LOG("%d bits", sizes[i]);
	ASSERT_EQ(0, soft_vault_exchange(&p.ec, asked[7].challenge, x));
	for (i = 0; i < 7; i++)
		EXPECT_EQ(GOES_ON, ANSWER(unseal, i + 1, secrets[i], 32, 0));
	EXPECT_EQ(0, HELD());
	EXPECT_EQ(0, ANSWER(unseal, 8, x, 32, 0));
	EXPECT_EQ(1, HELD());
	for (i = 0; i < 7; i++)
		rsa_vault_free(&rsa[i]);
	pair_free(&p);
}

/* Pinned, and yet none to encrypt for. */
TEST_F(shares, public_keys_that_will_not_do_are_refused)
{
	static const struct {
		int bits, even;
		unsigned long e;
	} numbers[] = {
		{ 1024, 0, 65537 }, { 2047, 0, 65537 }, { 4097, 0, 65537 },
		{ 4104, 0, 65537 }, { 2048, 1, 65537 }, { 2048, 0, 3 },
		{ 2048, 0, 1 }, { 2048, 0, 65535 }, { 2048, 0, 65538 },
		{ 2048, 0, 4294967297UL },
	};
	/* byte at, from, to: of an RSA-2048 key's 294 */
	static const struct {
		int at;
		uint8_t from, to;
	} bytes[] = {
		{ 0, 0x30, 0x31 }, { 1, 0x82, 0x83 }, { 3, 0x22, 0x21 },
		{ 14, 0x01, 0x0a }, { 16, 0x01, 0x00 }, { 17, 0x05, 0x04 },
		{ 19, 0x03, 0x04 }, { 23, 0x00, 0x01 }, { 24, 0x30, 0x31 },
		{ 28, 0x02, 0x03 }, { 32, 0x00, 0x80 }, { 289, 0x02, 0x01 },
		{ 290, 0x03, 0x02 }, { 290, 0x03, 0x04 }, { 291, 0x01, 0x81 },
	};
	BIGNUM *n = BN_new(), *e = BN_new();
	struct share_spec spec;
	struct pair p, other;
	unsigned int i;

	ASSERT_EQ(0, pair_make(&p, 2048));
	for (i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		BN_rand(n, numbers[i].bits, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ODD);
		if (numbers[i].even)
			BN_clear_bit(n, 0);
		BN_set_word(e, numbers[i].e);
		rsa_spki(&spec, n, e);
		ASSERT_EQ(0, PIN(&p.oblivious, &spec));
		EXPECT_EQ(-EKEYREJECTED, CREATE(2, &p.oblivious, &spec))
			TH_LOG("%d bits, e %lu", numbers[i].bits, numbers[i].e);
		EXPECT_NE(NULL, strstr(self->r.text, "not an RSA public key"));
	}
	ASSERT_EQ(294, p.rsa.spec.len);
	for (i = 0; i < sizeof(bytes) / sizeof(bytes[0]); i++) {
		spec = p.rsa.spec;
		ASSERT_EQ(bytes[i].from, spec.data[bytes[i].at])
			TH_LOG("byte %d", bytes[i].at);
		spec.data[bytes[i].at] = bytes[i].to;
		SHA256(spec.data, spec.len, spec.fingerprint);
		ASSERT_EQ(0, PIN(&p.oblivious, &spec));
		EXPECT_EQ(-EKEYREJECTED, CREATE(2, &p.oblivious, &spec))
			TH_LOG("byte %d: %02x", bytes[i].at, bytes[i].to);
	}
	for (i = 1; i < 3; i++) {
		spec = p.rsa.spec;
		spec.len += i == 1 ? 1 : -1;
		SHA256(spec.data, spec.len, spec.fingerprint);
		ASSERT_EQ(0, PIN(&p.oblivious, &spec));
		EXPECT_EQ(-EKEYREJECTED, CREATE(2, &p.oblivious, &spec));
	}
	/* Nor does a key serve for another method. */
	ASSERT_EQ(0, pair_make(&other, 2048));
	ASSERT_EQ(0, PIN(&p.oblivious, &other.oblivious, &p.rsa.spec));
	spec = other.oblivious;
	spec.method = VAULTRING_METHOD_CLEAR;
	EXPECT_EQ(-EKEYREJECTED, CREATE(2, &p.oblivious, &spec));
	spec = p.rsa.spec;
	spec.method = VAULTRING_METHOD_OBLIVIOUS;
	EXPECT_EQ(-EKEYREJECTED, CREATE(1, &spec));
	BN_free(n);
	BN_free(e);
	pair_free(&other);
	pair_free(&p);
}

/* One bit of each kind of byte, in the middle of the ciphertext, too. */
TEST_F_TIMEOUT(shares, a_changed_ciphertext_is_refused, 120)
{
	const size_t data = 248 + 136 + POINT_SIZE + 136;
	static const int at[] = { 0, 1, 100, 255 };
	uint8_t x[X_SIZE], secret[SECRET_SIZE];
	struct nl_share asked[2];
	uint64_t unseal;
	unsigned int i;
	struct pair p;

	ASSERT_EQ(0, pair_make(&p, 2048));
	ASSERT_EQ(0, PIN(&p.oblivious, &p.rsa.spec));
	ASSERT_EQ(0, CREATE(2, &p.oblivious, &p.rsa.spec));
	ASSERT_EQ(data + 256, self->kek.envelope_len);
	ASSERT_EQ(0, START());
	ASSERT_EQ(2, nl_shares_of(&self->r, asked, 2));
	ASSERT_EQ(0, rsa_vault_unwrap(&p.rsa, asked[1].challenge, 256, secret));
	for (i = 0; i < sizeof(at) / sizeof(at[0]); i++) {
		self->kek.envelope[data + at[i]] ^= 1;
		ASSERT_EQ(0, START());
		unseal = ID();
		ASSERT_EQ(2, nl_shares_of(&self->r, asked, 2));
		ASSERT_EQ(0, soft_vault_exchange(&p.ec, asked[0].challenge, x));
		EXPECT_EQ(GOES_ON, ANSWER(unseal, 1, x, 32, 0));
		/* Though the secret is the right one: the HMAC sees it. */
		EXPECT_EQ(-EKEYREJECTED, ANSWER(unseal, 2, secret, 32, 0));
		EXPECT_STREQ("the envelope has been changed", self->r.text);
		self->kek.envelope[data + at[i]] ^= 1;
	}
	pair_free(&p);
}

/* --- all three --- */

TEST_F(shares, three_methods_in_one_kek)
{
	uint8_t x[X_SIZE], secret[SECRET_SIZE], key[KEY_SIZE];
	struct share_spec sealed, fresh;
	struct nl_share asked[3];
	uint64_t unseal;
	struct pair p;
	int skip;

	RAND_bytes(key, sizeof(key));
	ASSERT_EQ(0, pair_make(&p, 3072));
	ASSERT_EQ(0, release(&self->t, 2, key, &sealed));
	ASSERT_EQ(0, PIN(&p.oblivious, &p.rsa.spec, &sealed));
	ASSERT_EQ(0, CREATE(2, &p.rsa.spec, &sealed, &p.oblivious))
		TH_LOG("%s", self->r.text);
	for (skip = 0; skip < 3; skip++) {
		ASSERT_EQ(0, START());
		unseal = ID();
		ASSERT_EQ(3, nl_shares_of(&self->r, asked, 3));
		ASSERT_EQ(0, rsa_vault_unwrap(&p.rsa, asked[0].challenge,
					      asked[0].len, secret));
		ASSERT_EQ(0, soft_vault_exchange(&p.ec, asked[2].challenge, x));
		ASSERT_EQ(0, release(&self->t, 1, key, &fresh));
		if (skip != 0)
			EXPECT_EQ(GOES_ON, ANSWER(unseal, 1, secret, 32, 0));
		if (skip != 1)
			EXPECT_EQ(skip ? 0 : GOES_ON,
				  ANSWER(unseal, 2, fresh.data, fresh.len, 1));
		if (skip != 2)
			EXPECT_EQ(0, ANSWER(unseal, 3, x, 32, 0));
		EXPECT_EQ(1, HELD());
		ASSERT_EQ(0, kek_revoke(self->nl, &self->kek));
	}
	pair_free(&p);
}

/* --- so many answers --- */

/* One more, in an unseal of its own; -EKEYREJECTED: the key is another by now. */
static int one_more(int nl, struct kek *kek, const struct transport *t,
		    const uint8_t *key, struct share_spec *answer)
{
	struct nl_reply r;
	int err = release(t, 1, key, answer) ?:
		  unseal_start(nl, kek->envelope, kek->envelope_len, 0, &r);

	err = err ?: state_of(answer_with(nl, nl_u64(&r, VAULTRING_A_UNSEAL), 1,
					  answer->data, answer->len, 1, &r), &r);
	return err ?: kek_revoke(nl, kek);
}

/*
 * None of them is ever forgotten while it would serve: at the thousandth the key
 * goes that they are for.  The tests before this one have used some up.
 */
TEST_F_TIMEOUT(shares, after_a_thousand_answers_there_is_another_key, 1800)
{
	int i, err = 0, rounds = getenv("VAULTRING_SHORT") ? 10 : 1001;
	struct share_spec spec, first, next;
	uint8_t key[KEY_SIZE];
	struct transport other;

	RAND_bytes(key, sizeof(key));
	ASSERT_EQ(0, release(&self->t, 1, key, &spec));
	ASSERT_EQ(0, PIN(&spec));
	ASSERT_EQ(0, CREATE(1, &spec)) TH_LOG("%s", self->r.text);
	for (i = 0; i < rounds && !err; i++)
		err = one_more(self->nl, &self->kek, &self->t, key,
			       i ? &next : &first);
	if (rounds < 1000) {
		EXPECT_EQ(0, err);
		return;
	}
	EXPECT_EQ(-EKEYREJECTED, err);
	EXPECT_LT(i, 1001);
	EXPECT_GT(i, 900);
	ASSERT_EQ(0, transport_wait(self->nl, &other));
	EXPECT_NE(0, BN_cmp(other.n, self->t.n));
	/* The first one, of which nothing is known any more, serves nobody. */
	ASSERT_EQ(0, START());
	EXPECT_EQ(-EKEYREJECTED, ANSWER(ID(), 1, first.data, first.len, 1));
	EXPECT_EQ(0, one_more(self->nl, &self->kek, &other, key, &next));
	EVP_PKEY_free(other.key);
	BN_free(other.n);
}

TEST_HARNESS_MAIN
