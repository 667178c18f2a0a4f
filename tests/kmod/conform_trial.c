// SPDX-License-Identifier: GPL-2.0-only
/*
 * One request to a subject, and everything that may be said of it
 *
 * The pieces of a message lie in an arena that is otherwise filled with a
 * pattern.  The arena's image says what it has to look like afterwards, so one
 * comparison finds wrong output, output in the wrong place and bytes around it
 * that were touched.
 */

#include <linux/bottom_half.h>
#include <linux/err.h>
#include <linux/log2.h>
#include <linux/preempt.h>
#include <linux/slab.h>

#include "conform.h"

#define GAP		16	/* at least so much between two pieces */
#define GUARD		64	/* behind the request's context */
#define GUARD_BYTE	0x5c
#define PATIENCE	(30 * HZ)

static void fill_pattern(u8 *data, unsigned int len)
{
	unsigned int i;

	for (i = 0; i < len; i++)
		data[i] = 0xa5 ^ i * 31;
}

void trial_free(struct trial *t)
{
	if (!t)
		return;
	kfree(t->src);
	kfree(t->dst);
	kfree(t->src_image);
	kfree(t->dst_image);
	kfree(t->in);
	kfree(t->want[0]);
	kfree(t->want[1]);
	kfree(t->iv_room);
	kfree(t->request);
	kfree(t);
}

/* For messages of up to @max bytes with everything that belongs to them. */
struct trial *trial_alloc(struct subject *s, unsigned int max)
{
	struct trial *t = kzalloc(sizeof(*t), GFP_KERNEL);

	if (!t)
		return NULL;
	t->subject = s;
	t->max = max;
	t->arena = roundup_pow_of_two(max + (CONFORM_PIECES + 2) * 4 * GAP);
	t->request_size = cipher_request_size(&s->ours);
	t->src = kmalloc(t->arena, GFP_KERNEL);
	t->dst = kmalloc(t->arena, GFP_KERNEL);
	t->src_image = kmalloc(t->arena, GFP_KERNEL);
	t->dst_image = kmalloc(t->arena, GFP_KERNEL);
	t->in = kmalloc(max, GFP_KERNEL);
	t->want[0] = kmalloc(max, GFP_KERNEL);
	t->want[1] = kmalloc(max, GFP_KERNEL);
	t->iv_room = kmalloc(4 * CONFORM_IV, GFP_KERNEL);
	t->request = kmalloc(t->request_size + GUARD, GFP_KERNEL);
	if (!t->src || !t->dst || !t->src_image || !t->dst_image || !t->in ||
	    !t->want[0] || !t->want[1] || !t->iv_room || !t->request) {
		trial_free(t);
		return NULL;
	}
	return t;
}

/* One piece if nothing else is said; never an empty list. */
static void complete_cut(struct cut *cut, unsigned int len)
{
	if (cut->n)
		return;
	cut->n = 1;
	cut->len[0] = max(len, 1U);
}

static void lay_out(struct trial *t, const struct cut *cut, u8 *arena,
		    struct scatterlist *sg)
{
	unsigned int i, at = GAP;

	sg_init_table(sg, cut->n);
	for (i = 0; i < cut->n; i++) {
		at += GAP;
		if (cut->offset == CONFORM_ANY)
			at += conform_below(t->subject, GAP);
		else
			at = round_up(at, GAP) + cut->offset;
		sg_set_buf(&sg[i], arena + at, cut->len[i]);
		at += cut->len[i];
	}
}

/* What each twin makes of the input, or how it refuses it. */
static void ask_twins(struct trial *t)
{
	const struct spec *spec = &t->spec;
	unsigned int i;

	for (i = 0; i < 2; i++) {
		memcpy(t->want[i], t->in, t->in_len);
		memcpy(t->want_iv[i], t->iv, CONFORM_IV);
		t->want_err[i] = cipher_once(&t->subject->twin[i], t->want[i],
					     spec->assoc,
					     t->in_len - spec->assoc,
					     t->want_iv[i], spec->decrypt);
	}
}

