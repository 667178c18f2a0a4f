// SPDX-License-Identifier: GPL-2.0-only
/* Requests in flight: many, while the key changes, while the KEK is revoked. */

#include <linux/delay.h>
#include <linux/kthread.h>
#include <linux/slab.h>

#include "conform.h"

#define TASKS		4
#define REKEYS		24

/* What comes of requests in flight; trials are one task's each, @lot of it. */
struct lot {
	struct flight *flight;
	struct task_struct *task;
	struct trial *trial[CONFORM_FLYING / TASKS];
};

struct flight {
	unsigned int keys;	/* that are right, a mask */
	const int *errors;	/* that are right, ended by 0 */
	bool held;		/* in flight until they are released */
	atomic_t good, refused, wrong;
	struct lot lot[TASKS];
};

static struct trial *random_trial(struct subject *s)
{
	struct trial *t = trial_alloc(s, 1100);
	struct spec spec = {
		.len = 16 * (1 + conform_below(s, 64)),
		.assoc = s->ours.aead ? conform_below(s, 32) : 0,
		.flags = conform_below(s, 2) ? CRYPTO_TFM_REQ_MAY_BACKLOG : 0,
		.atomic = conform_below(s, 2),
		.decrypt = conform_below(s, 2),
	};

	if (t && trial_prepare(t, &spec)) {
		trial_free(t);
		t = NULL;
	}
	return t;
}

static void free_trials(struct trial **trial, unsigned int n)
{
	while (n--)
		trial_free(trial[n]);
}

static bool make_trials(struct subject *s, struct trial **trial, unsigned int n)
{
	unsigned int i;

	for (i = 0; i < n; i++) {
		trial[i] = random_trial(s);
		if (!trial[i]) {
			free_trials(trial, i);
			return false;
		}
	}
	return true;
}

static void count(struct flight *f, struct trial *t)
{
	if (!trial_judge(t, f->keys, f->errors))
		atomic_inc(&f->wrong);
	else if (t->err && t->err != -EBADMSG)
		atomic_inc(&f->refused);
	else
		atomic_inc(&f->good);
}

static int fly(void *data)
{
	struct lot *lot = data;
	const unsigned int n = ARRAY_SIZE(lot->trial);
	unsigned int i;

	while (!kthread_should_stop()) {
		for (i = 0; i < n; i++) {
			trial_reset(lot->trial[i]);
			trial_start(lot->trial[i]);
		}
		for (i = 0; i < n; i++) {
			trial_wait(lot->trial[i]);
			count(lot->flight, lot->trial[i]);
		}
		/* Leave something for those who change the key. */
		usleep_range(200, 400);
	}
	return 0;
}

static void stop(struct flight *f)
{
	unsigned int i;

	for (i = 0; i < TASKS; i++)
		if (f->lot[i].task)
			kthread_stop(f->lot[i].task);
	for (i = 0; i < TASKS; i++)
		if (f->lot[i].trial[0])
			free_trials(f->lot[i].trial,
				    ARRAY_SIZE(f->lot[i].trial));
}

static int start(struct subject *s, struct flight *f, unsigned int keys,
		 const int *errors)
{
	struct task_struct *task;
	unsigned int i;

	memset(f, 0, sizeof(*f));
	f->keys = keys;
	f->errors = errors;
	for (i = 0; i < TASKS; i++) {
		f->lot[i].flight = f;
		if (!make_trials(s, f->lot[i].trial,
				 ARRAY_SIZE(f->lot[i].trial))) {
			f->lot[i].trial[0] = NULL;
			goto err_stop;
		}
	}
	for (i = 0; i < TASKS; i++) {
		task = kthread_run(fly, &f->lot[i], "conform/%u", i);
		if (IS_ERR(task))
			goto err_stop;
		f->lot[i].task = task;
	}
	return 0;

err_stop:
	stop(f);
	return -ENOMEM;
}

/*
 * Exactly so many at once: with our own inner cipher the gate keeps each until
 * all are there.
 */
static bool at_once(struct subject *s, unsigned int n)
{
	struct trial *trial[CONFORM_FLYING];
	bool good = true;
	unsigned int i;

	if (!make_trials(s, trial, n))
		return false;
	if (conform_async)
		inner_hold(n);
	for (i = 0; i < n; i++)
		trial_start(trial[i]);
	if (conform_async && atomic_read(&inner.held) != n) {
		conform_complain(s, "%d of %u requests in flight",
				 atomic_read(&inner.held), n);
		good = false;
	}
	if (conform_async)
		inner_release();
	for (i = 0; i < n; i++) {
		trial_wait(trial[i]);
		good &= trial_judge(trial[i], BIT(0), NULL);
	}
	free_trials(trial, n);
	return good;
}

static bool many_at_once(struct subject *s)
{
	return at_once(s, 1) & at_once(s, 2) & at_once(s, 7) &
	       at_once(s, CONFORM_FLYING);
}

static int rekey(struct subject *s, unsigned int key)
{
	return cipher_setkey(&s->ours, s->key[key].blob, VAULTRING_BLOB_SIZE);
}

/*
 * setkey() and requests at the same time: a request that was taken is done
 * under the key that there was then; one that finds no key says so.
 */
