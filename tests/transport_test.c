// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Keeping the transport key: what is saved is what the oracle says, only that
 * and only root loads it, and it takes the place of the one that there is.
 */
#include <fcntl.h>
#include <sys/syscall.h>

#include <linux/capability.h>

#include "transport_fixture.h"

/* --- what is saved --- */

/* Here the key is made, unless somebody has had it made before. */
TEST_F_TIMEOUT(transport, the_oracle_finds_the_primes_of_the_key, 180)
{
	uint8_t n[RSA_SIZE], p[PRIME_SIZE], q[PRIME_SIZE];
	BN_CTX *ctx = BN_CTX_new();
	BIGNUM *a, *b, *product = BN_new();
	char out[4096];
	struct vaultring_transport again;

	ASSERT_EQ(820, sizeof(struct vaultring_transport));
	ASSERT_EQ(RSA_SIZE, BN_bn2binpad(self->t.n, n, RSA_SIZE));
	EXPECT_EQ(0, memcmp(n, self->kept.modulus, RSA_SIZE));
	ASSERT_EQ(0, oracle(&self->vault, &self->kek, "transport", &self->kept,
			    out, sizeof(out))) TH_LOG("%s", out);
	ASSERT_EQ(0, field(out, "p=", p, PRIME_SIZE));
	ASSERT_EQ(0, field(out, "q=", q, PRIME_SIZE));
	a = BN_bin2bn(p, PRIME_SIZE, NULL);
	b = BN_bin2bn(q, PRIME_SIZE, NULL);
	BN_mul(product, a, b, ctx);
	EXPECT_EQ(0, BN_cmp(product, self->t.n));
	EXPECT_EQ(1, BN_check_prime(a, ctx, NULL));
	EXPECT_EQ(1, BN_check_prime(b, ctx, NULL));

	/* Each time with a nonce of its own. */
	ASSERT_EQ(0, SAVE(&self->kek, &again));
	EXPECT_NE(0, memcmp(again.nonce, self->kept.nonce, 12));
	EXPECT_NE(0, memcmp(again.primes, self->kept.primes, RSA_SIZE));
	EXPECT_EQ(0, memcmp(again.modulus, self->kept.modulus, RSA_SIZE));
	BN_free(a);
	BN_free(b);
	BN_free(product);
	BN_CTX_free(ctx);
}

/* --- what is loaded --- */

TEST_F_TIMEOUT(transport, another_key_takes_its_place_and_goes_again, 120)
{
	struct transport other;
	struct own own;

	ASSERT_EQ(0, own_make(&self->vault, &self->kek, &own));
	EXPECT_EQ(0, opens(self->nl, &self->t));
	ASSERT_EQ(0, LOAD(&own.kept)) TH_LOG("%s", self->r.text);
	EXPECT_EQ(1, is_key(self->nl, own.n));
	ASSERT_EQ(0, transport_wait(self->nl, &other));
	EXPECT_EQ(0, opens(self->nl, &other));
	EXPECT_EQ(-EKEYREJECTED, opens(self->nl, &self->t));

	ASSERT_EQ(0, LOAD(&self->kept));
	EXPECT_EQ(1, is_key(self->nl, self->t.n));
	EXPECT_EQ(0, opens(self->nl, &self->t));
	EXPECT_EQ(-EKEYREJECTED, opens(self->nl, &other));
	/* In place of itself, too. */
	ASSERT_EQ(0, LOAD(&self->kept));
	EXPECT_EQ(0, opens(self->nl, &self->t));
	EVP_PKEY_free(other.key);
	BN_free(other.n);
	own_free(&own);
}

/* The vault answered for the key that there was: it did not lie. */
TEST_F_TIMEOUT(transport, an_answer_for_a_key_that_went_meanwhile_is_late, 120)
{
	struct soft_vault pins[2] = { self->vault };
	uint8_t key[KEY_SIZE] = { 2 };
	struct share_spec spec;
	const struct share_spec *specs[] = { &spec };
	struct kek sealed;
	uint64_t unseal;
	struct own own;

	ASSERT_EQ(0, release(&self->t, 1, key, &spec));
	memcpy(pins[1].fingerprint, spec.fingerprint, sizeof(spec.fingerprint));
	ASSERT_EQ(0, pins_set_all(self->nl, pins, 2, NULL, NULL));
	ASSERT_EQ(0, create(self->nl, specs, 1, 1, &sealed, &self->r));
	ASSERT_EQ(0, own_make(&self->vault, &self->kek, &own));

	ASSERT_EQ(0, release(&self->t, 1, key, &spec));
	ASSERT_EQ(0, unseal_start(self->nl, sealed.envelope,
				  sealed.envelope_len, 0, &self->r));
	unseal = nl_u64(&self->r, VAULTRING_A_UNSEAL);
	ASSERT_EQ(0, LOAD(&own.kept)) TH_LOG("%s", self->r.text);
	EXPECT_EQ(-EAGAIN, answer_with(self->nl, unseal, 1, spec.data, spec.len,
				       1, &self->r));
	EXPECT_NE(NULL, strstr(self->r.text, "try again"))
		TH_LOG("%s", self->r.text);

	/* For who asks now, it is none. */
	ASSERT_EQ(0, unseal_start(self->nl, sealed.envelope,
				  sealed.envelope_len, 0, &self->r));
	unseal = nl_u64(&self->r, VAULTRING_A_UNSEAL);
	EXPECT_EQ(-EKEYREJECTED, answer_with(self->nl, unseal, 1, spec.data,
					     spec.len, 1, &self->r));
	kek_revoke(self->nl, &sealed);
	own_free(&own);
}

