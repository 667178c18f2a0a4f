// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What people store and type, changed: payloads of keys, blobs, envelopes and kept
 * transport keys
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "fuzz_kernel.h"

/* --- payloads --- */

static size_t add_word(char *text, size_t at, size_t room)
{
	static const char *const words[] = {
		"new", "load", "rewrap", "kek=", "use=xts", "use=cbc",
		"use=gcm", "use=fscrypt", "use=hmac", "use=transport", "bits=",
		"bits=128", "bits=256", "bits=512", "bits=-1", "provision=",
		"provision=fuzz", "=", "id:",
	};
	const char *word = words[rnd(sizeof(words) / sizeof(*words))];
	char hex[2 * VAULTRING_BLOB_SIZE + 1];
	int n;

	hex_of(w.blob, sizeof(w.blob), hex);
	if (chance(30))
		word = hex;
	n = snprintf(text + at, room - at, "%s%s", word,
		     strcmp(word, "kek=") ? "" : chance(70) ? w.guard.name :
		     chance(50) ? "nobody" : w.victim.name);
	if (n < 0 || (size_t)n + 2 >= room - at)
		return at;
	at += n;
	text[at++] = " \t\n "[rnd(4)];
	return at;
}

/* A few words that fit, or any; the guard's use of it comes often. */
static size_t make_payload(char *text, size_t room)
{
	unsigned int words = rnd(6);
	size_t at = 0;

	if (chance(40))
		at = snprintf(text, room, "%s kek=%s use=%s ",
			      chance(80) ? "new" : "rewrap", w.guard.name,
			      chance(50) ? "xts" : "fscrypt");
	while (words--)
		at = add_word(text, at, room);
	if (chance(40))
		at = mutate((uint8_t *)text, at, room);
	return at;
}

/* What was taken has a blob, and the blob opens. */
static void check_key(key_serial_t key)
{
	uint8_t made[VAULTRING_BLOB_SIZE];
	int err = blob_of(key, made);

	if (err)
		bad("a key without a blob", err);
	/* Under one description there is one DEK. */
	if (keyctl_clear(RING))
		bad("cannot clear a keyring", errno);
	err = dek_load(made, sizeof(made), RING);
	if (err < 0)
		bad("a key's blob does not open", err);
}

static void try_update(const char *text, size_t len)
{
	uint8_t now[VAULTRING_BLOB_SIZE];
	key_serial_t key;
	int fd;

	keyctl_clear(RING);
	key = dek_load(w.blob, sizeof(w.blob), RING);
	if (key < 0)
		bad("the blob does not open any more", key);
	count(keyctl_update(key, text, len) ? -errno : 0);
	if (blob_of(key, now))
		bad("a key that was updated has no blob", errno);
	fd = keyed_op(now);
	if (!encrypts_as_ever(fd))
		bad("an update made another key of it", fd < 0 ? fd : 0);
	close(fd);
}

void try_payload(void)
{
	char text[1500], name[32];
	size_t len = make_payload(text, sizeof(text));
	key_serial_t key;

	snprintf(name, sizeof(name), "f%lu", round_now % 7);
	switch (rnd(10)) {
	case 0:
		key = add_key("vault-kek", name, text, len, RING);
		if (key >= 0)
			bad("a KEK's handle was added", 0);
		count(-errno);
		break;
	case 1:
		text[len < 1024 ? len : 1024] = 0;
		key = request_key("vault-kek", text, "", RING);
		count(key < 0 ? -errno : 0);
		break;
	case 2:
		try_update(text, len);
		break;
	default:
		key = add_key("vault-dek", name, text, len, RING);
		count(key < 0 ? -errno : 0);
		if (key >= 0)
			check_key(key);
	}
	if (round_now % 50 == 0 &&
	    (keyctl_clear(RING) || keyctl_clear(KEY_SPEC_SESSION_KEYRING)))
		bad("cannot clear a keyring", errno);
}

/* --- blobs, envelopes and kept keys: what was changed is refused --- */

static int is_good_blob(const uint8_t *data, size_t len)
{
	return len == sizeof(w.blob) && (!memcmp(data, w.blob, len) ||
				       !memcmp(data, w.other_blob, len));
}

static int offer_blob(const uint8_t *data, size_t len)
{
	key_serial_t key;

	switch (rnd(3)) {
	case 0:
		key = add_key("vault-dek", "raw", data, len, RING);
		return key < 0 ? -errno : 0;
	case 1:
		key = dek_load(data, len, RING);
		return key < 0 ? key : 0;
	default:
		return alg_try(alg_mode()->alg, data, len);
	}
}

