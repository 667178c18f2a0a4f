// SPDX-License-Identifier: GPL-2.0-only
/*
 * The "vault-kek" key type
 *
 * A vault-kek key is a handle on a KEK that the kernel holds: whoever has SEARCH
 * on it in a keyring of his may use the KEK.  It is never added, only requested
 * ("keyctl request2 vault-kek prod ''"), by name or as "id:" and 32 hex digits.
 * Root and those whom the envelope lists get one, if need be after the daemon
 * has had the KEK unsealed.
 */

#include <keys/request_key_auth-type.h>
#include <linux/cred.h>
#include <linux/err.h>
#include <linux/key-type.h>
#include <linux/seq_file.h>

#include "vr.h"

#define VR_ID_PREFIX		"id:"
#define VR_ID_PREFIX_LEN	3
#define VR_ID_DESC_SIZE		(VR_ID_PREFIX_LEN + 2 * VAULTRING_ID_SIZE + 1)
#define VR_STATE_LINE_MAX	256
/* How long a refusal stays in the keyring, in seconds. */
#define VR_REFUSED_S		1

/*
 * add_key(2) must not make such a key, and ->instantiate cannot see who calls
 * it.  It is us if the key is the one that we have in hand.
 */
static DEFINE_MUTEX(vr_kek_hand_lock);
static struct {
	const struct key *key;
	struct vr_kek *kek;
} vr_kek_hand;			/* vr_kek_hand_lock */

static int desc_parse(const char *desc, u8 id[VAULTRING_ID_SIZE], bool *by_id)
{
	*by_id = !strncmp(desc, VR_ID_PREFIX, VR_ID_PREFIX_LEN);
	if (!*by_id)
		return vr_name_ok(desc) ? 0 : -EINVAL;
	if (strlen(desc) != VR_ID_DESC_SIZE - 1 ||
	    hex2bin(id, desc + VR_ID_PREFIX_LEN, VAULTRING_ID_SIZE))
		return -EINVAL;
	return 0;
}

static void desc_of_id(const u8 *id, char desc[VR_ID_DESC_SIZE])
{
	memcpy(desc, VR_ID_PREFIX, VR_ID_PREFIX_LEN);
	*bin2hex(desc + VR_ID_PREFIX_LEN, id, VAULTRING_ID_SIZE) = '\0';
}

static int vr_kek_vet_description(const char *desc)
{
	u8 id[VAULTRING_ID_SIZE];
	bool by_id;

	return desc_parse(desc, id, &by_id);
}

static int vr_kek_instantiate(struct key *key,
			      struct key_preparsed_payload *prep)
{
	if (READ_ONCE(vr_kek_hand.key) != key)
		return -EPERM;
	refcount_inc(&vr_kek_hand.kek->refs);
	rcu_assign_keypointer(key, vr_kek_hand.kek);
	return 0;
}

static int kek_instantiate(struct key *key, struct key *authkey,
			   struct vr_kek *kek)
{
	int err;

	mutex_lock(&vr_kek_hand_lock);
	vr_kek_hand.kek = kek;
	WRITE_ONCE(vr_kek_hand.key, key);
	err = key_instantiate_and_link(key, NULL, 0, NULL, authkey);
	WRITE_ONCE(vr_kek_hand.key, NULL);
	vr_kek_hand.kek = NULL;
	mutex_unlock(&vr_kek_hand_lock);
	return err;
}

static void vr_kek_destroy(struct key *key)
{
	struct vr_kek *kek = key->payload.data[0];

	if (kek)
		vr_kek_put(kek);
}

/*
 * A handle on a KEK that is over does not match any more, so that the next
 * request makes a new one.  One that is being made or was refused does.
 */
static bool vr_kek_match(const struct key *key,
			 const struct key_match_data *match)
{
	struct vr_kek *kek;

	bool good;

	if (key->type != &vr_kek_type ||
	    strcmp(key->description, match->raw_data))
		return false;
	if (!key_is_positive(key))
		return true;
	rcu_read_lock();
	kek = rcu_dereference(key->payload.rcu_data0);
	good = kek && !vr_kek_check(kek);
	rcu_read_unlock();
	return good;
}

static int vr_kek_match_preparse(struct key_match_data *match)
{
	match->cmp = vr_kek_match;
	return 0;
}

