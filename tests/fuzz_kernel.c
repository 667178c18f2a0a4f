// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Nonsense for the module: netlink messages, payloads of both key types, blobs,
 * envelopes and kept transport keys, by changes to good ones
 *
 *	fuzz_kernel PART [ROUNDS [SEED]]
 *
 * PART: messages, payloads, blobs, envelopes or transport.  Each is taken or refused
 * with an errno that has a meaning, what is not as it was made never counts, and
 * a KEK that is there goes on working.  What the kernel itself thinks of it is in
 * its log.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <openssl/rand.h>

#include "fuzz_kernel.h"

#define CHECK_EACH	200		/* rounds */
#define ANSWER_S	8		/* within so many seconds */
#define ERRNOS		200

struct world w;
unsigned long round_now;

static unsigned long long seed;
static unsigned long taken, refused[ERRNOS];
static const char *part;

/* The guard's: a transform that is open, and what it makes of a page. */
static const uint8_t iv[16] = { 5 };
static uint8_t page[4096] = "as ever", expected[4096];
static int op;

void bad(const char *what, int err)
{
	printf("# %s, seed %llu, round %lu: %s: %s\n", part, seed, round_now,
	       what, err ? strerrorname_np(err < 0 ? -err : err) : "no error");
	exit(1);
}

static double now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

/* Those of the design, and netlink's own. */
void count(int err)
{
	static const int known[] = {
		ENOKEY, EAGAIN, EACCES, EKEYREJECTED, EKEYEXPIRED, EKEYREVOKED,
		EOPNOTSUPP, EINVAL, ENOENT, EPERM, EBUSY, EEXIST, ERANGE,
		EMSGSIZE,
	};
	size_t i;

	if (!err) {
		taken++;
		return;
	}
	for (i = 0; i < sizeof(known) / sizeof(*known); i++) {
		if (err != -known[i])
			continue;
		refused[-err]++;
		return;
	}
	bad("an errno that says nothing", err);
}

/* --- what goes on working --- */

int keyed_op(const uint8_t *key)
{
	int fd = alg_open(alg_mode()->alg), err, op_fd;

	if (fd < 0)
		return fd;
	err = alg_setkey(fd, key, VAULTRING_BLOB_SIZE);
	op_fd = err ? err : alg_op(fd);
	close(fd);
	return op_fd;
}

int encrypts_as_ever(int op_fd)
{
	uint8_t out[sizeof(page)];

	return op_fd >= 0 &&
	       !alg_crypt(op_fd, 1, iv, page, out, sizeof(page)) &&
	       !memcmp(out, expected, sizeof(out));
}

static void check_guard(void)
{
	int fresh;

	if (!kek_held(w.nl, w.guard.id))
		bad("the KEK is not there any more", 0);
	if (!encrypts_as_ever(op))
		bad("the open transform does not encrypt as before", 0);
	fresh = keyed_op(w.blob);
	if (!encrypts_as_ever(fresh))
		bad("a new transform does not encrypt as before",
		    fresh < 0 ? fresh : 0);
	close(fresh);
	if (keyctl_clear(RING) || dek_load(w.blob, sizeof(w.blob), RING) < 0)
		bad("the blob does not open any more", errno);
}

static void make_victim(void)
{
	static unsigned int n;
	char name[64];
	struct kek_options o = { .name = name };
	int err;

	snprintf(name, sizeof(name), "to-be-revoked.%d.%u", getpid(), ++n);
	err = kek_make(w.nl, &w.vaults[0], &o, &w.victim);
	if (err)
		bad("cannot make a KEK", err);
}

static int new_blob(const char *use, int bits, uint8_t *out)
{
	char words[128];

	snprintf(words, sizeof(words), "new kek=%s use=%s bits=%d",
		 w.guard.name, use, bits);
	return dek_new(words, RING, out, NULL);
}

static int make_world(void)
{
	char name[64];
	struct kek_options o = {
		.name = name, .uses = ALL_USES | 1 << VAULTRING_USE_TRANSPORT,
	};
	struct kek_options two = { .vaults = w.vaults, .n_vaults = 3,
				   .threshold = 2 };
	int i, err = own_session();

	w.nl = nl_open();
	if (w.nl < 0)
		return w.nl;
	snprintf(name, sizeof(name), "guard.of.the.fuzzer.%d", getpid());
	for (i = 0; i < 3 && !err; i++)
		err = soft_vault_make(&w.vaults[i]);
	err = err ?: pins_set_all(w.nl, w.vaults, 3, NULL, NULL) ?:
	      kek_make(w.nl, &w.vaults[0], &o, &w.guard) ?:
	      kek_create(w.nl, NULL, &two, &w.several) ?:
	      new_blob(alg_mode()->use, alg_mode()->bits, w.blob) ?:
	      new_blob("gcm", 256, w.other_blob);
	if (err)
		return err;
	make_victim();
	op = keyed_op(w.blob);
	return op < 0 ? op : alg_crypt(op, 1, iv, page, expected, sizeof(page));
}