static int refusal_of(size_t at)
{
	if (at < offsetof(struct vaultring_transport, kek_id))
		return -EINVAL;
	return at < offsetof(struct vaultring_transport, nonce) ?
	       -ENOKEY : -EKEYREJECTED;
}

TEST_F_TIMEOUT(transport, each_changed_byte_is_refused, 180)
{
	struct vaultring_transport bad;
	size_t i;

	for (i = 0; i < sizeof(bad); i++) {
		bad = self->kept;
		((uint8_t *)&bad)[i] ^= 1 << i % 8;
		EXPECT_EQ(refusal_of(i), LOAD(&bad)) TH_LOG("byte %zu", i);
		EXPECT_NE(0, *self->r.text);
	}
	EXPECT_EQ(1, is_key(self->nl, self->t.n));
}

TEST_F(transport, what_is_none_is_refused_as_that)
{
	static const size_t sizes[] = { 0, 1, 136, 804, 819, 821, 1000 };
	uint8_t data[1024] = {};
	unsigned int i;

	memcpy(data, &self->kept, sizeof(self->kept));
	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		EXPECT_EQ(-EINVAL, load_bytes(self->nl, data, sizes[i],
					      &self->r))
			TH_LOG("%zu bytes", sizes[i]);
	memcpy(data, "VRK1", 4);
	EXPECT_EQ(-EINVAL, load_bytes(self->nl, data, 820, &self->r));
	memset(data, 0, sizeof(data));
	EXPECT_EQ(-EINVAL, load_bytes(self->nl, data, 820, &self->r));
	EXPECT_NE(0, *self->r.text);
}

TEST_F(transport, a_request_that_lacks_something_is_refused)
{
	struct kek unknown = { .id = { 1, 2, 3 } };
	struct nl_msg m;
	struct vaultring_transport kept;

	nl_start(&m, VAULTRING_CMD_TRANSPORT_SAVE, 0);
	EXPECT_EQ(-EINVAL, nl_call(self->nl, &m, &self->r));
	nl_start(&m, VAULTRING_CMD_TRANSPORT_LOAD, 0);
	EXPECT_EQ(-EINVAL, nl_call(self->nl, &m, &self->r));
	EXPECT_EQ(-ENOKEY, SAVE(&unknown, &kept));
	EXPECT_NE(NULL, strstr(self->r.text, "KEK is not held"));
}

/* Whoever knows the KEK could seal these; they must do no harm. */
TEST_F_TIMEOUT(transport, numbers_that_make_no_key_are_refused, 180)
{
	BIGNUM *p = BN_new(), *q = BN_new(), *n = BN_new(), *one = BN_new();
	BN_CTX *ctx = BN_CTX_new();
	struct own own;
	struct vaultring_transport bad;
	int i;

	ASSERT_EQ(0, own_make(&self->vault, &self->kek, &own));
	BN_one(one);
	for (i = 0; i < 9; i++) {
		BN_copy(p, own.p);
		BN_copy(q, own.q);
		if (i == 0)		/* even */
			BN_sub_word(q, 1);
		if (i == 1)		/* too small */
			BN_clear_bit(p, 1535);
		if (i == 2 || i == 3)	/* no prime */
			BN_add_word(i == 2 ? p : q, 6);
		if (i == 4)
			BN_copy(q, p);
		if (i == 5)
			BN_zero(p);
		if (i == 6)
			BN_one(q);
		BN_mul(n, p, q, ctx);
		if (i == 7)		/* not their product */
			BN_add_word(n, 2);
		if (i == 8)		/* but that of others */
			BN_copy(n, self->t.n);
		ASSERT_EQ(0, seal(own.key, &self->kek, n, p, q, &bad));
		EXPECT_EQ(-EKEYREJECTED, LOAD(&bad)) TH_LOG("case %d", i);
		EXPECT_NE(NULL, strstr(self->r.text, "forged or corrupt"));
		EXPECT_EQ(1, is_key(self->nl, self->t.n));
	}
	/* The control: which is p and which q does not matter. */
	ASSERT_EQ(0, seal(own.key, &self->kek, own.n, own.q, own.p, &bad));
	EXPECT_EQ(0, LOAD(&bad));
	EXPECT_EQ(1, is_key(self->nl, own.n));
	BN_free(p);
	BN_free(q);
	BN_free(n);
	BN_free(one);
	BN_CTX_free(ctx);
	own_free(&own);
}

