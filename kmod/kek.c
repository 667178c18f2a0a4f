// SPDX-License-Identifier: GPL-2.0-only
/*
 * The KEK registry: what is held, until when, by whom it may be used, and how
 * it ends
 *
 * A KEK enters by an unseal and leaves by revocation, by the end of its lease
 * or with the module.  It stays when the daemon goes away: nothing that is
 * open depends on one.
 */

#include <crypto/aead.h>
#include <linux/err.h>
#include <linux/hashtable.h>
#include <linux/jhash.h>
#include <linux/netlink.h>
#include <linux/slab.h>
#include <linux/timekeeping.h>

#include "vr.h"

#define VR_KEK_HASH_BITS	10
/*
 * Timers stand still while the machine sleeps and know nothing of steps of the
 * clock: look again at least this often.
 */
#define VR_LEASE_LOOK_S		60

/* Readers hold RCU and take a reference; writers hold vr_keks_lock. */
static DEFINE_HASHTABLE(vr_keks_by_id, VR_KEK_HASH_BITS);
static DEFINE_HASHTABLE(vr_keks_by_name, VR_KEK_HASH_BITS);
static DEFINE_SPINLOCK(vr_keks_lock);
static unsigned int vr_keks_held;
struct workqueue_struct *vr_wq;

/*
 * Lifetime
 */

static void kek_free_rcu(struct rcu_head *rcu)
{
	struct vr_kek *kek = container_of(rcu, struct vr_kek, rcu);

	percpu_ref_exit(&kek->users);
	kfree_sensitive(kek);
}

void vr_kek_put(struct vr_kek *kek)
{
	if (!refcount_dec_and_test(&kek->refs))
		return;
	/* Only one that was never registered still has it: this cannot sleep. */
	crypto_free_aead(kek->aead);
	call_rcu(&kek->rcu, kek_free_rcu);
}

static void vr_kek_drained(struct percpu_ref *users)
{
	complete(&container_of(users, struct vr_kek, users)->drained);
}

static void vr_kek_lease_work(struct work_struct *work);

/* Returns a KEK that is not registered yet, with one reference. */
struct vr_kek *vr_kek_alloc(const struct vr_attrs *attrs, const u8 *id,
			    const u8 key[VR_KEY_SIZE])
{
	struct vr_kek *kek = kzalloc(sizeof(*kek), GFP_KERNEL);
	int err;

	if (!kek)
		return ERR_PTR(-ENOMEM);
	err = percpu_ref_init(&kek->users, vr_kek_drained, 0, GFP_KERNEL);
	if (err)
		goto err_free_kek;
	kek->aead = crypto_alloc_aead("gcm(aes)", 0, 0);
	if (IS_ERR(kek->aead)) {
		err = PTR_ERR(kek->aead);
		goto err_exit_users;
	}
	err = crypto_aead_setkey(kek->aead, key, VR_KEY_SIZE) ?:
	      crypto_aead_setauthsize(kek->aead, VAULTRING_TAG_SIZE);
	if (err)
		goto err_free_aead;

	refcount_set(&kek->refs, 1);
	kek->state = VAULTRING_KEK_STATE_ACTIVE;
	init_completion(&kek->drained);
	init_completion(&kek->wiped);
	mutex_init(&kek->lock);
	INIT_LIST_HEAD(&kek->lives);
	INIT_DELAYED_WORK(&kek->lease_work, vr_kek_lease_work);
	memcpy(kek->id, id, sizeof(kek->id));
	kek->attrs = *attrs;
	return kek;

err_free_aead:
	crypto_free_aead(kek->aead);
err_exit_users:
	percpu_ref_exit(&kek->users);
err_free_kek:
	kfree_sensitive(kek);
	return ERR_PTR(err);
}

/*
 * Dates and lease
 */

/* 0 while nothing ended the KEK for good, otherwise what did. */
static int kek_gone(struct vr_kek *kek)
{
	if (likely(!percpu_ref_is_dying(&kek->users)))
		return 0;
	return READ_ONCE(kek->state) == VAULTRING_KEK_STATE_EXPIRED ?
	       -EKEYEXPIRED : -EKEYREVOKED;
}

