// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Envelope files: what is taken is all that the file says
 *
 * Written again from what was read, and from those bytes that only the kernel
 * reads, an envelope that was taken is the same.
 */

#define _GNU_SOURCE
#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "envelope_store.h"
#include "fuzz.h"
#include "share.h"

static size_t write_head(const struct envelope *e, const uint8_t *from,
			 uint8_t *to)
{
	const struct vaultring_envelope *old = (const void *)from;
	struct vaultring_envelope h = {
		.format = 1, .threshold = e->threshold, .shares = e->n_shares,
		.lease_end = e->lease_end, .version = htole32(e->version),
		.uses = htole32(e->uses), .lease = htole32(e->lease),
		.not_before = htole64(e->not_before),
		.not_after = htole64(e->not_after),
		.uids = e->n_uids, .gids = e->n_gids,
	};
	size_t i;

	memcpy(h.magic, "VRE1", 4);
	for (i = 0; i < e->n_uids; i++)
		h.uid[i] = htole32(e->uids[i]);
	for (i = 0; i < e->n_gids; i++)
		h.gid[i] = htole32(e->gids[i]);
	memcpy(h.name, e->name, strlen(e->name));
	memcpy(h.id, e->id, sizeof(h.id));
	memcpy(h.salt, old->salt, sizeof(h.salt));
	memcpy(h.hmac, old->hmac, sizeof(h.hmac));
	memcpy(to, &h, sizeof(h));
	return sizeof(h);
}

static size_t write_share(const struct envelope *e, size_t n,
			  const uint8_t *from, uint8_t *to)
{
	struct vaultring_share old, s = {
		.index = n + 1, .method = e->shares[n].method,
	};

	memcpy(&old, from, sizeof(old));
	s.data_len = old.data_len;
	memcpy(s.vault, e->shares[n].vault, strlen(e->shares[n].vault));
	memcpy(s.fingerprint, e->shares[n].fingerprint, FINGERPRINT_SIZE);
	memcpy(s.masked, old.masked, sizeof(s.masked));
	memcpy(to, &s, sizeof(s));
	memcpy(to + sizeof(s), from + sizeof(s), le16toh(s.data_len));
	return sizeof(s) + le16toh(s.data_len);
}

static void check(const struct envelope *e, const uint8_t *data, size_t len)
{
	uint8_t *again = malloc(len);
	size_t at, i;

	HOLDS(again);
	HOLDS(name_ok(e->name) && e->version);
	HOLDS(e->threshold && e->threshold <= e->n_shares &&
	      e->n_shares <= VAULTRING_MAX_SHARES);
	at = write_head(e, data, again);
	for (i = 0; i < e->n_shares; i++) {
		HOLDS(vault_ref_ok(e->shares[i].vault) &&
		      method_name(e->shares[i].method));
		at += write_share(e, i, data + at, again + at);
	}
	HOLDS(at == len && !memcmp(again, data, len));
	free(again);
	/* Root always may; others if they are named, or may be in a group. */
	HOLDS(envelope_may_allow(e, 0));
	if (e->n_uids)
		HOLDS(envelope_may_allow(e, e->uids[e->n_uids - 1]));
	if (!e->n_uids && !e->n_gids)
		HOLDS(!envelope_may_allow(e, 1000));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	uint8_t *copy = fuzz_copy(data, len);
	struct envelope e;
	const char *damage = envelope_parse(copy, len, &e);

	if (damage)
		HOLDS(*damage);
	else
		check(&e, copy, len);
	free(copy);
	return 0;
}