/* No look at the payload: a type that goes away overwrites it. */
static void vr_kek_describe(const struct key *key, struct seq_file *m)
{
	seq_puts(m, key->description);
}

static const char *state_name(struct vr_kek *kek)
{
	switch (vr_kek_check(kek)) {
	case 0:
		return "active";
	case -EKEYEXPIRED:
		return "expired";
	default:
		return "revoked";
	}
}

/* One line: "name=prod version=1 id=... state=active lease=none uses=xts,..." */
static long vr_kek_read(const struct key *key, char *buffer, size_t size)
{
	struct vr_kek *kek = key->payload.data[0];
	char line[VR_STATE_LINE_MAX];
	u64 left = vr_lease_left(kek);
	const char *comma = "";
	unsigned int use;
	int len;

	len = scnprintf(line, sizeof(line),
			"name=%s version=%u id=%*phN state=%s lease=",
			kek->attrs.name, kek->attrs.version,
			VAULTRING_ID_SIZE, kek->id, state_name(kek));
	len += left == U64_MAX ?
	       scnprintf(line + len, sizeof(line) - len, "none uses=") :
	       scnprintf(line + len, sizeof(line) - len, "%llu uses=", left);
	for (use = 0; use < BITS_PER_TYPE(kek->attrs.uses); use++) {
		if (!(kek->attrs.uses & BIT(use)))
			continue;
		len += scnprintf(line + len, sizeof(line) - len, "%s%s", comma,
				 vr_use_name(use));
		comma = ",";
	}
	if (buffer && size >= len)
		memcpy(buffer, line, len);
	return len;
}

/* A KEK that is held and good, if those credentials are listed for it. */
struct vr_kek *vr_kek_get_listed(const char *name, const u8 *id,
				 const struct cred *cred)
{
	struct vr_kek *kek = vr_kek_get_good(name, id);

	if (!kek || vr_attrs_list(&kek->attrs, cred))
		return kek;
	vr_kek_put(kek);
	return NULL;
}

/*
 * When the daemon knows of no such KEK, one that is held all the same says why
 * not: it is outside its dates or lease, or not for the caller.  Or it was
 * unsealed just now.
 */
static struct vr_kek *held_all_the_same(int err, const char *name, const u8 *id)
{
	struct vr_kek *kek;

	if (err != -ENOKEY)
		return ERR_PTR(err);
	kek = name ? vr_kek_get_name(name) : vr_kek_get_id(id);
	return kek ?: ERR_PTR(err);
}

/*
 * Make the key that a task asks for, in that task.  The daemon is asked only
 * if the KEK is not held; an unseal there renews a lease that is over.  It is
 * asked as well for a caller who may not use the KEK, who must not learn from
 * the time that it takes whether the KEK is held.
 */
static int vr_kek_type_request(struct key *authkey, void *aux)
{
	struct key *key = get_request_key_auth(authkey)->target_key;
	u8 id[VAULTRING_ID_SIZE];
	struct vr_kek *kek;
	const char *name;
	bool by_id;
	int err;

	err = desc_parse(key->description, id, &by_id);
	if (err)
		goto err_unknown;
	name = by_id ? NULL : key->description;
	kek = vr_kek_get_listed(name, id, current_cred());
	if (!kek)
		kek = vr_upcall_request(name, id);
	if (IS_ERR(kek))
		kek = held_all_the_same(PTR_ERR(kek), name, id);
	if (IS_ERR(kek)) {
		err = PTR_ERR(kek);
		goto err_reject;
	}
	err = vr_attrs_list(&kek->attrs, current_cred()) ? vr_kek_check(kek) :
							   -EACCES;
	if (!err)
		err = kek_instantiate(key, authkey, kek);
	vr_kek_put(kek);
	if (!err) {
		complete_request_key(authkey, 0);
		return 0;
	}
err_reject:
	if (err != -EINTR)
		vr_report_request(name, id, err);
err_unknown:
	/* Others may wait for this key, too; they were not interrupted. */
	key_reject_and_link(key, VR_REFUSED_S, err == -EINTR ? EAGAIN : -err,
			    NULL, authkey);
	return err;
}

