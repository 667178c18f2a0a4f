// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Netlink messages from the tables of uapi/vaultring.yaml
 *
 * Most of an ordinary message is right, so that what is wrong with it comes far: an
 * attribute that is missing, there twice, too long, of another kind, or one that
 * does not belong there; or bytes that are changed afterwards.
 */
#include <string.h>

#include <linux/genetlink.h>
#include <linux/netlink.h>

#include "fuzz_kernel.h"
#include "fuzz_table.h"

#define HEAD		(NLMSG_HDRLEN + GENL_HDRLEN)
#define LONGEST		1200

/* --- chance: splitmix64 --- */

static uint64_t state;

void rnd_seed(uint64_t seed)
{
	state = seed;
}

static uint64_t rnd64(void)
{
	uint64_t z = state += 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

unsigned int rnd(unsigned int n)
{
	return rnd64() % n;
}

int chance(unsigned int percent)
{
	return rnd(100) < percent;
}

void rnd_fill(void *out, size_t len)
{
	uint8_t *p = out;

	while (len--)
		*p++ = rnd64();
}

/* --- changes --- */

static void change(uint8_t *data, size_t len)
{
	static const uint8_t edges[] = { 0, 1, 0x7f, 0x80, 0xff };
	size_t at = rnd(len), from, n;

	switch (rnd(4)) {
	case 0:
		data[at] ^= 1 << rnd(8);
		break;
	case 1:
		data[at] = rnd(256);
		break;
	case 2:
		data[at] = edges[rnd(sizeof(edges))];
		break;
	default:
		from = rnd(len);
		n = rnd(16) + 1;
		if (n > len - at)
			n = len - at;
		if (n > len - from)
			n = len - from;
		memmove(data + at, data + from, n);
	}
}

size_t mutate(uint8_t *data, size_t len, size_t room)
{
	unsigned int i, times = rnd(3) + 1;
	size_t more;

	for (i = 0; i < times && len; i++)
		change(data, len);
	if (chance(15) && len) {
		len -= rnd(len < 64 ? len : 64) + 1;
	} else if (chance(15)) {
		more = rnd(64) + 1;
		if (more > room - len)
			more = room - len;
		rnd_fill(data + len, more);
		len += more;
	}
	return len;
}

/* --- values --- */

/* May this message end a KEK by its name or id? */
static int ends;

static const struct kek *some_kek(void)
{
	if (ends || chance(40))
		return &w.victim;
	return chance(50) ? &w.guard : &w.several;
}

static uint32_t some_u32(const struct attr_spec *spec)
{
	static const uint32_t edges[] = {
		0, 1, 2, 3, 8, 9, 63, 64, 0x7e, 0x7f, 0xfe, 0x100, 0x7fffffff,
		0x80000000, 0xfffffffe, 0xffffffff,
	};

	/* One that is long would keep room from others. */
	if (!strcmp(spec->name, "deadline-ms") && !chance(2))
		return rnd(2000) + 1;
	if (chance(60))
		return rnd(4);
	return chance(70) ? edges[rnd(sizeof(edges) / sizeof(*edges))] :
			    (uint32_t)rnd64();
}

static uint64_t some_u64(const struct attr_spec *spec)
{
	if (!strcmp(spec->name, "unseal") && chance(80))
		return w.unseal;
	if (chance(50))
		return 0;
	return chance(50) ? some_u32(spec) : rnd64();
}

static const char *good_text(const char *name)
{
	if (!strcmp(name, "name"))
		return some_kek()->name;
	return chance(50) ? "test" : "hsm:a-key";
}

static void put_string(struct nl_msg *m, int type, const struct attr_spec *spec)
{
	char text[LONGEST];
	size_t len;

	if (chance(70)) {
		len = strlen(strcpy(text, good_text(spec->name))) + 1;
	} else {
		/* As long as it may be, and by one or two more. */
		len = spec->max_len && chance(50) ? spec->max_len + rnd(3) :
		      rnd(sizeof(text) - 1);
		memset(text, 'a' + rnd(26), len);
		text[len++] = chance(80) ? 0 : 'z';
	}
	if (chance(20))
		len = mutate((uint8_t *)text, len, sizeof(text));
	nl_put(m, type, text, len);
}

/* What fits that attribute; its length. */
static size_t good_binary(uint8_t *out, const char *name)
{
	const struct soft_vault *vault = &w.vaults[rnd(3)];
	const struct kek *kek;

	if (!strcmp(name, "envelope")) {
		kek = some_kek();
		memcpy(out, kek->envelope, kek->envelope_len);
		return kek->envelope_len;
	}
	if (!strcmp(name, "id")) {
		memcpy(out, some_kek()->id, VAULTRING_ID_SIZE);
		return VAULTRING_ID_SIZE;
	}
	if (!strcmp(name, "public-key")) {
		memcpy(out, vault->spki, SPKI_SIZE);
		return SPKI_SIZE;
	}
	if (!strcmp(name, "fingerprint") || !strcmp(name, "vault-pin")) {
		memcpy(out, vault->fingerprint, 32);
		return 32;
	}
	if (!strcmp(name, "kept-transport") && w.has_kept) {
		memcpy(out, &w.kept, sizeof(w.kept));
		return sizeof(w.kept);
	}
	/* An x coordinate, a wrapped secret, RSA-OAEP and a wrap. */
	return (const size_t[]){ 32, 40, 384 + 40, 256 }[rnd(4)];
}

static void put_binary(struct nl_msg *m, int type, const struct attr_spec *spec)
{
	uint8_t data[VAULTRING_MAX_ENVELOPE + 256];
	size_t len;

	rnd_fill(data, LONGEST);
	if (chance(80))
		len = good_binary(data, spec->name);
	else if (spec->exact_len && chance(60))
		len = spec->exact_len - 1 + rnd(3);
	else
		len = rnd(LONGEST);
	if (chance(30))
		len = mutate(data, len, sizeof(data));
	nl_put(m, type, data, len);
}

static void put_any(struct nl_msg *m, int type, const struct attr_spec *spec);

static void put_nest(struct nl_msg *m, int type, const struct attr_spec *spec)
{
	unsigned int i;
	size_t at;

	if (sizeof(m->buf) - m->len < 64)
		return;
	at = nl_nest(m, type);
	for (i = 1; i < spec->n_nested; i++) {
		if (chance(40))
			continue;
		put_any(m, i, &spec->nested[i]);
		if (chance(3))
			put_any(m, i, &spec->nested[i]);
	}
	nl_nest_end(m, at);
	if (chance(3))
		((struct nlattr *)(m->buf + at))->nla_type = type;
}

static void put_kind(struct nl_msg *m, int type,
		     const struct attr_spec *spec, enum attr_kind kind)
{
	switch (kind) {
	case KIND_U32:
		nl_put_u32(m, type, some_u32(spec));
		break;
	case KIND_U64:
		nl_put_u64(m, type, some_u64(spec));
		break;
	case KIND_STRING:
		put_string(m, type, spec);
		break;
	case KIND_BINARY:
		put_binary(m, type, spec);
		break;
	case KIND_NEST:
		if (spec->nested)
			put_nest(m, type, spec);
		break;
	default:
		nl_put(m, type, NULL, 0);
	}
}

static void put_any(struct nl_msg *m, int type, const struct attr_spec *spec)
{
	enum attr_kind kind = spec->kind;

	if (chance(2))
		kind = KIND_U32 + rnd(KIND_PAD - KIND_U32);
	put_kind(m, type, spec, kind);
}

/* --- messages --- */

static void put_attrs(struct nl_msg *m, const struct op_spec *op)
{
	unsigned int i, n;
	int type;

	for (i = 0; i < op->n; i++) {
		const struct attr_spec *spec = &main_attrs[op->attrs[i]];

		if (chance(15))
			continue;
		n = 1;
		if (spec->repeats && chance(40))
			n = rnd(10);
		else if (chance(2))
			n = 2;
		while (n--)
			put_any(m, op->attrs[i], spec);
	}
	if (chance(8)) {
		type = rnd(VAULTRING_A_MAX) + 1;
		put_any(m, type, &main_attrs[type]);
	}
	if (chance(3))
		nl_put_u32(m, VAULTRING_A_MAX + 1 + rnd(100), rnd(3));
}

const struct op_spec *message_make(struct nl_msg *m)
{
	const struct op_spec *op = &op_specs[rnd(sizeof(op_specs) /
						 sizeof(*op_specs))];

	ends = op->cmd == VAULTRING_CMD_KEK_REVOKE ||
	       op->cmd == VAULTRING_CMD_PINS_SET;
	nl_start(m, op->cmd, chance(op->dump ? 20 : 2) ? NLM_F_DUMP : 0);
	put_attrs(m, op);
	/* Behind the head: another command would be another message. */
	if (chance(20) && m->len > HEAD)
		m->len = HEAD + mutate(m->buf + HEAD, m->len - HEAD,
				       sizeof(m->buf) - HEAD);
	if (chance(1))
		m->len = NLMSG_HDRLEN + rnd(GENL_HDRLEN);
	return op;
}
