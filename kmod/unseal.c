// SPDX-License-Identifier: GPL-2.0-only
/*
 * Unseals under way
 *
 * vr_unseal_start() turns an envelope into challenges for its vaults,
 * vr_unseal_answer() takes their answers and makes the KEK of them.  An unseal
 * ends with its last answer, with its first bad one, or at its deadline; then
 * its blinding is wiped, so that each serves once.
 */

#include <linux/err.h>
#include <linux/jiffies.h>
#include <linux/netlink.h>
#include <linux/slab.h>

#include "trace.h"
#include "vr.h"

#define VR_UNSEALS_MAX		1024
#define VR_UNSEAL_MAX_MS	(10 * 60 * 1000)

/* On vr_unseals, whose lock protects all of it; freed by who takes it off. */
struct vr_unseal {
	struct list_head list;
	u64 id;
	u64 request;		/* of the kernel to the daemon, or 0 */
	unsigned long deadline;	/* jiffies */
	u64 start;		/* ns, for the tracepoint */
	struct vr_envelope *env;
	struct vr_exchange exchange;
};

static void vr_unseal_reap(struct work_struct *work);

static DEFINE_MUTEX(vr_unseals_lock);
static LIST_HEAD(vr_unseals);
static unsigned int vr_unseals_held;
static u64 vr_unseal_last_id;
static DECLARE_DELAYED_WORK(vr_unseal_reaper, vr_unseal_reap);

static void unseal_free(struct vr_unseal *unseal)
{
	vr_envelope_free(unseal->env);
	kfree_sensitive(unseal);
}

static void unseal_take_off(struct vr_unseal *unseal)
{
	lockdep_assert_held(&vr_unseals_lock);
	list_del(&unseal->list);
	WRITE_ONCE(vr_unseals_held, vr_unseals_held - 1);
}