/* Random text, or for an AEAD to decrypt, what its first twin has encrypted. */
static int make_input(struct trial *t)
{
	const struct spec *spec = &t->spec;
	struct subject *s = t->subject;
	u8 iv[CONFORM_IV];
	int err;

	t->in_len = spec->assoc + spec->len;
	prandom_bytes_state(&s->random, t->in, t->in_len);
	prandom_bytes_state(&s->random, t->iv, CONFORM_IV);
	if (!spec->decrypt || !s->ours.aead)
		return 0;
	memcpy(iv, t->iv, CONFORM_IV);
	err = cipher_once(&s->twin[0], t->in, spec->assoc, spec->len, iv,
			  false);
	t->in_len += s->tag;
	if (spec->forged)
		t->in[t->in_len - 1 - conform_below(s, s->tag)] ^=
			1 << conform_below(s, 8);
	return err;
}

/* Before it is started once more; not for one that works in place. */
void trial_reset(struct trial *t)
{
	fill_pattern(t->dst, t->arena);
	memcpy(t->dst_image, t->dst, t->arena);
}

/* -EINVAL: the spec does not fit the trial. */
int trial_prepare(struct trial *t, const struct spec *spec)
{
	struct subject *s = t->subject;
	int err;

	t->spec = *spec;
	if (spec->assoc + spec->len + s->tag > t->max)
		return -EINVAL;
	err = make_input(t);
	if (err)
		return err;
	ask_twins(t);
	t->out_len = spec->assoc + spec->len + (spec->decrypt ? 0 : s->tag);
	complete_cut(&t->spec.src, max(t->in_len, t->out_len));
	complete_cut(&t->spec.dst, max(t->in_len, t->out_len));

	fill_pattern(t->src, t->arena);
	lay_out(t, &t->spec.src, t->src, t->src_sg);
	sg_copy_from_buffer(t->src_sg, t->spec.src.n, t->in, t->in_len);
	memcpy(t->src_image, t->src, t->arena);
	lay_out(t, &t->spec.dst, t->dst, t->dst_sg);
	trial_reset(t);
	return 0;
}

static void trial_done(vr_completion_t data, int err)
{
	struct trial *t = vr_completion_data(data);

	if (err == -EINPROGRESS) {
		WRITE_ONCE(t->backlogged, true);
		return;
	}
	t->err = err;
	complete(&t->done);
}

/* Returns what the transform returned; trial_wait() then waits if need be. */
int trial_start(struct trial *t)
{
	const struct spec *spec = &t->spec;
	struct scatterlist *dst = spec->in_place ? t->src_sg : t->dst_sg;
	u8 *iv = t->iv_room + CONFORM_IV + spec->iv_offset;
	int err;

	init_completion(&t->done);
	t->backlogged = false;
	memset(t->iv_room, GUARD_BYTE, 4 * CONFORM_IV);
	memcpy(iv, t->iv, t->subject->iv_size);
	memset(t->request, 0xa5, t->request_size);
	memset(t->request + t->request_size, GUARD_BYTE, GUARD);
	cipher_prepare(&t->subject->ours, t->request, spec->flags, trial_done,
		       t, t->src_sg, dst, spec->assoc, t->in_len - spec->assoc,
		       iv);
	if (spec->atomic)
		local_bh_disable();
	err = cipher_crypt(&t->subject->ours, t->request, spec->decrypt);
	if (spec->atomic)
		local_bh_enable();
	if (err != -EINPROGRESS &&
	    !(err == -EBUSY && spec->flags & CRYPTO_TFM_REQ_MAY_BACKLOG)) {
		t->err = err;
		complete(&t->done);
	}
	return err;
}

void trial_wait(struct trial *t)
{
	if (!wait_for_completion_timeout(&t->done, PATIENCE))
		t->err = -ETIMEDOUT;
}

/* The message's bytes of an arena's image become those of @text. */
static void draw(const struct trial *t, u8 *image, const u8 *arena,
		 const struct cut *cut, const struct scatterlist *sg,
		 const u8 *text, unsigned int from, unsigned int to)
{
	unsigned int i, at = 0;

	for (i = 0; i < cut->n; i++, at += cut->len[i - 1]) {
		unsigned int first = max(at, from);
		unsigned int last = min(at + cut->len[i], to);
		u8 *piece = sg_virt((struct scatterlist *)&sg[i]);

		if (first < last)
			memcpy(image + (piece - arena) + (first - at),
			       text ? text + first : piece + (first - at),
			       last - first);
	}
}