/* Seconds until the KEK ends by itself; 0 if it is over, U64_MAX: never. */
u64 vr_kek_lease_left(struct vr_kek *kek)
{
	time64_t expires = READ_ONCE(kek->expires);
	u64 now = ktime_get_boottime_seconds();
	u64 real = ktime_get_real_seconds();
	u64 left = U64_MAX;

	if (expires)
		left = expires > now ? expires - now : 0;
	if (kek->attrs.not_after)
		left = min(left, kek->attrs.not_after > real ?
			   kek->attrs.not_after - real : 0);
	return left;
}

static void kek_start_lease(struct vr_kek *kek)
{
	time64_t expires = 0;

	if (kek->attrs.lease)
		expires = ktime_get_boottime_seconds() + kek->attrs.lease;
	WRITE_ONCE(kek->expires, expires);
}

/*
 * Look at the lease again in time.  Never after vr_kek_end() has begun, which
 * takes @lock to do so and cancels what was queued until then.
 */
static void kek_queue_lease(struct vr_kek *kek)
{
	u64 left = vr_kek_lease_left(kek);

	lockdep_assert_held(&kek->lock);
	if (left == U64_MAX || kek_gone(kek))
		return;
	left = min_t(u64, left, VR_LEASE_LOOK_S);
	refcount_inc(&kek->refs);
	if (!queue_delayed_work(vr_wq, &kek->lease_work, left * HZ + 1))
		vr_kek_put(kek);
}

static void vr_kek_lease_work(struct work_struct *work)
{
	struct vr_kek *kek = container_of(to_delayed_work(work), struct vr_kek,
					  lease_work);
	bool over = false;

	/* Under the lock, so that a renewal comes either before or too late. */
	mutex_lock(&kek->lock);
	if (vr_kek_lease_left(kek)) {
		kek_queue_lease(kek);
	} else if (kek->state == VAULTRING_KEK_STATE_ACTIVE) {
		WRITE_ONCE(kek->state, VAULTRING_KEK_STATE_EXPIRED);
		over = true;
	}
	mutex_unlock(&kek->lock);

	if (over && kek->attrs.lease_end == VAULTRING_LEASE_END_KILL)
		vr_kek_end(kek, VAULTRING_KEK_STATE_EXPIRED);
	else if (over)
		vr_netlink_kek_event(kek, VAULTRING_KEK_STATE_EXPIRED);
	vr_kek_put(kek);
}

/* May something new be opened under the KEK now? */
int vr_kek_check(struct vr_kek *kek)
{
	int err = kek_gone(kek);

	if (err)
		return err;
	/* vr_kek_end() has begun, and its kill of @users is about to be seen. */
	if (READ_ONCE(kek->state) == VAULTRING_KEK_STATE_REVOKED)
		return -EKEYREVOKED;
	if (READ_ONCE(kek->state) != VAULTRING_KEK_STATE_ACTIVE ||
	    !vr_kek_lease_left(kek) ||
	    kek->attrs.not_before > ktime_get_real_seconds())
		return -EKEYEXPIRED;
	return 0;
}

/*
 * Registry
 */

static u32 name_hash(const char *name)
{
	return jhash(name, strlen(name), 0);
}

static u32 id_hash(const u8 *id)
{
	return jhash(id, VAULTRING_ID_SIZE, 0);
}

struct vr_kek *vr_kek_get_id(const u8 *id)
{
	struct vr_kek *kek;

	rcu_read_lock();
	hash_for_each_possible_rcu(vr_keks_by_id, kek, by_id, id_hash(id))
		if (!memcmp(kek->id, id, VAULTRING_ID_SIZE) &&
		    refcount_inc_not_zero(&kek->refs))
			break;
	rcu_read_unlock();
	return kek;
}

/* The newest version of that name. */
struct vr_kek *vr_kek_get_name(const char *name)
{
	struct vr_kek *kek, *best = NULL;

	rcu_read_lock();
	hash_for_each_possible_rcu(vr_keks_by_name, kek, by_name,
				   name_hash(name)) {
		if (strcmp(kek->attrs.name, name) ||
		    (best && best->attrs.version > kek->attrs.version) ||
		    !refcount_inc_not_zero(&kek->refs))
			continue;
		if (best)
			vr_kek_put(best);
		best = kek;
	}
	rcu_read_unlock();
	return best;
}

