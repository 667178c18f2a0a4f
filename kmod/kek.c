// SPDX-License-Identifier: GPL-2.0-only
/*
 * The KEK registry: what is held, by whom it may be used, and how it ends
 *
 * A KEK enters by an unseal and leaves by revocation, by the end of its lease
 * or with the module.  It stays when the daemon goes away: nothing that is
 * open depends on one.
 */

#include <crypto/aead.h>
#include <linux/err.h>
#include <linux/netlink.h>
#include <linux/rhashtable.h>
#include <linux/slab.h>
#include <linux/xarray.h>

#include "trace.h"
#include "vr.h"

/* So that nobody who may unseal, such as the daemon, can fill the memory. */
#define VR_KEKS_MAX		65536
#define VR_VERSIONS_MAX		1024	/* of one name; looked through one by one */

/*
 * Readers hold RCU and take a reference; writers hold vr_keks_lock.  A walk goes
 * by serial number, so that it meets once what stays held all the while.
 */
static struct rhashtable vr_keks_by_id;
static struct rhltable vr_keks_by_name;
static DEFINE_XARRAY_ALLOC1(vr_keks_by_serial);
static DEFINE_MUTEX(vr_keks_lock);
static u32 vr_kek_last_serial;		/* vr_keks_lock */
static unsigned int vr_keks_held;	/* vr_keks_lock */
static bool vr_keks_shut;		/* vr_keks_lock */
static struct kmem_cache *vr_kek_cache;
struct workqueue_struct *vr_wq;

static const struct rhashtable_params vr_id_params = {
	.key_len		= VAULTRING_ID_SIZE,
	.key_offset		= offsetof(struct vr_kek, id),
	.head_offset		= offsetof(struct vr_kek, by_id),
	.automatic_shrinking	= true,
};

/* A name is padded with zeros. */
static const struct rhashtable_params vr_name_params = {
	.key_len		= sizeof_field(struct vr_attrs, name),
	.key_offset		= offsetof(struct vr_kek, attrs.name),
	.head_offset		= offsetof(struct vr_kek, by_name),
	.automatic_shrinking	= true,
};

/*
 * Lifetime
 */

static void kek_free_rcu(struct rcu_head *rcu)
{
	struct vr_kek *kek = container_of(rcu, struct vr_kek, rcu);

	percpu_ref_exit(&kek->users);
	memzero_explicit(kek, sizeof(*kek));
	kmem_cache_free(vr_kek_cache, kek);
}

/* In any context. */
void vr_kek_put(struct vr_kek *kek)
{
	if (refcount_dec_and_test(&kek->refs))
		call_rcu(&kek->rcu, kek_free_rcu);
}

static void vr_kek_drained(struct percpu_ref *users)
{
	complete(&container_of(users, struct vr_kek, users)->drained);
}

/* Returns a KEK that is not registered yet, with one reference. */
struct vr_kek *vr_kek_alloc(const struct vr_attrs *attrs, const u8 *id,
			    const u8 key[VR_KEY_SIZE])
{
	struct vr_kek *kek = kmem_cache_zalloc(vr_kek_cache, GFP_KERNEL);
	int err;

	if (!kek)
		return ERR_PTR(-ENOMEM);
	err = percpu_ref_init(&kek->users, vr_kek_drained, 0, GFP_KERNEL);
	if (err) {
		kmem_cache_free(vr_kek_cache, kek);
		return ERR_PTR(err);
	}
	refcount_set(&kek->refs, 1);
	init_completion(&kek->drained);
	init_completion(&kek->wiped);
	mutex_init(&kek->lock);
	INIT_LIST_HEAD(&kek->lives);
	vr_lease_init(kek);
	memcpy(kek->id, id, sizeof(kek->id));
	memcpy(kek->key, key, sizeof(kek->key));
	kek->attrs = *attrs;
	return kek;
}

/*
 * Registry
 */

struct vr_kek *vr_kek_get_id(const u8 *id)
{
	struct vr_kek *kek;

