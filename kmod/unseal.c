// SPDX-License-Identifier: GPL-2.0-only
/*
 * Unseals under way
 *
 * vr_unseal_start() turns an envelope into challenges for all of its vaults,
 * vr_unseal_answer() takes their answers, in any order and also at the same
 * time, and makes the KEK of as many as the threshold says.  An unseal ends once
 * that is done, once it cannot be done any more, or at its deadline; then all
 * its blinding is wiped, asked for or not, so that each serves once.
 *
 * A reseal is an unseal that ends with another envelope of the same KEK instead
 * of the KEK.
 */

#include <linux/bits.h>
#include <linux/err.h>
#include <linux/jiffies.h>
#include <linux/netlink.h>
#include <linux/slab.h>

#include "trace.h"
#include "vr.h"

#define VR_UNSEALS_MAX		1024
#define VR_UNSEAL_MAX_MS	(10 * 60 * 1000)

/*
 * References: one of vr_unseals, one of each answer that is being handled.
 *
 * @lock protects all that follows it and is held while an answer is computed.
 * What comes before it does not change.
 */
struct vr_unseal {
	struct list_head list;	/* vr_unseals_lock; empty when taken off */
	refcount_t refs;
	u64 id;
	u64 request;		/* of the kernel to the daemon, or 0 */
	unsigned long deadline;	/* jiffies */
	u64 start;		/* ns, for the tracepoint */
	struct vr_envelope *env;
	struct vr_sealing *sealing;	/* of a reseal; used up by its end */
	struct mutex lock;	/* see above */
	bool over;
	unsigned long waiting;	/* bit i: no answer for share i + 1 yet */
	unsigned long have;	/* bit i: parts[i] is there */
	unsigned int away;	/* shares that may come another time */
	int temporary;		/* why not now, negative */
	int definite;		/* why not ever, negative */
	struct vr_exchange exchanges[VAULTRING_MAX_SHARES];
	struct vr_part parts[VAULTRING_MAX_SHARES];
};

static void vr_unseal_reap(struct work_struct *work);

static DEFINE_MUTEX(vr_unseals_lock);
static LIST_HEAD(vr_unseals);
static unsigned int vr_unseals_held;
static u64 vr_unseal_last_id;
static DECLARE_DELAYED_WORK(vr_unseal_reaper, vr_unseal_reap);

static const char *op_of(bool reseal)
{
	return reseal ? "reseal" : "unseal";
}

static void unseal_put(struct vr_unseal *unseal)
{
	if (!refcount_dec_and_test(&unseal->refs))
		return;
	vr_envelope_free(unseal->env);
	vr_sealing_free(unseal->sealing);
	kfree_sensitive(unseal);
}

static void unseal_take_off(struct vr_unseal *unseal)
{
	lockdep_assert_held(&vr_unseals_lock);
	if (list_empty(&unseal->list))
		return;
	list_del_init(&unseal->list);
	WRITE_ONCE(vr_unseals_held, vr_unseals_held - 1);
	unseal_put(unseal);
}

/* Drop what is past its deadline and look again at the next one. */
static void vr_unseal_reap(struct work_struct *work)
{
	struct vr_unseal *unseal, *tmp;
	unsigned long now = jiffies, next = 0;

	mutex_lock(&vr_unseals_lock);
	list_for_each_entry_safe(unseal, tmp, &vr_unseals, list) {
		if (time_after_eq(now, unseal->deadline))
			unseal_take_off(unseal);
		else if (!next || time_before(unseal->deadline, next))
			next = unseal->deadline;
	}
	if (next)
		mod_delayed_work(vr_wq, &vr_unseal_reaper,
				 next - now + 1);
	mutex_unlock(&vr_unseals_lock);
}

/* Once it is on the list it can go at any time: it must not be looked at. */
static int unseal_enter(struct vr_unseal *unseal, u32 deadline_ms, u64 *id,
			struct netlink_ext_ack *extack)
{
	unsigned long delay = msecs_to_jiffies(deadline_ms) + 1;
	int err;

	mutex_lock(&vr_unseals_lock);
	err = vr_keks_check_open(extack);
	if (err)
		goto out;
	if (vr_unseals_held >= VR_UNSEALS_MAX) {
		NL_SET_ERR_MSG(extack, "too many unseals are under way; try again");
		err = -EAGAIN;
	} else {
		*id = unseal->id = ++vr_unseal_last_id;
		unseal->deadline = jiffies + delay;
		list_add_tail(&unseal->list, &vr_unseals);
		WRITE_ONCE(vr_unseals_held, vr_unseals_held + 1);
		mod_delayed_work(vr_wq, &vr_unseal_reaper, 0);
	}
out:
	mutex_unlock(&vr_unseals_lock);
	return err;
}

