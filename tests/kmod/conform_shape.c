// SPDX-License-Identifier: GPL-2.0-only
/* Lengths, divisions and places: what a message may look like. */

#include <linux/minmax.h>

#include "conform.h"

#define ROUNDS_RANDOM	250

/* Encrypt and decrypt, to elsewhere and in place. */
static bool try_four(struct subject *s, struct spec *spec)
{
	bool good = true;
	unsigned int i;

	for (i = 0; i < 4; i++) {
		spec->decrypt = i & 1;
		spec->in_place = i & 2;
		good &= try(s, spec);
	}
	return good;
}

/* The twin's answer to a length may be a refusal; then so must ours be. */
static bool every_length(struct subject *s)
{
	static const unsigned int longer[] = {
		255, 256, 257, 511, 512, 513, 1023, 1024, 4095, 4096, 4097,
		8192, 12288, 16384, 20000,
	};
	struct spec spec = {};
	bool good = true;
	unsigned int i;

	for (i = 0; i <= 130; i++) {
		spec.len = i;
		good &= try_four(s, &spec);
	}
	for (i = 0; i < ARRAY_SIZE(longer); i++) {
		spec.len = longer[i];
		good &= try_four(s, &spec);
	}
	return good;
}

static bool no_length(struct subject *s)
{
	struct spec spec = { .atomic = true };

	return try_four(s, &spec);
}

/* Two pieces, the first of @first bytes; one if that is none or all. */
static void cut_in_two(struct cut *cut, unsigned int len, unsigned int first)
{
	cut->offset = CONFORM_ANY;
	cut->n = first && first < len ? 2 : 1;
	cut->len[0] = first && first < len ? first : len;
	cut->len[1] = len - first;
}

static void cut_in_three(struct cut *cut, unsigned int len, unsigned int first,
			 unsigned int second)
{
	cut->offset = CONFORM_ANY;
	cut->n = 3;
	cut->len[0] = first;
	cut->len[1] = second;
	cut->len[2] = len - first - second;
}

static void cut_in_bytes(struct cut *cut, unsigned int len)
{
	unsigned int i;

	cut->offset = CONFORM_ANY;
	cut->n = len;
	for (i = 0; i < len; i++)
		cut->len[i] = 1;
}

/* Up to 16 pieces, most of them short, and perhaps more room than needed. */
static void cut_at_random(struct subject *s, struct cut *cut, unsigned int len)
{
	cut->n = 0;
	cut->offset = conform_below(s, 2) ? CONFORM_ANY : conform_below(s, 16);
	do {
		unsigned int most = conform_below(s, 3) ? min(len, 33U) : len;
		unsigned int piece = 1 + conform_below(s, max(most, 1U));

		if (cut->n == 15)
			piece = max(len, 1U);
		cut->len[cut->n++] = piece;
		len -= min(piece, len);
	} while (len);
	cut->len[cut->n - 1] += conform_below(s, 4) ? 0 : conform_below(s, 40);
}

/* Where the message of an AEAD has a piece of its own for AD, text and tag. */
static unsigned int whole(const struct subject *s, const struct spec *spec)
{
	return spec->assoc + spec->len + s->tag;
}

static bool two_pieces(struct subject *s)
{
	struct spec spec = { .len = 48, .assoc = s->ours.aead ? 12 : 0 };
	const unsigned int len = whole(s, &spec);
	bool good = true;
	unsigned int i;

	for (i = 0; i <= len; i++) {
		cut_in_two(&spec.src, len, i);
		cut_in_two(&spec.dst, len, (i * 7 + 3) % (len + 1));
		good &= try_four(s, &spec);
		cut_in_two(&spec.dst, len, i);
		spec.in_place = false;
		good &= try(s, &spec);
	}
	return good;
}

static bool three_pieces(struct subject *s)
{
	struct spec spec = { .len = 16 };
	const unsigned int len = whole(s, &spec);
	unsigned int first, second, n = 0;
	bool good = true;

	for (first = 1; first + 1 < len; first++) {
		for (second = 1; first + second < len; second++) {
			cut_in_three(&spec.src, len, first, second);
			cut_in_three(&spec.dst, len, second, first);
			spec.decrypt = n & 1;
			spec.in_place = n++ & 2;
			good &= try(s, &spec);
		}
	}
	return good;
}

static bool single_bytes(struct subject *s)
{
	struct spec spec = { .assoc = s->ours.aead ? 5 : 0 };
	bool good = true;

	for (spec.len = 16; spec.len <= 48; spec.len += 16) {
		cut_in_bytes(&spec.src, whole(s, &spec));
		cut_in_bytes(&spec.dst, whole(s, &spec));
		good &= try_four(s, &spec);
	}
	return good;
}

static bool divided_differently(struct subject *s)
{
	struct spec spec = { .len = 64 };
	bool good = true;

	cut_in_bytes(&spec.src, whole(s, &spec));
	spec.dst = (struct cut) {};
	good &= try_four(s, &spec);
	swap(spec.src, spec.dst);
	good &= try_four(s, &spec);
	return good;
}

static unsigned int random_length(struct subject *s)
{
	unsigned int len = conform_below(s, conform_below(s, 8) ? 400 : 6000);

	/* What the twin refuses teaches little. */
	return conform_below(s, 16) ? len - len % s->block : len;
}

