// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Reading an envelope
 *
 * The daemon needs its names, its subjects and its vaults.  Whether it is
 * genuine, only the kernel can tell.
 */

#define _GNU_SOURCE
#include <endian.h>
#include <string.h>

#include "envelope_store.h"
#include "share.h"

static bool all_zero(const void *p, size_t len)
{
	const uint8_t *b = p;

	while (len--)
		if (*b++)
			return false;
	return true;
}

/* Text, then zeros up to the end, one at least. */
static bool copy_padded(char *out, const uint8_t *in, size_t size)
{
	size_t len = strnlen((const char *)in, size);

	if (len == size || !all_zero(in + len, size - len))
		return false;
	memcpy(out, in, size);
	return true;
}

static const char *parse_subjects(const struct vaultring_envelope *h,
				  struct envelope *e)
{
	size_t i;

	if (h->uids > VAULTRING_MAX_SUBJECTS || h->gids > VAULTRING_MAX_SUBJECTS)
		return "it names too many users or groups";
	e->n_uids = h->uids;
	e->n_gids = h->gids;
	for (i = 0; i < VAULTRING_MAX_SUBJECTS; i++) {
		e->uids[i] = le32toh(h->uid[i]);
		e->gids[i] = le32toh(h->gid[i]);
		if ((i >= h->uids && e->uids[i]) || (i >= h->gids && e->gids[i]))
			return "its unused subjects are not zero";
	}
	return NULL;
}

static const char *parse_shares(const uint8_t *p, size_t len, struct envelope *e)
{
	struct vaultring_share s;
	size_t i, data_len;

	for (i = 0; i < e->n_shares; i++) {
		if (len < sizeof(s))
			return "it is cut off";
		memcpy(&s, p, sizeof(s));
		data_len = le16toh(s.data_len);
		p += sizeof(s);
		len -= sizeof(s);
		if (len < data_len)
			return "it is cut off";
		p += data_len;
		len -= data_len;
		if (s.index != i + 1 || !all_zero(s.reserved, sizeof(s.reserved)))
			return "one of its shares is malformed";
		if (!copy_padded(e->shares[i].vault, s.vault, sizeof(s.vault)) ||
		    !vault_ref_ok(e->shares[i].vault))
			return "one of its shares names no vault";
		if (!method_name(s.method))
			return "one of its shares has a method that this version does not know";
		e->shares[i].method = s.method;
		memcpy(e->shares[i].fingerprint, s.fingerprint,
		       sizeof(s.fingerprint));
	}
	return len ? "it is too long" : NULL;
}

const char *envelope_parse(const void *data, size_t len, struct envelope *e)
{
	struct vaultring_envelope h;
	const char *damage;

	_Static_assert(sizeof(h) == 248, "the format has no padding");
	_Static_assert(sizeof(struct vaultring_share) == 136, "nor has a share");

	memset(e, 0, sizeof(*e));
	if (!len)
		return "it is empty";
	if (len < sizeof(h))
		return "it is cut off";
	memcpy(&h, data, sizeof(h));
	if (memcmp(h.magic, VAULTRING_ENVELOPE_MAGIC, sizeof(h.magic)))
		return "it is not an envelope";
	if (h.format != VAULTRING_ENVELOPE_VERSION)
		return "it is of a format that this version does not know";
	if (!all_zero(h.reserved, sizeof(h.reserved)))
		return "its reserved bytes are not zero";
	if (!copy_padded(e->name, h.name, sizeof(h.name)) || !name_ok(e->name))
		return "it has no proper name";
	if (!h.shares || h.shares > VAULTRING_MAX_SHARES || !h.threshold ||
	    h.threshold > h.shares)
		return "its threshold does not fit its shares";
	if (h.lease_end > VAULTRING_LEASE_END_KILL)
		return "it has an unknown end of lease";
	e->version = le32toh(h.version);
	if (!e->version)
		return "it has no version";
	memcpy(e->id, h.id, sizeof(h.id));
	e->uses = le32toh(h.uses);
	e->lease = le32toh(h.lease);
	e->lease_end = h.lease_end;
	e->not_before = le64toh(h.not_before);
	e->not_after = le64toh(h.not_after);
	e->threshold = h.threshold;
	e->n_shares = h.shares;
	damage = parse_subjects(&h, e);
	if (damage)
		return damage;
	return parse_shares((const uint8_t *)data + sizeof(h), len - sizeof(h),
			    e);
}

bool envelope_may_allow(const struct envelope *e, uint32_t uid)
{
	size_t i;

	if (!uid || e->n_gids)
		return true;
	for (i = 0; i < e->n_uids; i++)
		if (e->uids[i] == uid)
			return true;
	return false;
}