/* --- under which KEK --- */

TEST_F(transport, without_its_kek_it_is_of_no_use)
{
	struct vaultring_transport kept;

	ASSERT_EQ(0, kek_revoke(self->nl, &self->kek));
	EXPECT_EQ(-ENOKEY, SAVE(&self->kek, &kept));
	EXPECT_EQ(-ENOKEY, LOAD(&self->kept));
	EXPECT_NE(NULL, strstr(self->r.text, "KEK is not held"));
	ASSERT_EQ(0, UNSEAL());
	EXPECT_EQ(0, LOAD(&self->kept));
}

TEST_F(transport, nor_under_another_kek)
{
	struct kek_options o = { .uses = USE_BIT };
	struct kek second;
	struct vaultring_transport bad = self->kept;

	ASSERT_EQ(0, kek_make(self->nl, &self->vault, &o, &second));
	memcpy(bad.kek_id, second.id, sizeof(bad.kek_id));
	EXPECT_EQ(-EKEYREJECTED, LOAD(&bad));
	EXPECT_EQ(0, SAVE(&second, &bad));
	EXPECT_EQ(0, LOAD(&bad));
	EXPECT_EQ(0, kek_revoke(self->nl, &second));
}

TEST_F_TIMEOUT(transport, a_kek_without_the_use_is_not_taken, 60)
{
	const struct vaultring_envelope *head;
	struct kek_options o = { .uses = ALL_USES };
	struct own own;
	struct nl_msg m;
	struct kek plain;
	struct vaultring_transport kept;

	ASSERT_EQ(0, kek_make(self->nl, &self->vault, &o, &plain));
	EXPECT_EQ(-EOPNOTSUPP, SAVE(&plain, &kept));
	EXPECT_NE(NULL, strstr(self->r.text, "use transport"));
	ASSERT_EQ(0, own_make(&self->vault, &plain, &own));
	EXPECT_EQ(-EOPNOTSUPP, LOAD(&own.kept));
	EXPECT_EQ(1, is_key(self->nl, self->t.n));
	EXPECT_EQ(0, kek_revoke(self->nl, &plain));
	own_free(&own);

	/* Nobody gets it who has not asked for it. */
	nl_start(&m, VAULTRING_CMD_KEK_CREATE, 0);
	nl_put_text(&m, VAULTRING_A_NAME, "t-default");
	nl_put_vault(&m, &self->vault);
	ASSERT_EQ(0, nl_call(self->nl, &m, &self->r));
	head = self->r.attr[VAULTRING_A_ENVELOPE];
	EXPECT_EQ(ALL_USES, head->uses);
}

TEST_F_TIMEOUT(transport, no_blob_has_this_use, 60)
{
	struct kek_options o = { .uses = ALL_USES | USE_BIT };
	uint8_t blob[VAULTRING_BLOB_SIZE];
	struct kek both;
	char words[128];

	ASSERT_EQ(0, kek_make(self->nl, &self->vault, &o, &both));
	snprintf(words, sizeof(words), "new kek=%s use=transport bits=256",
		 both.name);
	EXPECT_EQ(-EINVAL, dek_new(words, KEY_SPEC_SESSION_KEYRING, blob,
				   NULL));
	snprintf(words, sizeof(words), "new kek=%s use=xts bits=512",
		 both.name);
	ASSERT_EQ(0, dek_new(words, KEY_SPEC_SESSION_KEYRING, blob, NULL));
	blob[6] = VAULTRING_USE_TRANSPORT;
	EXPECT_EQ(-EINVAL, dek_load(blob, sizeof(blob),
				    KEY_SPEC_SESSION_KEYRING));
	blob[7] = 32;
	EXPECT_EQ(-EINVAL, dek_load(blob, sizeof(blob),
				    KEY_SPEC_SESSION_KEYRING));
	EXPECT_EQ(0, kek_revoke(self->nl, &both));
	/* Nor does the use open blobs. */
	snprintf(words, sizeof(words), "new kek=%s use=xts bits=512",
		 self->kek.name);
	EXPECT_EQ(-EOPNOTSUPP, dek_new(words, KEY_SPEC_SESSION_KEYRING, blob,
				       NULL));
}