static bool rekeyed(struct subject *s)
{
	static const int errors[] = { -ENOKEY, 0 };
	struct flight *f = kzalloc(sizeof(*f), GFP_KERNEL);
	unsigned int i, failed = 0;
	bool good;

	if (!f || start(s, f, BIT(0) | BIT(1), errors)) {
		kfree(f);
		return false;
	}
	for (i = 0; i < REKEYS; i++) {
		failed += !!rekey(s, !(i & 1));
		usleep_range(2000, 4000);
	}
	stop(f);
	good = !failed && !atomic_read(&f->wrong) && atomic_read(&f->good);
	tap_note(&conform_tap,
		 "%s: %u keys, %u refused, %d right, %d ENOKEY, %d wrong", s->alg,
		 REKEYS, failed, atomic_read(&f->good),
		 atomic_read(&f->refused), atomic_read(&f->wrong));
	kfree(f);
	return good && !rekey(s, 0);
}

static void open_gate(struct work_struct *work)
{
	inner_release();
}

/* The same, with the requests certainly in flight when the key comes. */
static bool rekeyed_while_held(struct subject *s)
{
	const int early = atomic_read(&inner.early_keys);
	struct delayed_work opener;
	struct trial *trial[8];
	bool good;
	unsigned int i;

	if (!conform_async)
		return true;
	if (!make_trials(s, trial, ARRAY_SIZE(trial)))
		return false;
	INIT_DELAYED_WORK_ONSTACK(&opener, open_gate);
	inner_hold(ARRAY_SIZE(trial));
	for (i = 0; i < ARRAY_SIZE(trial); i++)
		trial_start(trial[i]);
	schedule_delayed_work(&opener, HZ / 10);
	good = !rekey(s, 1);
	flush_delayed_work(&opener);
	for (i = 0; i < ARRAY_SIZE(trial); i++) {
		trial_wait(trial[i]);
		good &= trial_judge(trial[i], BIT(0), NULL);
	}
	destroy_delayed_work_on_stack(&opener);
	free_trials(trial, ARRAY_SIZE(trial));
	if (atomic_read(&inner.early_keys) != early) {
		conform_complain(s, "the inner key changed under requests");
		good = false;
	}
	return !rekey(s, 0) && good;
}

const struct check flight_checks[] = {
	{ many_at_once, "is its twin with 1, 2, 7 and 64 requests in flight" },
	{ rekeyed, "is right under the old or the new key while setkey runs" },
	{ rekeyed_while_held, "finishes what is in flight before the key changes" },
	{}
};

/*
 * Revoke in the middle of it: userspace does that between flight_begin() and
 * flight_end().
 */

static const int revoked[] = { -EKEYREVOKED, 0 };

int flight_begin(struct subject *s)
{
	int err;

	s->flight = kzalloc(sizeof(*s->flight), GFP_KERNEL);
	if (!s->flight)
		return -ENOMEM;
	err = start(s, s->flight, BIT(0), revoked);
	if (err) {
		kfree(s->flight);
		s->flight = NULL;
	}
	return err;
}

/* All of them in flight, and kept there. */
int flight_hold(struct subject *s)
{
	struct flight *f = kzalloc(sizeof(*f), GFP_KERNEL);
	unsigned int i, k;

	if (!f)
		return -ENOMEM;
	f->keys = BIT(0);
	for (i = 0; i < TASKS; i++) {
		if (!make_trials(s, f->lot[i].trial,
				 ARRAY_SIZE(f->lot[i].trial)))
			goto err_free;
	}
	inner_hold(CONFORM_FLYING);
	for (i = 0; i < TASKS; i++)
		for (k = 0; k < ARRAY_SIZE(f->lot[i].trial); k++)
			trial_start(f->lot[i].trial[k]);
	inner_hold(0);
	f->held = true;
	s->flight = f;
	return 0;

err_free:
	while (i--)
		free_trials(f->lot[i].trial, ARRAY_SIZE(f->lot[i].trial));
	kfree(f);
	return -ENOMEM;
}

static void land_held(struct flight *f)
{
	unsigned int i, k;

	inner_release();
	for (i = 0; i < TASKS; i++)
		for (k = 0; k < ARRAY_SIZE(f->lot[i].trial); k++) {
			trial_wait(f->lot[i].trial[k]);
			count(f, f->lot[i].trial[k]);
		}
}

static bool all_refused(struct subject *s)
{
	struct spec spec = { .len = 64 };
	bool good = true;
	unsigned int i;

	for (i = 0; i < 4; i++) {
		spec.decrypt = i & 1;
		spec.in_place = i & 2;
		good &= try_expecting(s, &spec, -EKEYREVOKED);
	}
	return good;
}

/* Userspace has revoked, or if they are held, waits for the revoke. */
void flight_end(struct subject *s)
{
	struct flight *f = s->flight;
	int good, refused, wrong;

	if (f->held) {
		tap_ok(&conform_tap, all_refused(s),
		       "%s refuses new requests while a revoke waits", s->alg);
		land_held(f);
	}
	stop(f);
	good = atomic_read(&f->good);
	refused = atomic_read(&f->refused);
	wrong = atomic_read(&f->wrong);
	tap_note(&conform_tap, "%d right, %d refused, %d wrong", good, refused,
		 wrong);
	if (f->held)
		tap_ok(&conform_tap, good == CONFORM_FLYING && !wrong,
		       "%s finishes %u requests that a revoke finds in flight",
		       s->alg, CONFORM_FLYING);
	else
		tap_ok(&conform_tap, good && refused && !wrong,
		       "%s is right or says EKEYREVOKED while it is revoked",
		       s->alg);
	tap_ok(&conform_tap, all_refused(s),
	       "%s says EKEYREVOKED and writes nothing from then on", s->alg);
	kfree(f);
	s->flight = NULL;
}