void try_blob(void)
{
	uint8_t data[2 * VAULTRING_BLOB_SIZE];
	size_t len = VAULTRING_BLOB_SIZE, n = rnd(len);
	int err;

	memcpy(data, chance(70) ? w.blob : w.other_blob, len);
	if (chance(20))
		memcpy(data + n, w.other_blob + n, rnd(len - n) + 1);
	if (chance(95))
		len = mutate(data, len, sizeof(data));
	err = len ? offer_blob(data, len) : -EINVAL;
	count(err);
	if (!err && !is_good_blob(data, len))
		bad("a blob that nobody made was taken", 0);
	if (round_now % 50 == 0 && keyctl_clear(RING))
		bad("cannot clear a keyring", errno);
}

/* Each vault answers as it would; 1: there is a KEK. */
static int answer_all(const struct nl_reply *r)
{
	struct nl_share shares[VAULTRING_MAX_SHARES];
	uint64_t unseal = nl_u64(r, VAULTRING_A_UNSEAL);
	int i, n = nl_shares_of(r, shares, VAULTRING_MAX_SHARES), err = 0;
	uint8_t x[VAULTRING_MAX_SHARES][X_SIZE];
	static struct nl_reply answer;

	if (n <= 0)
		bad("a challenge that cannot be read", n);
	for (i = 0; i < n; i++)
		if (shares[i].method != VAULTRING_METHOD_OBLIVIOUS ||
		    soft_vault_exchange(&w.vaults[i % 3], shares[i].challenge,
					x[i]))
			rnd_fill(x[i], X_SIZE);
	for (i = 0; i < n && !err; i++) {
		err = unseal_answer(w.nl, unseal, i + 1, x[i], X_SIZE, &answer);
		if (!err && nl_u32(&answer, VAULTRING_A_STATE) ==
			    VAULTRING_KEK_STATE_ACTIVE) {
			count(0);
			return 1;
		}
	}
	count(err ? err : -EKEYREJECTED);
	return 0;
}

void try_envelope(void)
{
	uint8_t data[VAULTRING_MAX_ENVELOPE + 64];
	const struct kek *kek = chance(50) ? &w.victim : &w.several;
	size_t len = kek->envelope_len;
	static struct nl_reply r;
	int err, same, active;

	memcpy(data, kek->envelope, len);
	if (chance(98))
		len = mutate(data, len, sizeof(data));
	same = len == kek->envelope_len && !memcmp(data, kek->envelope, len);
	err = unseal_start(w.nl, data, len, patience(5) * 1000, &r);
	if (err) {
		count(err);
		active = 0;
	} else {
		active = answer_all(&r);
	}
	if (active && !same)
		bad("a KEK of an envelope that nobody made", 0);
	if (same && !active)
		bad("a good envelope was refused", err);
}

static void make_kept(void)
{
	int left = patience(120) * 10, err;
	struct nl_reply r;
	struct nl_msg m;

	do {
		usleep(100000);
		nl_start(&m, VAULTRING_CMD_TRANSPORT_SAVE, 0);
		nl_put(&m, VAULTRING_A_ID, w.guard.id, sizeof(w.guard.id));
		err = nl_call(w.nl, &m, &r);
	} while (err == -EAGAIN && left--);
	if (err || r.attr_len[VAULTRING_A_KEPT_TRANSPORT] != sizeof(w.kept))
		bad("no transport key", err);
	memcpy(&w.kept, r.attr[VAULTRING_A_KEPT_TRANSPORT], sizeof(w.kept));
	w.has_kept = 1;
}

void try_transport(void)
{
	uint8_t data[sizeof(w.kept) + 64];
	size_t len = sizeof(w.kept);
	struct nl_msg m;
	int err;

	if (!w.has_kept)
		make_kept();
	memcpy(data, &w.kept, len);
	if (chance(98))
		len = mutate(data, len, sizeof(data));
	nl_start(&m, VAULTRING_CMD_TRANSPORT_LOAD, 0);
	nl_put(&m, VAULTRING_A_KEPT_TRANSPORT, data, len);
	err = nl_call(w.nl, &m, NULL);
	count(err);
	if (!err && (len != sizeof(w.kept) || memcmp(data, &w.kept, len)))
		bad("a transport key that nobody kept was taken", 0);
}