static struct vr_unseal *unseal_alloc(u64 request)
{
	struct vr_unseal *unseal = kzalloc(sizeof(*unseal), GFP_KERNEL);

	if (!unseal)
		return NULL;
	refcount_set(&unseal->refs, 1);
	INIT_LIST_HEAD(&unseal->list);
	mutex_init(&unseal->lock);
	unseal->request = request;
	unseal->start = ktime_get_ns();
	return unseal;
}

/* What to ask of each vault.  -EKEYREJECTED: a point is not on the curve. */
static int start_exchanges(struct vr_unseal *unseal,
			   struct vr_unseal_reply *reply)
{
	const struct vr_envelope *env = unseal->env;
	unsigned int i;
	int len;

	memset(reply, 0, sizeof(*reply));
	reply->attrs = env->attrs;
	reply->count = env->count;
	for (i = 0; i < env->count; i++) {
		const struct vaultring_share *share = env->share[i].head;

		reply->share[i].index = share->index;
		reply->share[i].method = share->method;
		strscpy(reply->share[i].vault, share->vault,
			sizeof(reply->share[i].vault));
		memcpy(reply->share[i].fingerprint, share->fingerprint,
		       sizeof(reply->share[i].fingerprint));
		len = vr_share_start(&env->share[i], &unseal->exchanges[i],
				     reply->share[i].challenge);
		if (len < 0)
			return len;
		reply->share[i].challenge_len = len;
		unseal->waiting |= BIT(i);
	}
	return 0;
}

/* The new envelope, as far as it can be made without the master secret. */
static int begin_sealing(struct vr_unseal *unseal,
			 const struct vr_reseal_request *reseal,
			 struct netlink_ext_ack *extack)
{
	const struct vr_attrs *attrs = &unseal->env->attrs;
	struct vr_sealing *sealing;

	/* Who hands the envelope to root may have another in mind. */
	if (strcmp(attrs->name, reseal->name) ||
	    attrs->version != reseal->version) {
		NL_SET_ERR_MSG(extack, "the envelope is of another KEK or version");
		return -EKEYREJECTED;
	}
	sealing = vr_sealing_begin(attrs, reseal->threshold ?:
				   unseal->env->threshold, reseal->share,
				   reseal->count, extack);
	if (IS_ERR(sealing))
		return PTR_ERR(sealing);
	unseal->sealing = sealing;
	return 0;
}

/*
 * Begin an unseal, for a request of ours if @request is not 0, or a reseal, to
 * end within @deadline_ms (0: the default).
 *
 * -EINVAL: not our format; -EKEYREJECTED: forged or corrupt, or the name is
 * pinned to another id; -EACCES: the task that asked is not one that may;
 * -ENOENT: it waits no more; -ENOKEY: no pins are loaded; -EAGAIN: too many
 * under way.  For the new shares of a reseal see also vr_sealing_begin().
 */
int vr_unseal_start(const void *envelope, size_t len, u64 request,
		    const struct vr_reseal_request *reseal, u32 deadline_ms,
		    struct vr_unseal_reply *reply,
		    struct netlink_ext_ack *extack)
{
	struct vr_unseal *unseal = unseal_alloc(request);
	int err;

	if (!unseal)
		return -ENOMEM;
	unseal->env = vr_envelope_parse(envelope, len, extack);
	if (IS_ERR(unseal->env)) {
		err = PTR_ERR(unseal->env);
		unseal->env = NULL;
		if (err == -EKEYREJECTED)
			vr_report_unseal(op_of(reseal), NULL, err);
		goto err_free;
	}
	err = request ? vr_upcall_check(request, &unseal->env->attrs) : 0;
	if (err == -ENOENT) {
		NL_SET_ERR_MSG(extack, "no such request waits");
		goto err_free;
	}
	if (err) {
		/* Reported where the task learns of it. */
		NL_SET_ERR_MSG(extack, "the asking task may not have this KEK");
		goto err_free;
	}

