// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A daemon that lies
 *
 *	hostile_daemon LIE ENVELOPE KEY OTHER [TRANSCRIPT]
 *
 * It has all that a daemon has, once somebody has taken it over: the socket with
 * CAP_NET_ADMIN, the envelopes, and whatever the vault answers, for which KEY
 * stands, the vault's private key.  ENVELOPE is that of the KEK it is after, OTHER
 * that of another one, which is as good.  Each lie should have the kernel take a
 * KEK that is not the one that root meant, or give away what it must not.
 *
 * Prints what the kernel said.  Exit status 0: refused as it should be, or, of
 * `honest`, done; 1: not; 2: usage or trouble.  Everything that the kernel said
 * goes into TRANSCRIPT.
 */
#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/sha.h>
#include <openssl/x509.h>

#include "../vr_test.h"

struct hostile {
	int nl;
	struct soft_vault vault, own;	/* the true one, and the liar's */
	struct kek kek, other;
	struct nl_reply r;
	uint64_t unseal;
	struct nl_share share;
	uint8_t x[X_SIZE];		/* the right answer */
	FILE *transcript;
};

static void record(struct hostile *h)
{
	if (h->transcript)
		fwrite(h->r.buf, 1, h->r.len, h->transcript);
}

static void say(const struct hostile *h, const char *what, int err)
{
	printf("%s: %s%s%s\n", what, err ? strerrorname_np(-err) : "done",
	       h->r.text[0] ? ", " : "", h->r.text);
}

/* 0 if that is what the kernel said, and the KEK is not held. */
static int expect(struct hostile *h, const char *what, int err, int want)
{
	int held = kek_held(h->nl, h->kek.id);

	say(h, what, err);
	record(h);
	if (held)
		printf("and the KEK is held\n");
	return err == want && held == !want ? 0 : 1;
}

/* The challenge for the one share, and what the vault makes of it. */
static int begin(struct hostile *h, const struct kek *kek)
{
	int err = unseal_start(h->nl, kek->envelope, kek->envelope_len, 0,
			       &h->r);

	if (err)
		return err;
	record(h);
	h->unseal = nl_u64(&h->r, VAULTRING_A_UNSEAL);
	err = nl_share_of(&h->r, &h->share);
	return err ? err : soft_vault_exchange(&h->vault, h->share.challenge,
					       h->x);
}

static int finish(struct hostile *h, const uint8_t *x)
{
	return unseal_answer(h->nl, h->unseal, h->share.index, x, X_SIZE, &h->r);
}

static int forget(struct hostile *h)
{
	int err = kek_revoke(h->nl, &h->kek);

	return err == -ENOKEY ? 0 : err;
}

/* Control: with the right answer it is unsealed; else the lies prove nothing. */
static int honest(struct hostile *h)
{
	int err = begin(h, &h->kek);

	return expect(h, "the right answer", err ? err : finish(h, h->x), 0);
}

static int own_vault(struct hostile *h)
{
	struct kek_options o = { .name = "hostile" };
	struct kek kek;
	char text[256] = "";
	int err;

	o.text = text;
	err = kek_create(h->nl, &h->own, &o, &kek);
	strcpy(h->r.text, text);
	return expect(h, "a KEK made for its own vault key", err, -EACCES);
}

static int own_pins(struct hostile *h)
{
	memset(&h->r, 0, sizeof(h->r));
	return expect(h, "pins of its own",
		      pins_set(h->nl, &h->own, h->kek.name, h->other.id),
		      -EPERM);
}

static int own_reseal(struct hostile *h)
{
	struct nl_msg m;

	nl_start(&m, VAULTRING_CMD_RESEAL_START, 0);
	nl_put(&m, VAULTRING_A_ENVELOPE, h->kek.envelope, h->kek.envelope_len);
	nl_put_text(&m, VAULTRING_A_NAME, h->kek.name);
	nl_put_u32(&m, VAULTRING_A_VERSION, 1);
	nl_put_vault(&m, &h->own);
	return expect(h, "the KEK resealed for its own vault key",
		      nl_call(h->nl, &m, &h->r), -EPERM);
}

/* Sealed under a KEK of its choice, it could be opened elsewhere. */
static int own_transport(struct hostile *h)
{
	struct nl_msg m;

	nl_start(&m, VAULTRING_CMD_TRANSPORT_SAVE, 0);
	nl_put(&m, VAULTRING_A_ID, h->other.id, sizeof(h->other.id));
	return expect(h, "the transport key sealed for it",
		      nl_call(h->nl, &m, &h->r), -EPERM);
}