TEST_F_TIMEOUT(transport, once_the_lease_is_over_nothing_goes, 60)
{
	struct kek_options o = { .uses = USE_BIT, .lease = 2 };
	struct vaultring_transport kept, again;
	struct kek brief;
	int left = 600;

	ASSERT_EQ(0, kek_make(self->nl, &self->vault, &o, &brief));
	ASSERT_EQ(0, SAVE(&brief, &kept));
	while (!SAVE(&brief, &again) && left--)
		usleep(50000);
	EXPECT_EQ(-EKEYEXPIRED, SAVE(&brief, &again));
	EXPECT_EQ(-EKEYEXPIRED, LOAD(&kept));
	EXPECT_NE(0, *self->r.text);
	ASSERT_EQ(0, kek_unseal(self->nl, &self->vault, brief.envelope,
				brief.envelope_len));
	EXPECT_EQ(0, LOAD(&kept));
	EXPECT_EQ(0, kek_revoke(self->nl, &brief));
}

/* --- who may --- */

static int drop_to_net_admin(void)
{
	struct __user_cap_header_struct h = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct d[2] = {};

	d[0].effective = d[0].permitted = 1u << CAP_NET_ADMIN;
	return syscall(SYS_capset, &h, d);
}

struct attempt {
	const struct kek *kek;
	const struct vaultring_transport *kept;
};

static int both_refused(void *arg)
{
	const struct attempt *a = arg;
	struct nl_reply r;
	struct vaultring_transport kept;
	int nl = nl_open();

	if (nl < 0)
		return 100;
	if (save(nl, a->kek, &kept, &r) != -EPERM)
		return 1;
	return load_bytes(nl, a->kept, sizeof(kept), &r) == -EPERM ? 0 : 2;
}

TEST_F(transport, neither_the_daemon_nor_anybody_else_keeps_it)
{
	struct attempt a = { &self->kek, &self->kept };
	struct transport t;
	pid_t pid;

	pid = fork();
	if (!pid) {
		int nl = nl_open();

		/* It is not all that is refused there. */
		if (nl < 0 || drop_to_net_admin() || transport_wait(nl, &t))
			_exit(100);
		_exit(both_refused(&a));
	}
	EXPECT_EQ(0, outcome(pid));
	EXPECT_EQ(0, as_nobody(both_refused, &a));
}

/* --- while it is in use --- */

/* Each answer is for one of the two keys, and is right or refused. */
static int ask_on(const struct share_spec specs[2])
{
	int good[2] = {}, i, err, nl = nl_open();
	struct nl_reply r;

	if (nl < 0)
		return 100;
	for (i = 0; i < 4000 && !(good[0] > 2 && good[1] > 2); i++) {
		err = fingerprint_of(nl, specs[i % 2].data, specs[i % 2].len, 1,
				     &r);
		if (err && err != -EKEYREJECTED)
			return 1;
		good[i % 2] += !err;
	}
	return good[0] > 2 && good[1] > 2 ? 0 : 2;
}

TEST_F_TIMEOUT(transport, it_is_replaced_while_answers_are_opened, 300)
{
	struct share_spec specs[2];
	uint8_t key[KEY_SIZE] = { 5 };
	struct transport other;
	struct own own;
	pid_t pid[3];
	int i, stop[2], left = 3;
	char byte;

	ASSERT_EQ(0, own_make(&self->vault, &self->kek, &own));
	ASSERT_EQ(0, LOAD(&own.kept));
	ASSERT_EQ(0, transport_wait(self->nl, &other));
	ASSERT_EQ(0, release(&self->t, 1, key, &specs[0]));
	ASSERT_EQ(0, release(&other, 1, key, &specs[1]));
	ASSERT_EQ(0, pipe2(stop, O_CLOEXEC | O_NONBLOCK));
	for (i = 0; i < 3; i++) {
		pid[i] = fork();
		if (!pid[i]) {
			int status = ask_on(specs);

			_exit(write(stop[1], "", 1) == 1 ? status : 101);
		}
	}
	for (i = 0; left; i++) {
		ASSERT_EQ(0, LOAD(i % 2 ? &own.kept : &self->kept));
		while (read(stop[0], &byte, 1) == 1)
			left--;
	}
	for (i = 0; i < 3; i++)
		EXPECT_EQ(0, outcome(pid[i])) TH_LOG("asker %d", i);
	close(stop[0]);
	close(stop[1]);
	EVP_PKEY_free(other.key);
	BN_free(other.n);
	own_free(&own);
}

TEST_HARNESS_MAIN