/* Whether memory looks as it must after the text @want, NULL: after none. */
static bool looks_right(struct trial *t, const u8 *want)
{
	const struct spec *spec = &t->spec;
	const struct cut *cut = spec->in_place ? &spec->src : &spec->dst;
	struct scatterlist *sg = spec->in_place ? t->src_sg : t->dst_sg;
	u8 *image = spec->in_place ? t->src_image : t->dst_image;
	u8 *arena = spec->in_place ? t->src : t->dst;

	/*
	 * What a twin refuses as well may be any text: forged, or of a length
	 * that is noticed at its end.
	 */
	if (t->err &&
	    (t->err == t->want_err[0] || t->err == t->want_err[1]))
		draw(t, image, arena, cut, sg, NULL, spec->assoc, t->out_len);
	else if (want)
		draw(t, image, arena, cut, sg, want, spec->assoc, t->out_len);
	/* Whether an AEAD copies the AD is its own affair. */
	if (!spec->in_place)
		draw(t, image, arena, cut, sg, NULL, 0, spec->assoc);
	return !memcmp(arena, image, t->arena);
}

/*
 * Only XTS takes a part of a block, at the end, and then what it leaves in the
 * IV depends on how the kernel walked there.
 */
static bool iv_right(const struct trial *t, unsigned int key)
{
	const unsigned int at = CONFORM_IV + t->spec.iv_offset;
	const unsigned int size = t->subject->iv_size;
	const bool defined = !(t->in_len % t->subject->block);

	return !(defined && memcmp(t->iv_room + at, t->want_iv[key], size)) &&
	       !memchr_inv(t->iv_room, GUARD_BYTE, at) &&
	       !memchr_inv(t->iv_room + at + size, GUARD_BYTE,
			   4 * CONFORM_IV - at - size);
}

static const char *fault_under(struct trial *t, unsigned int key)
{
	if (t->err != t->want_err[key])
		return "another result than the twin's";
	if (!looks_right(t, t->err ? NULL : t->want[key]))
		return t->err ? "an error, and output" :
				"wrong output, or bytes around it touched";
	if (!t->err && !iv_right(t, key))
		return "another IV afterwards than the twin's";
	return NULL;
}

static bool is_one_of(int err, const int *errors)
{
	while (errors && *errors)
		if (*errors++ == err)
			return true;
	return false;
}

static const char *fault(struct trial *t, unsigned int keys, const int *errors)
{
	const char *found = "none of the keys";
	unsigned int key;

	if (memchr_inv(t->request + t->request_size, GUARD_BYTE, GUARD))
		return "written behind the request's context";
	if (!t->spec.in_place && memcmp(t->src, t->src_image, t->arena))
		return "the source or bytes around it changed";
	if (is_one_of(t->err, errors))
		return looks_right(t, NULL) ? NULL : "an error, and output";
	for (key = 0; key < 2; key++) {
		if (!(keys & BIT(key)))
			continue;
		found = fault_under(t, key);
		if (!found)
			break;
	}
	return found;
}

/*
 * Right under one of @keys (a mask), or one of @errors (ended by 0) with
 * nothing written.
 */
bool trial_judge(struct trial *t, unsigned int keys, const int *errors)
{
	const char *found = fault(t, keys, errors);
	const struct spec *spec = &t->spec;

	atomic_inc(&t->subject->compared);
	if (found)
		conform_complain(t->subject,
				 "%s: %s %u+%u bytes%s%s, %u pieces to %u, offsets %d %d, iv %u: %d",
				 found, spec->decrypt ? "decrypt" : "encrypt",
				 spec->assoc, spec->len,
				 spec->in_place ? " in place" : "",
				 spec->atomic ? " in atomic context" : "",
				 spec->src.n, spec->dst.n, spec->src.offset,
				 spec->dst.offset, spec->iv_offset, t->err);
	return !found;
}

static bool try_with(struct subject *s, const struct spec *spec,
		     unsigned int keys, int error)
{
	struct trial *t = trial_alloc(s, spec->assoc + spec->len + s->tag + 1);
	const int errors[] = { error, 0 };
	bool good = false;

	if (t && !trial_prepare(t, spec)) {
		trial_start(t);
		trial_wait(t);
		good = trial_judge(t, keys, errors);
	} else {
		conform_complain(s, "a trial of %u+%u bytes cannot be made",
				 spec->assoc, spec->len);
	}
	/* What did not come back may still be written to. */
	if (!t || t->err != -ETIMEDOUT)
		trial_free(t);
	return good;
}

bool try(struct subject *s, const struct spec *spec)
{
	return try_with(s, spec, BIT(0), 0);
}

bool try_expecting(struct subject *s, const struct spec *spec, int error)
{
	return try_with(s, spec, 0, error);
}