/* By name or by @id, if it is good for something new. */
struct vr_kek *vr_kek_get_good(const char *name, const u8 *id)
{
	struct vr_kek *kek = name ? vr_kek_get_name(name) : vr_kek_get_id(id);

	if (kek && vr_kek_check(kek)) {
		vr_kek_put(kek);
		return NULL;
	}
	return kek;
}

/* For listings: the KEK at or after that place, which is moved on behind it. */
struct vr_kek *vr_kek_get_nth(unsigned int *bucket, unsigned int *skip)
{
	struct vr_kek *kek;
	unsigned int i;

	rcu_read_lock();
	for (; *bucket < HASH_SIZE(vr_keks_by_id); (*bucket)++, *skip = 0) {
		i = 0;
		hlist_for_each_entry_rcu(kek, &vr_keks_by_id[*bucket], by_id) {
			if (i++ < *skip)
				continue;
			(*skip)++;
			if (refcount_inc_not_zero(&kek->refs)) {
				rcu_read_unlock();
				return kek;
			}
		}
	}
	rcu_read_unlock();
	return NULL;
}

unsigned int vr_kek_count(void)
{
	return READ_ONCE(vr_keks_held);
}

/* Another KEK under this name and version; vr_keks_lock is held. */
static bool kek_name_taken(const struct vr_kek *kek)
{
	struct vr_kek *other;

	hash_for_each_possible(vr_keks_by_name, other, by_name,
			       name_hash(kek->attrs.name))
		if (!strcmp(other->attrs.name, kek->attrs.name) &&
		    other->attrs.version == kek->attrs.version)
			return true;
	return false;
}

/* An unseal of a KEK that is held begins its lease anew. */
static int kek_renew(struct vr_kek *old, const struct vr_kek *kek,
		     struct netlink_ext_ack *extack)
{
	int err = 0;

	mutex_lock(&old->lock);
	if (kek_gone(old) ||
	    (old->state != VAULTRING_KEK_STATE_ACTIVE &&
	     old->attrs.lease_end == VAULTRING_LEASE_END_KILL)) {
		NL_SET_ERR_MSG(extack, "this KEK is ending at this moment; try again");
		err = -EAGAIN;
	} else if (memcmp(&old->attrs, &kek->attrs, sizeof(kek->attrs))) {
		NL_SET_ERR_MSG(extack, "this KEK is held with other attributes; revoke it first");
		err = -EEXIST;
	} else {
		kek_start_lease(old);
		WRITE_ONCE(old->state, VAULTRING_KEK_STATE_ACTIVE);
		if (cancel_delayed_work(&old->lease_work))
			vr_kek_put(old);
		kek_queue_lease(old);
	}
	mutex_unlock(&old->lock);
	return err;
}

/*
 * Hold a KEK from now on, or renew the lease of the one that is held already.
 * Takes over the caller's reference and returns the held one with a reference.
 * -EEXIST if its name and version are another KEK's.
 */
struct vr_kek *vr_kek_register(struct vr_kek *kek,
			       struct netlink_ext_ack *extack)
{
	struct vr_kek *old;
	int err = 0;

	spin_lock(&vr_keks_lock);
	old = vr_kek_get_id(kek->id);
	if (!old && kek_name_taken(kek)) {
		NL_SET_ERR_MSG(extack, "another KEK of this name and version is held");
		err = -EEXIST;
	} else if (!old) {
		kek_start_lease(kek);
		refcount_inc(&kek->refs);
		hash_add_rcu(vr_keks_by_id, &kek->by_id, id_hash(kek->id));
		hash_add_rcu(vr_keks_by_name, &kek->by_name,
			     name_hash(kek->attrs.name));
		vr_keks_held++;
	}
	spin_unlock(&vr_keks_lock);

	if (old) {
		err = kek_renew(old, kek, extack);
		vr_kek_put(kek);
		kek = old;
	} else if (!err) {
		mutex_lock(&kek->lock);
		kek_queue_lease(kek);
		mutex_unlock(&kek->lock);
	}
	if (err) {
		vr_kek_put(kek);
		return ERR_PTR(err);
	}
	vr_netlink_kek_event(kek, VAULTRING_KEK_STATE_ACTIVE);
	return kek;
}