	/* Known to be in vain: spare the vaults. */
	err = vr_pins_check_kek(unseal->env->attrs.name,
				vr_envelope_head(unseal->env)->id, extack);
	if (err)
		goto err_refused;
	err = reseal ? begin_sealing(unseal, reseal, extack) : 0;
	if (err == -EKEYREJECTED || err == -EACCES)
		goto err_refused;
	if (err)
		goto err_free;
	err = start_exchanges(unseal, reply);
	if (err == -EKEYREJECTED) {
		NL_SET_ERR_MSG(extack, "a point of the envelope is not on the curve");
		goto err_refused;
	}
	if (err)
		goto err_free;
	if (!deadline_ms)
		deadline_ms = VR_UNSEAL_TIMEOUT_MS;
	deadline_ms = min_t(u32, deadline_ms, VR_UNSEAL_MAX_MS);
	reply->deadline_ms = deadline_ms;
	err = unseal_enter(unseal, deadline_ms, &reply->id, extack);
	if (err)
		goto err_free;
	return 0;

err_refused:
	vr_report_unseal(op_of(reseal), &unseal->env->attrs, err);
err_free:
	unseal_put(unseal);
	return err;
}

/* Locked and with a reference, if that share's answer is waited for. */
static struct vr_unseal *unseal_get(u64 id, u32 index)
{
	struct vr_unseal *unseal, *found = NULL;

	mutex_lock(&vr_unseals_lock);
	list_for_each_entry(unseal, &vr_unseals, list) {
		if (unseal->id != id)
			continue;
		refcount_inc(&unseal->refs);
		found = unseal;
		break;
	}
	mutex_unlock(&vr_unseals_lock);
	if (!found)
		return NULL;
	mutex_lock(&found->lock);
	if (!found->over && index >= 1 && index <= found->env->count &&
	    (found->waiting & BIT(index - 1)) &&
	    time_before(jiffies, found->deadline))
		return found;
	mutex_unlock(&found->lock);
	unseal_put(found);
	return NULL;
}

/*
 * A share will not come.  Of what is definite, a wrong answer says most, then
 * whatever was first.
 */
static void share_lost(struct vr_unseal *unseal, int err)
{
	if (err == -EAGAIN || err == -ENOMEM) {
		unseal->away++;
		unseal->temporary = err;
	} else if (err == -EKEYREJECTED || !unseal->definite) {
		unseal->definite = err;
	}
}

/*
 * Take the answer for share @i + 1, which uses up its exchange whatever it is.
 * 0: there is @master; 1: more parts are needed.
 */
static int take_answer(struct vr_unseal *unseal, unsigned int i,
		       const struct vr_answer *answer, u8 *master,
		       struct netlink_ext_ack *extack)
{
	u8 secret[VR_SECRET_SIZE];
	int err;

	err = vr_share_finish(&unseal->env->share[i], &unseal->exchanges[i],
			      answer, secret, extack) ?:
	      vr_envelope_part(unseal->env, i, secret, &unseal->parts[i]);
	memzero_explicit(secret, sizeof(secret));
	if (err)
		return err;
	unseal->have |= BIT(i);
	if (hweight_long(unseal->have) < unseal->env->threshold)
		return 1;
	err = vr_envelope_master(unseal->env, unseal->parts, unseal->have,
				 BIT(i), master, extack);
	/* Not tried with the others: as if it had not come. */
	if (err && err != -EKEYREJECTED)
		unseal->have &= ~BIT(i);
	return err;
}

/*
 * 1 while the threshold can still be reached; otherwise why not, negative.
 *
 * Had as many answers been right as it takes, they would have given the KEK: so
 * at most one less are.  What is away can still make it another time: if that is
 * enough the error is a temporary one, even where others refused or lied.  If it
 * is not, trying again is in vain, and the error says so.
 */
static int unseal_verdict(const struct vr_unseal *unseal)
{
	unsigned int needed = unseal->env->threshold;
	unsigned int come = min_t(unsigned int, hweight_long(unseal->have),
				  needed - 1) + hweight_long(unseal->waiting);

	if (come >= needed)
		return 1;
	if (come + unseal->away >= needed)
		return unseal->temporary;
	return unseal->definite;
}

/* Whom root trusted when it began, and does not now? */
static int check_vaults(const struct vr_envelope *env,
			struct netlink_ext_ack *extack)
{
	unsigned int i;

	for (i = 0; i < env->count; i++) {
		if (vr_pins_allow_vault(env->share[i].head->fingerprint))
			continue;
		NL_SET_ERR_MSG(extack, "vault key not pinned now; try: vaultring vault pin NAME");
		return -EACCES;
	}
	return 0;
}

static int reseal_finish(struct vr_unseal *unseal, const u8 *master,
			 struct vr_unseal_result *result,
			 struct netlink_ext_ack *extack)
{
	struct vr_envelope *env;
	int err = vr_envelope_check(unseal->env, master, extack);