/* --- messages --- */

/* An attached socket is asked by the kernel, and would have to answer. */
static void open_anew(void)
{
	close(w.nl);
	w.nl = nl_open();
	if (w.nl < 0)
		bad("the family is gone", w.nl);
}

static void see_to(const struct op_spec *spec, const struct nl_reply *r)
{
	int err = 0;

	switch (spec->cmd) {
	case VAULTRING_CMD_ATTACH:
		open_anew();
		break;
	case VAULTRING_CMD_PINS_SET:
		err = pins_set_all(w.nl, w.vaults, 3, NULL, NULL);
		if (!kek_held(w.nl, w.victim.id))
			make_victim();
		break;
	case VAULTRING_CMD_KEK_REVOKE:
		if (!kek_held(w.nl, w.victim.id))
			make_victim();
		break;
	case VAULTRING_CMD_UNSEAL_START:
	case VAULTRING_CMD_RESEAL_START:
		w.unseal = nl_u64(r, VAULTRING_A_UNSEAL);
		break;
	case VAULTRING_CMD_UNSEAL_ANSWER:
		/* A right answer by chance is one of 2^256. */
		if (nl_u32(r, VAULTRING_A_STATE))
			bad("a KEK was made of nonsense", 0);
		break;
	}
	if (err)
		bad("pins cannot be set any more", err);
}

static void try_message(void)
{
	static struct nl_reply r;
	static struct nl_msg m;
	const struct op_spec *spec = message_make(&m);
	double start = now_s();
	int err = nl_call(w.nl, &m, &r);

	if (now_s() - start > patience(ANSWER_S))
		bad(spec->name, -ETIMEDOUT);
	count(err);
	if (!err)
		see_to(spec, &r);
}

/* --- what there is to try --- */

static const struct {
	const char *name;
	void (*try)(void);
} parts[] = {
	{ "messages", try_message },
	{ "payloads", try_payload },
	{ "blobs", try_blob },
	{ "envelopes", try_envelope },
	{ "transport", try_transport },
};

static void tell(unsigned long rounds, double seconds)
{
	unsigned long not_taken = 0;
	int i;

	printf("# %s: %lu rounds in %.0f s, taken %lu; refused", part, rounds,
	       seconds, taken);
	for (i = 0; i < ERRNOS; i++) {
		not_taken += refused[i];
		if (refused[i])
			printf(" %s %lu", strerrorname_np(i), refused[i]);
	}
	printf("\n");
	if (!taken || !not_taken)
		bad("all was taken, or all refused: this tries nothing", 0);
}

static void run_part(void (*try)(void), unsigned long rounds)
{
	double start;
	int err;

	printf("# %s: seed %llu\n", part, seed);
	rnd_seed(seed);
	without_daemon();
	err = make_world();
	if (err)
		bad("cannot begin", err);
	start = now_s();
	for (round_now = 1; round_now <= rounds; round_now++) {
		try();
		if (round_now % CHECK_EACH == 0)
			check_guard();
	}
	check_guard();
	tell(rounds, now_s() - start);
	kek_revoke(w.nl, &w.guard);
	kek_revoke(w.nl, &w.victim);
	kek_revoke(w.nl, &w.several);
	pins_set(w.nl, NULL, NULL, NULL);
}

int main(int argc, char *argv[])
{
	unsigned long rounds = argc > 2 ? strtoul(argv[2], NULL, 0) : 1000;
	size_t i;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc > 3)
		seed = strtoull(argv[3], NULL, 0);
	else
		RAND_bytes((uint8_t *)&seed, sizeof(seed) / 2);
	for (i = 0; argc > 1 && rounds && i < sizeof(parts) / sizeof(*parts);
	     i++) {
		part = parts[i].name;
		if (strcmp(part, argv[1]))
			continue;
		run_part(parts[i].try, rounds);
		return 0;
	}
	fprintf(stderr, "usage: fuzz_kernel messages|payloads|blobs|envelopes|transport [ROUNDS [SEED]]\n");
	return 2;
}