/*
 * End a KEK for good: refuse every new request, let those in flight finish,
 * then wipe the KEK and the inner key of each transform under it.  When this
 * returns all of that is done, whoever did it.  Returns how many transforms
 * there were.  May sleep as long as the inner cipher takes for a request.
 */
unsigned int vr_kek_end(struct vr_kek *kek, enum vaultring_kek_state state)
{
	struct vr_live *live;
	unsigned int count;
	bool first;

	spin_lock(&vr_keks_lock);
	first = !kek->ending;
	kek->ending = true;
	spin_unlock(&vr_keks_lock);
	if (!first) {
		wait_for_completion(&kek->wiped);
		return READ_ONCE(kek->live_count);
	}

	mutex_lock(&kek->lock);
	WRITE_ONCE(kek->state, state);
	percpu_ref_kill(&kek->users);
	mutex_unlock(&kek->lock);
	wait_for_completion(&kek->drained);

	mutex_lock(&kek->lock);
	list_for_each_entry(live, &kek->lives, list)
		live->wipe(live);
	count = kek->live_count;
	crypto_free_aead(kek->aead);
	kek->aead = NULL;
	mutex_unlock(&kek->lock);

	/* Only now: whoever finds it before that waits for all of this. */
	spin_lock(&vr_keks_lock);
	hash_del_rcu(&kek->by_id);
	hash_del_rcu(&kek->by_name);
	vr_keks_held--;
	spin_unlock(&vr_keks_lock);
	complete_all(&kek->wiped);

	if (cancel_delayed_work(&kek->lease_work))
		vr_kek_put(kek);
	vr_audit("end", kek->attrs.name, kek->attrs.version, 0);
	vr_netlink_kek_event(kek, state);
	vr_kek_put(kek);	/* the registry's */
	return count;
}

/* End what the pins do not allow under its name any more. */
void vr_kek_end_unpinned(void)
{
	unsigned int bucket = 0, skip = 0;
	struct vr_kek *kek;

	while ((kek = vr_kek_get_nth(&bucket, &skip))) {
		if (vr_pins_check_kek(kek->attrs.name, kek->id, NULL)) {
			vr_kek_end(kek, VAULTRING_KEK_STATE_REVOKED);
			bucket = 0;
			skip = 0;
		}
		vr_kek_put(kek);
	}
}

/*
 * Use, by blobs and requests: no sleeping, no allocation
 */

int vr_kek_enter(struct vr_kek *kek)
{
	if (likely(percpu_ref_tryget_live(&kek->users)))
		return 0;
	return kek_gone(kek);
}

void vr_kek_leave(struct vr_kek *kek)
{
	percpu_ref_put(&kek->users);
}

/* Tie a transform that has just been keyed to its KEK, or say why not. */
int vr_live_attach(struct vr_live *live, struct vr_kek *kek)
{
	int err;

	mutex_lock(&kek->lock);
	err = vr_kek_check(kek);
	if (!err) {
		refcount_inc(&kek->refs);
		list_add(&live->list, &kek->lives);
		kek->live_count++;
		rcu_assign_pointer(live->kek, kek);
	}
	mutex_unlock(&kek->lock);
	return err;
}

void vr_live_detach(struct vr_live *live)
{
	struct vr_kek *kek = rcu_dereference_protected(live->kek, true);

	if (!kek)
		return;
	mutex_lock(&kek->lock);
	RCU_INIT_POINTER(live->kek, NULL);
	list_del(&live->list);
	kek->live_count--;
	mutex_unlock(&kek->lock);
	vr_kek_put(kek);
}

int vr_kek_init(void)
{
	vr_wq = alloc_workqueue("vaultring", WQ_UNBOUND, 0);
	return vr_wq ? 0 : -ENOMEM;
}

/* Nothing unseals, asks or encrypts any more when this runs. */
void vr_kek_exit(void)
{
	unsigned int bucket = 0, skip = 0;
	struct vr_kek *kek;

	while ((kek = vr_kek_get_nth(&bucket, &skip))) {
		vr_kek_end(kek, VAULTRING_KEK_STATE_REVOKED);
		vr_kek_put(kek);
		bucket = 0;
		skip = 0;
	}
	destroy_workqueue(vr_wq);
	rcu_barrier();
}