struct key_type vr_kek_type = {
	.name			= "vault-kek",
	.vet_description	= vr_kek_vet_description,
	.instantiate		= vr_kek_instantiate,
	.match_preparse		= vr_kek_match_preparse,
	.destroy		= vr_kek_destroy,
	.describe		= vr_kek_describe,
	.read			= vr_kek_read,
	.request_key		= vr_kek_type_request,
};

/*
 * Which KEK may the calling task use?
 */

/* Subjects in the envelope bind whoever has a handle, too. */
static bool kek_barred(const struct vr_kek *kek)
{
	return (kek->attrs.uids || kek->attrs.gids) &&
	       !vr_attrs_list(&kek->attrs, current_cred());
}

static struct vr_kek *kek_of_key(struct key *key)
{
	struct vr_kek *kek;

	if (IS_ERR(key))
		return ERR_CAST(key);
	kek = key->payload.data[0];
	if (kek_barred(kek)) {
		vr_report_request(kek->attrs.name, kek->id, -EACCES);
		kek = ERR_PTR(-EACCES);
	} else {
		refcount_inc(&kek->refs);
	}
	key_put(key);
	return kek;
}

/* A handle on this very KEK in that keyring or one below it?  Never waits. */
static bool ring_has(struct key *ring, const struct vr_kek *kek,
		     const char *desc)
{
	key_ref_t ref;
	bool found;

	if (!ring)
		return false;
	ref = keyring_search(make_key_ref(ring, true), &vr_kek_type, desc,
			     true);
	if (IS_ERR(ref))
		return false;
	/* It may be one that is being made. */
	found = rcu_access_pointer(key_ref_to_ptr(ref)->payload.rcu_data0) == kek;
	key_ref_put(ref);
	return found;
}

static bool kek_possessed(const struct vr_kek *kek, const char *desc)
{
	const struct cred *cred = current_cred();

	return ring_has(cred->thread_keyring, kek, desc) ||
	       ring_has(cred->process_keyring, kek, desc) ||
	       ring_has(cred->session_keyring, kek, desc);
}

/* 0 or -EACCES. */
static int kek_may_use(const struct vr_kek *kek)
{
	char desc[VR_ID_DESC_SIZE];

	if (vr_attrs_list(&kek->attrs, current_cred()))
		return 0;
	if (kek_barred(kek))
		return -EACCES;
	desc_of_id(kek->id, desc);
	return kek_possessed(kek, kek->attrs.name) ||
	       kek_possessed(kek, desc) ? 0 : -EACCES;
}

/* A held KEK that the caller may use; NULL if it is not held. */
static struct vr_kek *kek_use(struct vr_kek *kek)
{
	int err;

	if (!kek)
		return NULL;
	err = kek_may_use(kek);
	if (!err)
		return kek;
	vr_kek_put(kek);
	return ERR_PTR(err);
}

/* The same, in haste: whoever may not use it goes the way of one not held. */
static struct vr_kek *kek_use_good(const char *name, const u8 *id)
{
	struct vr_kek *kek = kek_use(vr_kek_get_good(name, id));

	return IS_ERR(kek) ? NULL : kek;
}

/*
 * The KEK of that id, with a reference, asking nobody.  -ENOKEY: not held;
 * -EACCES: not for this caller.
 */
struct vr_kek *vr_kek_find_id(const u8 *id)
{
	return kek_use(vr_kek_get_id(id)) ?: ERR_PTR(-ENOKEY);
}

/* The same, but if it is not held or its lease is over the daemon is asked. */
struct vr_kek *vr_kek_request_id(const u8 *id)
{
	struct vr_kek *kek = kek_use_good(NULL, id);
	char desc[VR_ID_DESC_SIZE];

	if (kek)
		return kek;
	desc_of_id(id, desc);
	return kek_of_key(request_key(&vr_kek_type, desc, ""));
}

/* The newest version of that name; -EINVAL if it is not a name. */
struct vr_kek *vr_kek_request_name(const char *name)
{
	struct vr_kek *kek;

	if (!vr_name_ok(name))
		return ERR_PTR(-EINVAL);
	kek = kek_use_good(name, NULL);
	if (kek)
		return kek;
	return kek_of_key(request_key(&vr_kek_type, name, ""));
}

int vr_kek_type_init(void)
{
	return register_key_type(&vr_kek_type);
}

void vr_kek_type_exit(void)
{
	unregister_key_type(&vr_kek_type);
}