/* Answers that are x of some point, of none, of the challenge, and nothing. */
static int wrong_answers(struct hostile *h)
{
	uint8_t wrong[4][X_SIZE];
	int i, err, bad = 0;

	memcpy(wrong[0], h->own.spki + 27, X_SIZE);
	memset(wrong[1], 0, X_SIZE);
	memset(wrong[2], 0xff, X_SIZE);
	for (i = 0; i < 4; i++) {
		err = begin(h, &h->kek);
		if (err)
			return expect(h, "to begin", err, 0);
		memcpy(wrong[3], h->share.challenge, X_SIZE);
		bad |= expect(h, "a wrong answer", finish(h, wrong[i]),
			      -EKEYREJECTED);
	}
	return bad;
}

/* The same envelope, and what the vault answered the last time. */
static int replayed_answer(struct hostile *h)
{
	uint8_t old[X_SIZE];

	if (honest(h) || forget(h))
		return 2;
	memcpy(old, h->x, sizeof(old));
	if (begin(h, &h->kek))
		return 2;
	if (!memcmp(old, h->x, sizeof(old))) {
		printf("two unseals asked the vault the same\n");
		return 1;
	}
	return expect(h, "the answer of the last unseal", finish(h, old),
		      -EKEYREJECTED);
}

/* The unseal that was answered before is over. */
static int second_answer(struct hostile *h)
{
	if (honest(h) || forget(h))
		return 2;
	return expect(h, "the answer once more", finish(h, h->x), -ENOENT);
}

static int crossed_answers(struct hostile *h)
{
	uint8_t x[X_SIZE];

	if (begin(h, &h->other))
		return 2;
	memcpy(x, h->x, sizeof(x));
	if (begin(h, &h->kek))
		return 2;
	return expect(h, "the answer to another KEK's challenge", finish(h, x),
		      -EKEYREJECTED);
}

/* With the right answers, so that nothing but the change is wrong. */
static int changed(struct hostile *h, const char *what, const struct kek *kek)
{
	int err = begin(h, kek);

	return expect(h, what, err ? err : finish(h, h->x), -EKEYREJECTED);
}

static int changed_attributes(struct hostile *h)
{
	struct kek kek = h->kek;
	struct vaultring_envelope *head = (void *)kek.envelope;
	int bad;

	head->uids = 1;
	head->uid[0] = htole32(getuid());
	bad = changed(h, "itself among those who may", &kek);
	kek = h->kek;
	head->uses = htole32(0xfe);
	bad |= changed(h, "more uses", &kek);
	kek = h->kek;
	head->not_after = htole64(1ULL << 40);
	head->lease = 0;
	bad |= changed(h, "no end", &kek);
	kek = h->kek;
	memcpy(head->id, h->other.id, sizeof(head->id));
	return bad | changed(h, "another KEK's id", &kek);
}

/* Its own, or another good one, under the name that root has pinned. */
static int another_kek(struct hostile *h)
{
	struct kek kek = h->other;
	struct vaultring_envelope *head = (void *)kek.envelope;

	memset(head->name, 0, sizeof(head->name));
	memcpy(head->name, h->kek.name, strlen(h->kek.name));
	return changed(h, "another KEK under this one's name", &kek);
}

/* A share that it would know by itself. */
static int clear_share(struct hostile *h)
{
	struct kek kek = h->kek;
	struct vaultring_share *share = (void *)(kek.envelope +
		sizeof(struct vaultring_envelope));

	share->method = VAULTRING_METHOD_CLEAR;
	return changed(h, "its share made a clear one", &kek);
}

/* On a weaker curve, or none, the blinding scalar could be told from answers. */
static int point_off_the_curve(struct hostile *h)
{
	struct kek kek = h->kek;

	kek.envelope[ENVELOPE_SIZE - 1] ^= 1;
	return changed(h, "a point that is not on the curve", &kek);
}

/*
 * A task asks for the KEK, and the daemon hands in another one's envelope with
 * right answers, says that all is well, or says nothing at all.  What the task
 * gets is for who started it to see.
 */
static int attach_and_wait(struct hostile *h)
{
	struct nl_msg m;
	int err;

	nl_start(&m, VAULTRING_CMD_ATTACH, 0);
	err = nl_call(h->nl, &m, &h->r);
	if (err) {
		say(h, "to attach", err);
		return 2;
	}
	printf("attached\n");
	fflush(stdout);
	err = daemon_next(h->nl, &h->r, 60000);
	record(h);
	return err ? 2 : 0;
}