	rcu_read_lock();
	kek = rhashtable_lookup(&vr_keks_by_id, id, vr_id_params);
	if (kek && !refcount_inc_not_zero(&kek->refs))
		kek = NULL;
	rcu_read_unlock();
	return kek;
}

static struct rhlist_head *lookup_name(const char *name)
{
	char key[sizeof_field(struct vr_attrs, name)];

	if (strscpy_pad(key, name, sizeof(key)) < 0)
		return NULL;
	return rhltable_lookup(&vr_keks_by_name, key, vr_name_params);
}

/* The newest version of that name. */
struct vr_kek *vr_kek_get_name(const char *name)
{
	struct vr_kek *kek, *best = NULL;
	struct rhlist_head *list, *pos;

	rcu_read_lock();
	list = lookup_name(name);
	rhl_for_each_entry_rcu(kek, pos, list, by_name) {
		if ((best && best->attrs.version > kek->attrs.version) ||
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

/* For walks, from *serial == 0: the KEK after that one; moves *serial to it. */
struct vr_kek *vr_kek_get_next(unsigned long *serial)
{
	struct vr_kek *kek;

	rcu_read_lock();
	do {
		kek = xa_find_after(&vr_keks_by_serial, serial, ULONG_MAX,
				    XA_PRESENT);
	} while (kek && !refcount_inc_not_zero(&kek->refs));
	rcu_read_unlock();
	return kek;
}

unsigned int vr_kek_count(void)
{
	return READ_ONCE(vr_keks_held);
}

/* Let no KEK in from now on; false if one is held, and then nothing changes. */
bool vr_keks_shut_if_none(void)
{
	bool none;

	mutex_lock(&vr_keks_lock);
	none = !vr_keks_held;
	if (none)
		WRITE_ONCE(vr_keks_shut, true);
	mutex_unlock(&vr_keks_lock);
	return none;
}

void vr_keks_open(void)
{
	mutex_lock(&vr_keks_lock);
	WRITE_ONCE(vr_keks_shut, false);
	mutex_unlock(&vr_keks_lock);
}

/* -EAGAIN while no KEK may come. */
int vr_keks_check_open(struct netlink_ext_ack *extack)
{
	if (!READ_ONCE(vr_keks_shut))
		return 0;
	NL_SET_ERR_MSG(extack, "the machine is about to hibernate; try again");
	return -EAGAIN;
}

/* Another KEK under this name and version, or too many under the name? */
static bool kek_name_taken(const struct vr_kek *kek)
{
	struct rhlist_head *list, *pos;
	unsigned int versions = 0;
	struct vr_kek *other;
	bool taken = false;

	rcu_read_lock();
	list = lookup_name(kek->attrs.name);
	rhl_for_each_entry_rcu(other, pos, list, by_name) {
		taken |= other->attrs.version == kek->attrs.version;
		versions++;
	}
	rcu_read_unlock();
	return taken || versions >= VR_VERSIONS_MAX;
}

/* An unseal of a KEK that is held begins its lease anew. */
static int kek_renew(struct vr_kek *old, const struct vr_kek *kek,
		     struct netlink_ext_ack *extack)
{
	int err = 0;

	mutex_lock(&old->lock);
	if (vr_kek_gone(old) ||
	    (old->state != VAULTRING_KEK_STATE_ACTIVE &&
	     old->attrs.lease_end == VAULTRING_LEASE_END_KILL)) {
		NL_SET_ERR_MSG(extack, "this KEK is ending at this moment; try again");
		err = -EAGAIN;
	} else if (memcmp(&old->attrs, &kek->attrs, sizeof(kek->attrs))) {
		NL_SET_ERR_MSG(extack, "this KEK is held with other attributes; revoke it first");
		err = -EEXIST;
	} else {
		/* Without it since its lease ended; it is the same one. */
		memcpy(old->key, kek->key, sizeof(old->key));
		WRITE_ONCE(old->state, VAULTRING_KEK_STATE_ACTIVE);
		vr_lease_start(old);
		vr_netlink_kek_event(old, VAULTRING_KEK_STATE_ACTIVE);
	}
	mutex_unlock(&old->lock);
	return err;
}

/* Enter a new KEK into the tables; the registry gets a reference. */
static int kek_insert(struct vr_kek *kek, struct netlink_ext_ack *extack)
{
	int err;

	lockdep_assert_held(&vr_keks_lock);
	err = vr_keks_check_open(extack);
	if (err)
		return err;
	if (vr_keks_held >= VR_KEKS_MAX) {
		NL_SET_ERR_MSG(extack, "65536 KEKs are held; revoke some first");
		return -ENOSPC;
	}
	err = xa_alloc_cyclic(&vr_keks_by_serial, &kek->serial, kek,
			      xa_limit_31b, &vr_kek_last_serial, GFP_KERNEL);
	if (err < 0)
		return err;
	err = rhltable_insert(&vr_keks_by_name, &kek->by_name, vr_name_params);
	if (err)
		goto err_erase;
	err = rhashtable_insert_fast(&vr_keks_by_id, &kek->by_id, vr_id_params);
	if (err)
		goto err_remove_name;
	refcount_inc(&kek->refs);
	WRITE_ONCE(vr_keks_held, vr_keks_held + 1);
	return 0;

err_remove_name:
	rhltable_remove(&vr_keks_by_name, &kek->by_name, vr_name_params);
err_erase:
	xa_erase(&vr_keks_by_serial, kek->serial);
	return err;
}

static void kek_remove(struct vr_kek *kek)
{
	mutex_lock(&vr_keks_lock);
	rhashtable_remove_fast(&vr_keks_by_id, &kek->by_id, vr_id_params);
	rhltable_remove(&vr_keks_by_name, &kek->by_name, vr_name_params);
	xa_erase(&vr_keks_by_serial, kek->serial);
	WRITE_ONCE(vr_keks_held, vr_keks_held - 1);
	mutex_unlock(&vr_keks_lock);
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
	int err;

	mutex_lock(&kek->lock);
	mutex_lock(&vr_keks_lock);
	old = vr_kek_get_id(kek->id);
	if (old) {
		err = 0;
	} else if (kek_name_taken(kek)) {
		NL_SET_ERR_MSG(extack, "another KEK of this name and version, or 1024, are held");
		err = -EEXIST;
	} else {
		err = kek_insert(kek, extack);
	}
	mutex_unlock(&vr_keks_lock);
	if (!old && !err) {
		vr_lease_start(kek);
		/* Until now whoever found it was refused. */
		WRITE_ONCE(kek->state, VAULTRING_KEK_STATE_ACTIVE);
		vr_netlink_kek_event(kek, VAULTRING_KEK_STATE_ACTIVE);
	} else {
		/* Whoever found it half entered has nothing to end. */
		kek->ending = true;
		complete_all(&kek->wiped);
	}
	mutex_unlock(&kek->lock);

	if (old) {
		err = kek_renew(old, kek, extack);
		/* Not held itself: it goes now, not when RCU gets to it. */
		memzero_explicit(kek->key, sizeof(kek->key));
		vr_kek_put(kek);
		kek = old;
	} else if (err) {
		memzero_explicit(kek->key, sizeof(kek->key));
	}
	if (err) {
		vr_kek_put(kek);
		return ERR_PTR(err);
	}
	return kek;
}

/*
 * The end
 */

/* Refuse every new use.  True for the one who has to finish it. */
static bool kek_end_begin(struct vr_kek *kek, enum vaultring_kek_state state)
{
	bool first;

	mutex_lock(&kek->lock);
	first = !kek->ending;
	if (first) {
		kek->ending = true;
		WRITE_ONCE(kek->state, state);
		percpu_ref_kill(&kek->users);
	}
	mutex_unlock(&kek->lock);
	return first;
}

/* Let what is in flight finish, then wipe.  Returns how many transforms died. */
static unsigned int kek_end_finish(struct vr_kek *kek)
{
	u64 start = ktime_get_ns(), drained;
	struct vr_live *live;
	unsigned int count;

	wait_for_completion(&kek->drained);
	drained = ktime_get_ns();

	mutex_lock(&kek->lock);
	list_for_each_entry(live, &kek->lives, list) {
		live->wipe(live);
		cond_resched();
	}
	count = kek->live_count;
	memzero_explicit(kek->key, sizeof(kek->key));
	mutex_unlock(&kek->lock);

	vr_lease_stop(kek);
	/* Only now: whoever finds it before that waits for all of this. */
	kek_remove(kek);
	complete_all(&kek->wiped);
	trace_vr_end(kek, count, drained - start, ktime_get_ns() - drained);
	vr_report_end(kek, kek->state);
	vr_kek_put(kek);	/* the registry's */
	return count;
}

/*
 * End a KEK for good: refuse every new request, let those in flight finish,
 * then wipe the KEK and the inner key of each transform under it.  When this
 * returns all of that is done, whoever did it.  Returns how many transforms
 * there were.  May sleep as long as the inner cipher takes for a request.
 */
unsigned int vr_kek_end(struct vr_kek *kek, enum vaultring_kek_state state)
{
	if (kek_end_begin(kek, state))
		return kek_end_finish(kek);
	wait_for_completion(&kek->wiped);
	return READ_ONCE(kek->live_count);
}

/*
 * Revoke each KEK that @match picks.  All are refused first and then waited for,
 * as each takes a grace period.
 */
unsigned int vr_kek_revoke(bool (*match)(const struct vr_kek *kek, const void *arg),
			   const void *arg)
{
	struct vr_kek *kek, *tmp;
	unsigned long serial = 0;
	unsigned int count = 0;
	LIST_HEAD(begun);

	while ((kek = vr_kek_get_next(&serial))) {
		if (match(kek, arg) &&
		    kek_end_begin(kek, VAULTRING_KEK_STATE_REVOKED))
			list_add_tail(&kek->begun, &begun);
		else
			vr_kek_put(kek);
	}
	list_for_each_entry_safe(kek, tmp, &begun, begun) {
		count += kek_end_finish(kek);
		vr_kek_put(kek);
	}
	/* And those that somebody else is ending. */
	serial = 0;
	while ((kek = vr_kek_get_next(&serial))) {
		if (match(kek, arg))
			count += vr_kek_end(kek, VAULTRING_KEK_STATE_REVOKED);
		vr_kek_put(kek);
	}
	return count;
}

/* What opens blobs has to be there; holding one keeps it loaded. */
static struct crypto_aead *vr_kek_gcm;

int vr_kek_init(void)
{
	int err;

	vr_kek_gcm = crypto_alloc_aead("gcm(aes)", 0, 0);
	if (IS_ERR(vr_kek_gcm))
		return PTR_ERR(vr_kek_gcm);
	err = rhashtable_init(&vr_keks_by_id, &vr_id_params);
	if (err)
		goto err_free_gcm;
	err = rhltable_init(&vr_keks_by_name, &vr_name_params);
	if (err)
		goto err_destroy_ids;
	err = -ENOMEM;
	vr_kek_cache = KMEM_CACHE(vr_kek, 0);
	if (!vr_kek_cache)
		goto err_destroy_names;
	vr_wq = alloc_workqueue("vaultring", WQ_UNBOUND | WQ_MEM_RECLAIM, 0);
	if (!vr_wq)
		goto err_destroy_cache;
	return 0;

err_destroy_cache:
	kmem_cache_destroy(vr_kek_cache);
err_destroy_names:
	rhltable_destroy(&vr_keks_by_name);
err_destroy_ids:
	rhashtable_destroy(&vr_keks_by_id);
err_free_gcm:
	crypto_free_aead(vr_kek_gcm);
	return err;
}

static bool match_all(const struct vr_kek *kek, const void *arg)
{
	return true;
}

/* Nothing unseals, asks or encrypts any more when this runs. */
void vr_kek_exit(void)
{
	vr_kek_revoke(match_all, NULL);
	destroy_workqueue(vr_wq);
	rcu_barrier();
	kmem_cache_destroy(vr_kek_cache);
	rhltable_destroy(&vr_keks_by_name);
	rhashtable_destroy(&vr_keks_by_id);
	crypto_free_aead(vr_kek_gcm);
}