	if (err)
		return err;
	env = vr_sealing_finish(unseal->sealing, master, extack);
	if (IS_ERR(env))
		return PTR_ERR(env);
	err = check_vaults(env, extack);
	if (err) {
		vr_envelope_free(env);
		return err;
	}
	result->resealed = env;
	return 0;
}

static int unseal_finish(struct vr_unseal *unseal, const u8 *master,
			 struct vr_unseal_result *result,
			 struct netlink_ext_ack *extack)
{
	struct vr_kek *kek;
	int err;

	if (unseal->sealing)
		return reseal_finish(unseal, master, result, extack);
	kek = vr_envelope_unseal(unseal->env, master, extack);
	if (!IS_ERR(kek))
		kek = vr_kek_register(kek, extack);
	if (IS_ERR(kek))
		return PTR_ERR(kek);
	/* Pins that were set in the meantime have not seen it. */
	err = vr_pins_check_kek(kek->attrs.name, kek->id, extack);
	if (err) {
		vr_kek_end(kek, VAULTRING_KEK_STATE_REVOKED);
		vr_kek_put(kek);
		return err;
	}
	result->kek = kek;
	return 0;
}

/* It is over, and nobody else looks at it any more: tell who waits for it. */
static void unseal_end(struct vr_unseal *unseal, struct vr_kek *kek, int err)
{
	mutex_lock(&vr_unseals_lock);
	unseal_take_off(unseal);
	mutex_unlock(&vr_unseals_lock);
	if (kek)
		vr_upcall_unsealed(kek);
	vr_report_unseal(op_of(unseal->sealing), &unseal->env->attrs, err);
	trace_vr_unseal(&unseal->env->attrs, err,
			ktime_get_ns() - unseal->start);
	/* One that got another KEK than it asked for has no use for it. */
	if (unseal->request)
		vr_upcall_fail(unseal->request, err ?: -ENOKEY);
}

/*
 * Take a vault's answer, or a positive @error if it gave none.
 *
 * 0: it was taken.  @result has the KEK, or the envelope of a reseal, or says
 * that the unseal goes on with the other shares, or, if it ended with this
 * @error, what came of it.
 * Otherwise: -ENOENT if no such challenge waits, or what the unseal ended with,
 * -EKEYREJECTED if an answer or the envelope is wrong; see unseal_verdict().
 */
int vr_unseal_answer(u64 id, u32 index, const struct vr_answer *answer,
		     int error, struct vr_unseal_result *result,
		     struct netlink_ext_ack *extack)
{
	struct vr_unseal *unseal = unseal_get(id, index);
	u8 master[VR_SECRET_SIZE] = {};
	int err, verdict;

	memset(result, 0, sizeof(*result));
	if (!unseal) {
		NL_SET_ERR_MSG(extack, "no such challenge: answered, too late, or never asked");
		return -ENOENT;
	}
	/* Not -ENOENT: that says that there was no such challenge. */
	err = error ? (error == ENOENT ? -ENOKEY : -error) :
	      take_answer(unseal, index - 1, answer, master, extack);
	memzero_explicit(&unseal->exchanges[index - 1],
			 sizeof(*unseal->exchanges));
	unseal->waiting &= ~BIT(index - 1);
	if (err < 0)
		share_lost(unseal, err);
	verdict = err ? unseal_verdict(unseal) : 0;
	unseal->over = verdict <= 0;
	mutex_unlock(&unseal->lock);

	if (verdict > 0) {
		result->goes_on = true;
		result->error = min(err, 0);
		verdict = 0;
	} else {
		verdict = verdict ?: unseal_finish(unseal, master, result,
						   extack);
		unseal_end(unseal, result->kek, verdict);
	}
	memzero_explicit(master, sizeof(master));
	unseal_put(unseal);
	if (!error || !verdict)
		return verdict;
	result->error = verdict;
	return 0;
}

unsigned int vr_unseal_count(void)
{
	return READ_ONCE(vr_unseals_held);
}

/* End all that are under way: their answers find none. */
void vr_unseal_drop(void)
{
	struct vr_unseal *unseal, *tmp;

	mutex_lock(&vr_unseals_lock);
	list_for_each_entry_safe(unseal, tmp, &vr_unseals, list)
		unseal_take_off(unseal);
	mutex_unlock(&vr_unseals_lock);
}

void vr_unseal_exit(void)
{
	cancel_delayed_work_sync(&vr_unseal_reaper);
	vr_unseal_drop();
}