static int substitute(struct hostile *h)
{
	struct nl_msg m;
	uint64_t request;

	if (attach_and_wait(h))
		return 2;
	request = nl_u64(&h->r, VAULTRING_A_REQUEST);
	nl_start(&m, VAULTRING_CMD_UNSEAL_START, 0);
	nl_put(&m, VAULTRING_A_ENVELOPE, h->other.envelope,
	       h->other.envelope_len);
	nl_put_u64(&m, VAULTRING_A_REQUEST, request);
	if (nl_call(h->nl, &m, &h->r) || nl_share_of(&h->r, &h->share) ||
	    soft_vault_exchange(&h->vault, h->share.challenge, h->x))
		return 2;
	h->unseal = nl_u64(&h->r, VAULTRING_A_UNSEAL);
	say(h, "another KEK for the one that was asked for", finish(h, h->x));
	return kek_held(h->nl, h->kek.id);
}

static int claim(struct hostile *h)
{
	struct nl_msg m;
	int err;

	if (attach_and_wait(h))
		return 2;
	nl_start(&m, VAULTRING_CMD_REQUEST_FAIL, 0);
	nl_put_u64(&m, VAULTRING_A_REQUEST, nl_u64(&h->r, VAULTRING_A_REQUEST));
	nl_put_u32(&m, VAULTRING_A_ERROR, 0);
	err = nl_call(h->nl, &m, &h->r);
	say(h, "that there was no error", err);
	return err == -EINVAL && !kek_held(h->nl, h->kek.id) ? 0 : 1;
}

static int silence(struct hostile *h)
{
	if (attach_and_wait(h))
		return 2;
	sleep(patience(40));
	return kek_held(h->nl, h->kek.id);
}

static const struct {
	const char *name;
	int (*f)(struct hostile *h);
} lies[] = {
	{ "honest", honest },
	{ "own_vault", own_vault },
	{ "own_pins", own_pins },
	{ "own_reseal", own_reseal },
	{ "own_transport", own_transport },
	{ "wrong_answers", wrong_answers },
	{ "replayed_answer", replayed_answer },
	{ "second_answer", second_answer },
	{ "crossed_answers", crossed_answers },
	{ "changed_attributes", changed_attributes },
	{ "another_kek", another_kek },
	{ "clear_share", clear_share },
	{ "point_off_the_curve", point_off_the_curve },
	{ "substitute", substitute },
	{ "claim", claim },
	{ "silence", silence },
};

#define N_LIES (sizeof(lies) / sizeof(lies[0]))

static int load_vault(struct soft_vault *v, const char *path)
{
	uint8_t *at = v->spki;
	FILE *f = fopen(path, "re");

	v->key = f ? PEM_read_PrivateKey(f, NULL, NULL, NULL) : NULL;
	if (f)
		fclose(f);
	if (!v->key || i2d_PUBKEY(v->key, NULL) != SPKI_SIZE ||
	    i2d_PUBKEY(v->key, &at) != SPKI_SIZE)
		return -1;
	SHA256(v->spki, SPKI_SIZE, v->fingerprint);
	return 0;
}

static int load_kek(struct kek *kek, const char *path)
{
	const struct vaultring_envelope *head = (void *)kek->envelope;
	FILE *f = fopen(path, "re");

	if (!f)
		return -1;
	kek->envelope_len = fread(kek->envelope, 1, sizeof(kek->envelope), f);
	fclose(f);
	if (kek->envelope_len != ENVELOPE_SIZE)
		return -1;
	snprintf(kek->name, sizeof(kek->name), "%.63s", head->name);
	memcpy(kek->id, head->id, sizeof(kek->id));
	return 0;
}

int main(int argc, char *argv[])
{
	static struct hostile h;
	size_t i;
	int status = 2;

	if (argc < 5)
		goto usage;
	h.nl = nl_open();
	if (h.nl < 0 || soft_vault_make(&h.own) ||
	    load_vault(&h.vault, argv[3]) || load_kek(&h.kek, argv[2]) ||
	    load_kek(&h.other, argv[4])) {
		fprintf(stderr, "hostile_daemon: cannot begin\n");
		return 2;
	}
	if (argc > 5)
		h.transcript = fopen(argv[5], "ae");
	for (i = 0; i < N_LIES; i++) {
		if (strcmp(lies[i].name, argv[1]))
			continue;
		status = lies[i].f(&h);
		break;
	}
	if (h.transcript)
		fclose(h.transcript);
	soft_vault_free(&h.vault);
	soft_vault_free(&h.own);
	close(h.nl);
	if (i < N_LIES)
		return status;
usage:
	fprintf(stderr, "usage: hostile_daemon LIE ENVELOPE KEY OTHER [TRANSCRIPT]\n");
	return 2;
}