/* Drop what is past its deadline and look again at the next one. */
static void vr_unseal_reap(struct work_struct *work)
{
	struct vr_unseal *unseal, *tmp;
	unsigned long now = jiffies, next = 0;

	mutex_lock(&vr_unseals_lock);
	list_for_each_entry_safe(unseal, tmp, &vr_unseals, list) {
		if (time_after_eq(now, unseal->deadline)) {
			unseal_take_off(unseal);
			unseal_free(unseal);
		} else if (!next || time_before(unseal->deadline, next)) {
			next = unseal->deadline;
		}
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

static void fill_reply(const struct vr_unseal *unseal, const u8 *challenge,
		       u32 deadline_ms, struct vr_unseal_reply *reply)
{
	const struct vr_share *share = unseal->env->share;

	memset(reply, 0, sizeof(*reply));
	reply->deadline_ms = deadline_ms;
	reply->attrs = unseal->env->attrs;
	reply->count = 1;
	reply->share[0].index = share->head->index;
	reply->share[0].method = share->head->method;
	strscpy(reply->share[0].vault, share->head->vault,
		sizeof(reply->share[0].vault));
	memcpy(reply->share[0].fingerprint, share->head->fingerprint,
	       sizeof(reply->share[0].fingerprint));
	memcpy(reply->share[0].challenge, challenge, VR_POINT_SIZE);
}

/*
 * Begin an unseal, for a request of ours if @request is not 0, to end within
 * @deadline_ms (0: the default).
 *
 * -EINVAL: not our format; -EKEYREJECTED: forged or corrupt, or the name is
 * pinned to another id; -EACCES: the task that asked is not one that may;
 * -ENOENT: it waits no more; -ENOKEY: no pins are loaded; -EAGAIN: too many
 * under way.
 */
int vr_unseal_start(const void *envelope, size_t len, u64 request,
		    u32 deadline_ms, struct vr_unseal_reply *reply,
		    struct netlink_ext_ack *extack)
{
	u8 challenge[VR_POINT_SIZE];
	struct vr_unseal *unseal;
	int err;

	unseal = kzalloc(sizeof(*unseal), GFP_KERNEL);
	if (!unseal)
		return -ENOMEM;
	unseal->request = request;
	unseal->start = ktime_get_ns();
	unseal->env = vr_envelope_parse(envelope, len, extack);
	if (IS_ERR(unseal->env)) {
		err = PTR_ERR(unseal->env);
		unseal->env = NULL;
		if (err == -EKEYREJECTED)
			vr_report_unseal(NULL, err);
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

	/* Known to be in vain: spare the vault. */
	err = vr_pins_check_kek(unseal->env->attrs.name,
				vr_envelope_head(unseal->env)->id, extack);
	if (err)
		goto err_refused;
	err = vr_oblivious_start(&unseal->exchange, unseal->env->share[0].data,
				 challenge);
	if (err == -EKEYREJECTED) {
		NL_SET_ERR_MSG(extack, "the envelope's point is not on the curve");
		goto err_refused;
	}
	if (err)
		goto err_free;
	if (!deadline_ms)
		deadline_ms = VR_UNSEAL_TIMEOUT_MS;
	deadline_ms = min_t(u32, deadline_ms, VR_UNSEAL_MAX_MS);

	fill_reply(unseal, challenge, deadline_ms, reply);
	err = unseal_enter(unseal, deadline_ms, &reply->id, extack);
	if (err)
		goto err_free;
	return 0;

err_refused:
	vr_report_unseal(&unseal->env->attrs, err);
err_free:
	unseal_free(unseal);
	return err;
}

static struct vr_unseal *unseal_find(u64 id, u32 index)
{
	struct vr_unseal *unseal;

	list_for_each_entry(unseal, &vr_unseals, list)
		if (unseal->id == id && index == 1 &&
		    time_before(jiffies, unseal->deadline))
			return unseal;
	return NULL;
}

static struct vr_kek *unseal_finish(struct vr_unseal *unseal, const u8 *answer,
				    unsigned int len,
				    struct netlink_ext_ack *extack)
{
	u8 secret[VR_SECRET_SIZE];
	struct vr_kek *kek;
	int err;

	err = vr_oblivious_finish(&unseal->exchange, answer, len, secret);
	if (err == -EKEYREJECTED)
		NL_SET_ERR_MSG(extack, "the vault's answer is not the x coordinate of a point");
	if (err)
		return ERR_PTR(err);
	kek = vr_envelope_unseal(unseal->env, secret, extack);
	memzero_explicit(secret, sizeof(secret));
	if (!IS_ERR(kek))
		kek = vr_kek_register(kek, extack);
	/* Pins that were set in the meantime have not seen it. */
	if (IS_ERR(kek))
		return kek;
	err = vr_pins_check_kek(kek->attrs.name, kek->id, extack);
	if (err) {
		vr_kek_end(kek, VAULTRING_KEK_STATE_REVOKED);
		vr_kek_put(kek);
		return ERR_PTR(err);
	}
	return kek;
}

/*
 * Take a vault's answer, or a positive @error if it gave none.  Returns the
 * KEK, held and with a reference, or what came of it: the daemon's @error
 * itself, -ENOENT if no such challenge waits, -EKEYREJECTED if the answer or
 * the envelope is wrong.
 */
struct vr_kek *vr_unseal_answer(u64 id, u32 index, const u8 *answer,
				unsigned int len, int error,
				struct netlink_ext_ack *extack)
{
	struct vr_unseal *unseal;
	struct vr_kek *kek;

	mutex_lock(&vr_unseals_lock);
	unseal = unseal_find(id, index);
	if (unseal)
		unseal_take_off(unseal);
	mutex_unlock(&vr_unseals_lock);
	if (!unseal) {
		NL_SET_ERR_MSG(extack, "no such challenge: answered, too late, or never asked");
		return ERR_PTR(-ENOENT);
	}

	/* Not -ENOENT: that says that there was no such challenge. */
	kek = error ? ERR_PTR(error == ENOENT ? -ENOKEY : -error) :
	      unseal_finish(unseal, answer, len, extack);
	if (!IS_ERR(kek))
		vr_upcall_unsealed(kek);
	vr_report_unseal(&unseal->env->attrs, PTR_ERR_OR_ZERO(kek));
	trace_vr_unseal(&unseal->env->attrs, PTR_ERR_OR_ZERO(kek),
			ktime_get_ns() - unseal->start);
	/* One that got another KEK than it asked for has no use for it. */
	if (unseal->request)
		vr_upcall_fail(unseal->request,
			       IS_ERR(kek) ? PTR_ERR(kek) : -ENOKEY);
	unseal_free(unseal);
	return kek;
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
	list_for_each_entry_safe(unseal, tmp, &vr_unseals, list) {
		unseal_take_off(unseal);
		unseal_free(unseal);
	}
	mutex_unlock(&vr_unseals_lock);
}

void vr_unseal_exit(void)
{
	cancel_delayed_work_sync(&vr_unseal_reaper);
	vr_unseal_drop();
}