static bool at_random(struct subject *s)
{
	struct spec spec;
	bool good = true;
	unsigned int i;

	for (i = 0; i < ROUNDS_RANDOM; i++) {
		memset(&spec, 0, sizeof(spec));
		spec.len = random_length(s);
		if (s->ours.aead)
			spec.assoc = conform_below(s, 40);
		spec.decrypt = conform_below(s, 2);
		spec.in_place = conform_below(s, 2);
		spec.atomic = conform_below(s, 2);
		spec.iv_offset = conform_below(s, 16);
		if (!spec.atomic && conform_below(s, 2))
			spec.flags |= CRYPTO_TFM_REQ_MAY_SLEEP;
		if (conform_below(s, 2))
			spec.flags |= CRYPTO_TFM_REQ_MAY_BACKLOG;
		cut_at_random(s, &spec.src, whole(s, &spec));
		cut_at_random(s, &spec.dst, whole(s, &spec));
		good &= try(s, &spec);
	}
	return good;
}

static bool offsets(struct subject *s)
{
	struct spec spec = {};
	bool good = true;
	unsigned int i;

	for (i = 0; i < 16; i++) {
		spec = (struct spec) { .len = 64 };
		cut_in_two(&spec.src, whole(s, &spec), 0);
		spec.dst = spec.src;
		spec.dst.offset = 0;
		spec.src.offset = i;
		good &= try_four(s, &spec);
		swap(spec.dst.offset, spec.src.offset);
		good &= try_four(s, &spec);
		spec.src.offset = i;
		good &= try_four(s, &spec);
	}
	return good;
}

static bool iv_offsets(struct subject *s)
{
	struct spec spec = { .len = 64 };
	bool good = true;

	for (; spec.iv_offset < 16; spec.iv_offset++)
		good &= try_four(s, &spec);
	return good;
}

/* No sleeping: a debug kernel tells if there is. */
static bool atomic_context(struct subject *s)
{
	struct spec spec = { .atomic = true };
	bool good = true;

	for (spec.len = 16; spec.len <= 4096; spec.len *= 2)
		good &= try_four(s, &spec);
	return good;
}

/* AEAD: AD of every length, divided at every place. */
static bool assoc_lengths(struct subject *s)
{
	struct spec spec = { .len = 32 };
	bool good = true;
	unsigned int i;

	for (spec.assoc = 0; spec.assoc <= 32; spec.assoc++) {
		spec.src = (struct cut) {};
		spec.dst = (struct cut) {};
		good &= try_four(s, &spec);
		for (i = 1; i < spec.assoc; i++) {
			cut_in_three(&spec.src, whole(s, &spec), i,
				     spec.assoc - i);
			cut_in_two(&spec.dst, whole(s, &spec),
				   spec.assoc - i);
			spec.decrypt = i & 1;
			spec.in_place = i & 2;
			good &= try(s, &spec);
		}
	}
	return good;
}

static bool assoc_alone(struct subject *s)
{
	struct spec spec = {};
	bool good = true;

	for (spec.assoc = 0; spec.assoc <= 32; spec.assoc += 8)
		good &= try_four(s, &spec);
	return good;
}

static bool forgeries(struct subject *s)
{
	struct spec spec = { .decrypt = true, .forged = true };
	bool good = true;
	unsigned int i;

	for (i = 0; i < 64; i++) {
		spec.len = conform_below(s, 100);
		spec.assoc = conform_below(s, 32);
		spec.in_place = i & 1;
		good &= try(s, &spec);
	}
	return good;
}

/* Each size of a tag, taken or refused as the twin does. */
static bool tags(struct subject *s)
{
	const unsigned int usual = s->tag;
	struct spec spec = { .len = 40, .assoc = 8 };
	unsigned int len;
	bool good = true;

	for (len = 0; len <= 20; len++) {
		int err = cipher_set_tag(&s->twin[0], len);

		good &= cipher_set_tag(&s->ours, len) == err;
		if (err || cipher_set_tag(&s->twin[1], len))
			continue;
		s->tag = len;
		good &= try_four(s, &spec);
		spec.forged = true;
		spec.decrypt = true;
		good &= !len || try(s, &spec);
		spec.forged = false;
	}
	s->tag = usual;
	return good && !cipher_set_tag(&s->ours, usual) &&
	       !cipher_set_tag(&s->twin[0], usual) &&
	       !cipher_set_tag(&s->twin[1], usual);
}

const struct check shape_checks[] = {
	{ every_length, "is its twin at every length, also where that refuses" },
	{ no_length, "takes no bytes at all as its twin does" },
	{ two_pieces, "is its twin over every division into two pieces" },
	{ three_pieces, "is its twin over every division into three pieces" },
	{ single_bytes, "is its twin over pieces of one byte" },
	{ divided_differently, "is its twin where source and destination are divided differently" },
	{ at_random, "is its twin over messages of random shape" },
	{ offsets, "is its twin on memory at every offset" },
	{ iv_offsets, "is its twin with an IV at every offset" },
	{ atomic_context, "is its twin in atomic context" },
	{ assoc_lengths, "is its twin with associated data of every length and division", true },
	{ assoc_alone, "is its twin with associated data and no text", true },
	{ forgeries, "refuses wrong tags as its twin does", true },
	{ tags, "has its twin's tag sizes", true },
	{}
};
