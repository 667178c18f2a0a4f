/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The module's private header, grouped by file
 *
 * Locks nest in this order, outermost first:
 *
 *	vr_keyed.lock (keyed.c)
 *	  vr_kek.lock
 *	    vr_keks_lock (kek.c)
 *	    vr_events_lock (netlink_send.c)
 *	vr_unseal.lock (unseal.c)
 *	  vr_served_lock (sealed.c)
 *	vr_unseals_lock (unseal.c)
 *	  vr_requests_lock (upcall.c)
 *	vr_kek_hand_lock (kek_type.c), inside the keyring's own
 *	vr_pins_lock (pins.c)
 *	vr_transport_lock (transport.c), a spinlock
 *
 * None of them is held while a vault or the daemon is waited for.
 */
#ifndef _VAULTRING_VR_H
#define _VAULTRING_VR_H

#include <crypto/aes.h>
#include <crypto/sha2.h>
#include <linux/completion.h>
#include <linux/hrtimer.h>
#include <linux/key.h>
#include <linux/list.h>
#include <linux/mpi.h>
#include <linux/mutex.h>
#include <linux/percpu-refcount.h>
#include <linux/refcount.h>
#include <linux/rhashtable-types.h>
#include <linux/types.h>
#include <linux/workqueue.h>
#include <linux/vaultring.h>
#include <linux/vaultring_format.h>

#define VR_VERSION		"0.1"
#define VR_KEY_SIZE		AES_KEYSIZE_256
#define VR_SECRET_SIZE		32
#define VR_POINT_SIZE		64	/* x || y of a point on P-256 */
#define VR_NONCE_SIZE		32
#define VR_SHARE_DATA_MAX	VAULTRING_CLEAR_DATA_MAX
#define VR_ALG_PRIORITY		300
#define VR_UNSEAL_TIMEOUT_MS	25000
/* Those of blobs, which a KEK has unless it is told otherwise, and all. */
#define VR_USES_BLOBS		(BIT(VAULTRING_USE_XTS) | \
				 BIT(VAULTRING_USE_CBC) | \
				 BIT(VAULTRING_USE_CTR) | \
				 BIT(VAULTRING_USE_GCM) | \
				 BIT(VAULTRING_USE_FSCRYPT) | \
				 BIT(VAULTRING_USE_HMAC))
#define VR_USES_ALL		(VR_USES_BLOBS | BIT(VAULTRING_USE_TRANSPORT))

struct crypto_alg;
struct netlink_ext_ack;

/* What an envelope says of its KEK; never changes in a registered KEK. */
struct vr_attrs {
	char name[VAULTRING_MAX_NAME + 1];
	u32 version;
	u32 uses;		/* mask of BIT(enum vaultring_use) */
	u64 not_before;		/* seconds since the epoch, 0: no limit */
	u64 not_after;
	u32 lease;		/* seconds, 0: no limit */
	u8 lease_end;		/* enum vaultring_lease_end */
	u8 uids, gids;		/* how many of the arrays count */
	u32 uid[VAULTRING_MAX_SUBJECTS];
	u32 gid[VAULTRING_MAX_SUBJECTS];
};

/*
 * A KEK that the kernel holds.
 *
 * References (@refs): one of the registry from vr_kek_register() until
 * vr_kek_end(), which the timers rely on; one of a queued @lease_work, one of
 * each vault-kek key and of each keyed transform, and those of lookups.  The
 * memory goes after a grace period, so that a request may look at a KEK under
 * RCU alone.
 *
 * Each blob and each request in flight takes a reference on @users and fails if
 * there is none to be had.  vr_kek_end() kills @users, waits until they are gone
 * and only then wipes @key and, under @lock, the inner key of each of @lives.  A
 * lease that ends with `keep` wipes @key, under @lock.
 *
 * @lock protects @key, @lives, @live_count, @ending, @warn and @warned, changes of
 * @expires, @term and @state, and starting the timers.  @over is set by whoever
 * sees that the time is up, and holds for that term, whatever the clock says.
 */
struct vr_kek {
	refcount_t refs;
	enum vaultring_kek_state state;
	struct percpu_ref users;
	struct completion drained;	/* no users are left */
	struct completion wiped;	/* vr_kek_end() has done its work */
	u8 key[VR_KEY_SIZE];
	struct mutex lock;		/* see above */
	struct list_head lives;
	unsigned int live_count;
	bool ending;			/* vr_kek_end() has begun */
	u32 term;			/* counts leases */
	u32 over;			/* of that term the time was up */
	bool warned;			/* there was an event before the end */
	u32 warn;			/* how long before it, in seconds */
	ktime_t expires;		/* on boot time, 0: no limit */
	struct hrtimer lease_timer, date_timer;
	struct work_struct lease_work;
	struct rhash_head by_id;	/* vr_keks_lock, RCU */
	struct rhlist_head by_name;	/* vr_keks_lock, RCU */
	u32 serial;
	struct list_head begun;		/* of the one who ends it */
	struct rcu_head rcu;
	u8 id[VAULTRING_ID_SIZE];
	struct vr_attrs attrs;
};

/*
 * A keyed transform's tie to its KEK, part of the transform.  @kek is set and
 * cleared by the transform's owner, with a reference; requests read it under
 * RCU.  @wipe is called once by vr_kek_end(), in a task, with no request in
 * flight.
 */
struct vr_live {
	struct vr_kek __rcu *kek;
	struct list_head list;		/* vr_kek.lock */
	void (*wipe)(struct vr_live *live);
};

/*
 * What keyed transforms have in common, part of a transform's context.
 *
 * @lock serialises changes of the key and may be held for as long as keying
 * the inner transform and its requests in flight take, never while the daemon
 * is asked.  Requests do not take it: from vr_keyed_enter() until
 * vr_keyed_leave() they hold a user's reference on the KEK and one on @busy.
 *
 * @busy is live while @keyed, which @lock protects: a key that requests may use
 * is set.  setkey() kills it and waits for @idle before it touches the key.
 *
 * @set_inner keys the inner transform, which the owner has and frees.  That has
 * a DEK while @live is attached to a KEK that is not gone.  @key_len changes
 * under @lock only while @live is detached, as vr_kek_end() reads it.
 *
 * The reference on the KEK is @live's; see there.
 */
struct vr_keyed {
	struct vr_live live;
	struct mutex lock;		/* see above */
	struct percpu_ref busy;
	struct completion idle;		/* no request is left */
	bool keyed;
	int (*set_inner)(struct vr_keyed *keyed, const u8 *key,
			 unsigned int len);
	unsigned int key_len;		/* of the inner key, to overwrite it */
	u8 use;				/* enum vaultring_use */
};

/* A secret on the stack; whoever declares one wipes it. */
struct vr_secret {
	unsigned int len;
	u8 data[VAULTRING_DEK_MAX] __aligned(16);	/* as ciphers like keys */
};

static inline void vr_secret_wipe(struct vr_secret *secret)
{
	memzero_explicit(secret, sizeof(*secret));
}

/* One share of a parsed envelope; pointers go into the envelope. */
struct vr_share {
	const struct vaultring_share *head;
	const u8 *data;
	unsigned int data_len;
};

/* A parsed and checked envelope; owns a copy of its bytes. */
struct vr_envelope {
	struct vr_attrs attrs;
	unsigned int threshold, count;
	struct vr_share share[VAULTRING_MAX_SHARES];
	size_t len;
	u8 bytes[];		/* struct vaultring_envelope, then the shares */
};

/* One share's part of a master secret, unmasked. */
struct vr_part {
	u8 bytes[VR_SECRET_SIZE];
};

/* What a new share is made for.  All of it is in the message that asks for it. */
struct vr_share_request {
	u32 method;		/* enum vaultring_method */
	const char *vault;
	const u8 *public_key;	/* DER SubjectPublicKeyInfo; not of sealed */
	unsigned int public_key_len;
	const u8 *answer;	/* of sealed; else a secret, see identity */
	unsigned int answer_len;
	u32 hash;		/* enum vaultring_hash, of a sealed answer */
	/*
	 * Of a symmetric vault key, else NULL: its name in place of a public
	 * key.  The secret has been made and wrapped by others.
	 */
	const char *identity;
	const u8 *wrapped;
	unsigned int wrapped_len;
};

/* What a vault answered. */
struct vr_answer {
	const u8 *data;
	unsigned int len;
	u32 hash;		/* enum vaultring_hash, if it is a sealed one */
};

/* One piece of a message to be hashed. */
struct vr_piece {
	const void *data;
	size_t len;
};

/* hkdf.c */
int vr_hmac(const u8 *key, const struct vr_piece *msg, unsigned int pieces,
	    u8 out[SHA256_DIGEST_SIZE]);
int vr_hkdf(const u8 secret[VR_SECRET_SIZE], const struct vr_piece *info,
	    unsigned int pieces, u8 *out, size_t len);
int vr_sha256(const void *data, size_t len, u8 out[SHA256_DIGEST_SIZE]);

/* derive.c */
int vr_derive_kek(const u8 master[VR_SECRET_SIZE], const struct vr_attrs *attrs,
		  u8 kek[VR_KEY_SIZE]);
int vr_derive_id(const u8 master[VR_SECRET_SIZE], u8 id[VAULTRING_ID_SIZE]);
int vr_derive_mask(const u8 secret[VR_SECRET_SIZE], u8 index, const u8 salt[32],
		   u8 mask[VR_SECRET_SIZE]);
int vr_derive_hmac(const u8 master[VR_SECRET_SIZE],
		   const struct vr_envelope *env, u8 out[SHA256_DIGEST_SIZE]);

/* shamir.c */
void vr_shamir_value(const struct vr_part *coefficients, unsigned int k,
		     u8 x, u8 out[VR_SECRET_SIZE]);
void vr_shamir_split(const u8 secret[VR_SECRET_SIZE], unsigned int k,
		     unsigned int n, struct vr_part *parts);
void vr_shamir_combine(const struct vr_part *parts, unsigned long set, u8 x,
		       u8 out[VR_SECRET_SIZE]);

/* attrs.c */
bool vr_name_ok(const char *name);
bool vr_attrs_list(const struct vr_attrs *attrs, const struct cred *cred);

/* kek.c */
extern struct workqueue_struct *vr_wq;

int vr_kek_init(void);
void vr_kek_exit(void);
struct vr_kek *vr_kek_alloc(const struct vr_attrs *attrs, const u8 *id,
			    const u8 key[VR_KEY_SIZE]);
struct vr_kek *vr_kek_register(struct vr_kek *kek,
			       struct netlink_ext_ack *extack);
struct vr_kek *vr_kek_get_id(const u8 *id);
struct vr_kek *vr_kek_get_name(const char *name);
struct vr_kek *vr_kek_get_good(const char *name, const u8 *id);
struct vr_kek *vr_kek_get_next(unsigned long *serial);
void vr_kek_put(struct vr_kek *kek);
unsigned int vr_kek_end(struct vr_kek *kek, enum vaultring_kek_state state);
unsigned int vr_kek_revoke(bool (*match)(const struct vr_kek *kek,
					 const void *arg), const void *arg);
unsigned int vr_kek_count(void);
bool vr_keks_shut_if_none(void);
void vr_keks_open(void);
int vr_keks_check_open(struct netlink_ext_ack *extack);

/* kek_use.c */
int vr_kek_enter(struct vr_kek *kek);
void vr_kek_leave(struct vr_kek *kek);
int vr_kek_crypt(struct vr_kek *kek, void *buf, unsigned int ad,
		 unsigned int len, const u8 nonce[VAULTRING_NONCE_SIZE],
		 bool seal);
int vr_live_attach(struct vr_live *live, struct vr_kek *kek);
void vr_live_detach(struct vr_live *live);

/* lease.c */
u64 vr_lease_left(struct vr_kek *kek);
void vr_lease_init(struct vr_kek *kek);
void vr_lease_start(struct vr_kek *kek);
void vr_lease_stop(struct vr_kek *kek);
int vr_kek_gone(struct vr_kek *kek);
int vr_kek_check(struct vr_kek *kek);

/* blob.c */
const struct vaultring_blob *vr_blob_check(const void *data, size_t len);
int vr_blob_unlock(const struct vaultring_blob *blob, struct vr_secret *dek,
		   struct vr_kek **kek);
void vr_blob_lock(struct vr_secret *dek, struct vr_kek *kek);
int vr_blob_open(struct vr_kek *kek, const struct vaultring_blob *blob,
		 struct vr_secret *dek);
int vr_blob_seal(struct vr_kek *kek, u8 use, const u8 *dek_id,
		 const struct vr_secret *dek, struct vaultring_blob *blob);
int vr_use_parse(const char *name);
const char *vr_use_name(unsigned int use);
bool vr_use_bits_ok(unsigned int use, unsigned int bits);

/* pins.c */
struct vr_pins;
struct vr_pins *vr_pins_alloc(unsigned int vaults, unsigned int keks);
void vr_pins_add_vault(struct vr_pins *pins, const u8 *fingerprint);
void vr_pins_add_kek(struct vr_pins *pins, const char *name, const u8 *id);
void vr_pins_free(struct vr_pins *pins);
void vr_pins_install(struct vr_pins *pins);
bool vr_pins_allow_vault(const u8 *fingerprint);
int vr_pins_check_kek(const char *name, const u8 *id,
		      struct netlink_ext_ack *extack);
void vr_pins_exit(void);

/* envelope.c */
struct vr_envelope *vr_envelope_parse(const void *data, size_t len,
				      struct netlink_ext_ack *extack);
int vr_envelope_part(const struct vr_envelope *env, unsigned int i,
		     const u8 secret[VR_SECRET_SIZE], struct vr_part *part);
int vr_envelope_master(const struct vr_envelope *env,
		       const struct vr_part *parts, unsigned long have,
		       unsigned long fresh, u8 master[VR_SECRET_SIZE],
		       struct netlink_ext_ack *extack);
int vr_envelope_check(const struct vr_envelope *env,
		      const u8 master[VR_SECRET_SIZE],
		      struct netlink_ext_ack *extack);
struct vr_kek *vr_envelope_unseal(const struct vr_envelope *env,
				  const u8 master[VR_SECRET_SIZE],
				  struct netlink_ext_ack *extack);
struct vr_envelope *vr_envelope_alloc(const void *data, size_t len);
void vr_envelope_free(struct vr_envelope *env);
const struct vaultring_envelope *vr_envelope_head(const struct vr_envelope *env);

/* envelope_make.c */
struct vr_envelope *vr_envelope_make(const struct vr_attrs *attrs,
				     unsigned int threshold,
				     const struct vr_share_request *reqs,
				     unsigned int count,
				     struct netlink_ext_ack *extack);

/* An envelope that lacks its master secret: parts, id and HMAC are missing. */
struct vr_sealing {
	struct vr_envelope *env;
	u8 masks[VAULTRING_MAX_SHARES][VR_SECRET_SIZE];
};

struct vr_sealing *vr_sealing_begin(const struct vr_attrs *attrs,
				    unsigned int threshold,
				    const struct vr_share_request *reqs,
				    unsigned int count,
				    struct netlink_ext_ack *extack);
struct vr_envelope *vr_sealing_finish(struct vr_sealing *sealing,
				      const u8 master[VR_SECRET_SIZE],
				      struct netlink_ext_ack *extack);
void vr_sealing_free(struct vr_sealing *sealing);

/*
 * oblivious.c: one blinded exchange.  @unblind is 1 / r, a secret that serves
 * once.
 */
struct vr_exchange {
	u8 unblind[VR_SECRET_SIZE];
	u64 keys_gone;		/* vr_transport_count() when a sealed share was asked for */
};

int vr_oblivious_create(const u8 *public_key, unsigned int len,
			u8 point[VR_POINT_SIZE], u8 secret[VR_SECRET_SIZE]);
int vr_oblivious_start(struct vr_exchange *ex, const u8 point[VR_POINT_SIZE],
		       u8 challenge[VR_POINT_SIZE]);
int vr_oblivious_finish(struct vr_exchange *ex, const u8 *answer,
			unsigned int len, u8 secret[VR_SECRET_SIZE]);

/* mpi.c */
void vr_mpi_write(MPI value, u8 *out, size_t size);
MPI vr_mpi_random(size_t size);

/* rsa_oaep.c */
int vr_oaep_encode(u32 hash, const u8 *message, unsigned int len, u8 *em,
		   unsigned int size);
int vr_oaep_decode(u32 hash, u8 *em, unsigned int size, u8 *message,
		   unsigned int len, u32 *bad);

/* rsa_public.c */
int vr_rsa_encrypt(const u8 *spki, size_t spki_len, const u8 *message,
		   unsigned int len, u8 *out);

/* rsa_prime.c: in bytes, big-endian */
#define VR_RSA_SIZE		384
#define VR_RSA_PRIME_SIZE	(VR_RSA_SIZE / 2)
#define VR_RSA_E		65537

struct vr_primes;
struct vr_primes *vr_primes_alloc(void);
u32 vr_prime_mod(const u8 be[VR_RSA_PRIME_SIZE], u32 by);
int vr_prime_draw(const struct vr_primes *primes, const bool *stop,
		  u8 be[VR_RSA_PRIME_SIZE], unsigned int *tried);

/* rsa.c: nothing in a key changes once it is made, so it needs no lock */
struct vr_rsa;
struct vr_rsa *vr_rsa_make(const bool *stop, unsigned int *tried);
struct vr_rsa *vr_rsa_load(u8 p[VR_RSA_PRIME_SIZE], u8 q[VR_RSA_PRIME_SIZE],
			   const u8 n[VR_RSA_SIZE]);
struct vr_rsa *vr_rsa_get(struct vr_rsa *rsa);
void vr_rsa_put(struct vr_rsa *rsa);
void vr_rsa_primes(const struct vr_rsa *rsa, u8 p[VR_RSA_PRIME_SIZE],
		   u8 q[VR_RSA_PRIME_SIZE]);
void vr_rsa_modulus(const struct vr_rsa *rsa, u8 n[VR_RSA_SIZE]);
int vr_rsa_private(const struct vr_rsa *rsa, const u8 in[VR_RSA_SIZE],
		   u8 out[VR_RSA_SIZE]);

/* transport.c */
#define VR_TRANSPORT_SPKI_SIZE	422

void vr_transport_want(void);
struct vr_rsa *vr_transport_get(void);
int vr_transport_replace(struct vr_rsa *rsa);
bool vr_transport_is_kept(const struct vr_rsa *rsa);
bool vr_transport_retire(void);
u64 vr_transport_count(void);
void vr_transport_forget(void);
void vr_transport_allow(void);
int vr_transport_spki(u8 spki[VR_TRANSPORT_SPKI_SIZE]);
int vr_transport_open(u32 hash, const u8 *answer, unsigned int len,
		      u8 key[VR_SECRET_SIZE], u32 *bad);
int vr_transport_init(void);
void vr_transport_exit(void);

/* transport_keep.c */
struct vaultring_transport *vr_transport_save(const u8 *kek_id,
					      struct netlink_ext_ack *extack);
int vr_transport_load(const void *data, size_t len,
		      struct netlink_ext_ack *extack);

/* sealed.c */
int vr_sealed_fingerprint(u32 hash, const u8 *answer, unsigned int len,
			  u8 fingerprint[VAULTRING_FINGERPRINT_SIZE]);
int vr_sealed_finish(u32 hash, const u8 *answer, unsigned int len,
		     const u8 fingerprint[VAULTRING_FINGERPRINT_SIZE],
		     u8 secret[VR_SECRET_SIZE]);
void vr_sealed_exit(void);

/* share.c */
int vr_share_fingerprint(const struct vr_share_request *req,
			 u8 fingerprint[VAULTRING_FINGERPRINT_SIZE],
			 struct netlink_ext_ack *extack);
int vr_share_make(const struct vr_share_request *req,
		  const u8 fingerprint[VAULTRING_FINGERPRINT_SIZE], u8 *data,
		  u8 secret[VR_SECRET_SIZE], struct netlink_ext_ack *extack);
int vr_share_check(const struct vr_share *share,
		   struct netlink_ext_ack *extack);
int vr_share_start(const struct vr_share *share, struct vr_exchange *ex,
		   u8 *challenge);
int vr_share_finish(const struct vr_share *share, struct vr_exchange *ex,
		    const struct vr_answer *answer, u8 secret[VR_SECRET_SIZE],
		    struct netlink_ext_ack *extack);

/* unseal.c */
struct vr_unseal_reply {
	u64 id;
	u32 deadline_ms;
	struct vr_attrs attrs;
	unsigned int count;
	struct {
		u32 index, method;
		char vault[VAULTRING_MAX_VAULT + 1];
		u8 fingerprint[VAULTRING_FINGERPRINT_SIZE];
		u8 challenge[VR_SHARE_DATA_MAX];
		unsigned int challenge_len;
	} share[VAULTRING_MAX_SHARES];
};

/* New shares for a KEK that has some. */
struct vr_reseal_request {
	const char *name;	/* of the KEK that is meant */
	u32 version;
	unsigned int threshold;	/* 0: as it was */
	unsigned int count;
	struct vr_share_request share[VAULTRING_MAX_SHARES];
};

int vr_unseal_start(const void *envelope, size_t len, u64 request,
		    const struct vr_reseal_request *reseal, u32 deadline_ms,
		    struct vr_unseal_reply *reply,
		    struct netlink_ext_ack *extack);
/* What came of a vault's answer that was taken; see vr_unseal_answer(). */
struct vr_unseal_result {
	struct vr_kek *kek;	/* with a reference, once it is there */
	struct vr_envelope *resealed;	/* the caller's, of a reseal */
	bool goes_on;		/* other answers are waited for */
	int error;		/* of this answer, or of the unseal at its end */
};

int vr_unseal_answer(u64 id, u32 index, const struct vr_answer *answer,
		     int error, struct vr_unseal_result *result,
		     struct netlink_ext_ack *extack);
unsigned int vr_unseal_count(void);
void vr_unseal_drop(void);
void vr_unseal_exit(void);

/* upcall.c */
struct vr_kek *vr_upcall_request(const char *name, const u8 *id);
int vr_upcall_attach(u32 portid);
u32 vr_upcall_daemon(void);
void vr_upcall_unsealed(struct vr_kek *kek);
int vr_upcall_check(u64 request, const struct vr_attrs *attrs);
bool vr_upcall_fail(u64 request, int error);
int vr_upcall_init(void);
void vr_upcall_exit(void);

/* audit.c */
int vr_audit_init(void);
void vr_report_unseal(const char *op, const struct vr_attrs *attrs, int result);
void vr_report_request(const char *name, const u8 *id, int result);
void vr_report_end(const struct vr_kek *kek, enum vaultring_kek_state state);
void vr_report_transport(const char *op, const struct vr_kek *kek, int result);
void vr_report_keyed(const struct vaultring_blob *blob, const struct vr_kek *kek,
		     int result);

/* kek_type.c */
extern struct key_type vr_kek_type;
struct vr_kek *vr_kek_request_id(const u8 *id);
struct vr_kek *vr_kek_request_name(const char *name);
struct vr_kek *vr_kek_find_id(const u8 *id);
struct vr_kek *vr_kek_get_listed(const char *name, const u8 *id,
				 const struct cred *cred);
int vr_kek_type_init(void);
void vr_kek_type_exit(void);

/* dek_type.c */
int vr_dek_type_init(void);
void vr_dek_type_exit(void);

/* keyed.c */
int vr_keyed_init(struct vr_keyed *keyed, u8 use,
		  int (*set_inner)(struct vr_keyed *keyed, const u8 *key,
				   unsigned int len));
void vr_keyed_exit(struct vr_keyed *keyed);
int vr_keyed_setkey(struct vr_keyed *keyed, const u8 *key, unsigned int len);
struct vr_kek *vr_keyed_enter(struct vr_keyed *keyed);
void vr_keyed_leave(struct vr_keyed *keyed, struct vr_kek *kek);

/* main.c */
void vr_alg_settle(const struct crypto_alg *alg);

/* paes.c */
int vr_paes_init(void);
void vr_paes_exit(void);

/* paes_aead.c */
int vr_paes_aead_init(void);
void vr_paes_aead_exit(void);

/* phmac.c */
int vr_phmac_init(void);
void vr_phmac_exit(void);

/*
 * keywrap.c: a wrapped key is the plaintext, padded to semiblocks by KWP, and
 * a semiblock that proves it.  Lengths are in bytes.
 */
#define VR_SEMIBLOCK		8
#define VR_KEYWRAP_MAX		4096	/* of plaintext, for either */
#define VR_KWP_SIZE(len)	(VR_SEMIBLOCK + round_up(len, VR_SEMIBLOCK))

int vr_kw_wrap(const struct aes_key *kek, u8 *buf, unsigned int len);
int vr_kw_unwrap(const struct aes_key *kek, u8 *buf, unsigned int len);
int vr_kwp_wrap(const struct aes_key *kek, u8 *buf, unsigned int len);
int vr_kwp_unwrap(const struct aes_key *kek, u8 *buf, unsigned int len);
int vr_keywrap_init(void);
void vr_keywrap_exit(void);

/*
 * selftest/: at load, in debug builds (make DEBUG=1) only.  Each returns 0 or
 * -ENOTRECOVERABLE, having said what failed; then the module does not load.
 */
int vr_selftest(void);
int vr_keywrap_selftest(void);
int vr_shamir_selftest(void);

/* netlink.c */
extern struct genl_family vr_genl_family;
int vr_netlink_init(void);
void vr_netlink_exit(void);

/* netlink_get.c */
void vr_netlink_wipe(struct genl_info *info);
int vr_netlink_pre_doit(const vr_genl_op_t *op, struct sk_buff *skb,
			struct genl_info *info);
void vr_netlink_post_doit(const vr_genl_op_t *op, struct sk_buff *skb,
			  struct genl_info *info);
int vr_netlink_need(struct genl_info *info, int type);
int vr_netlink_get_nest(struct nlattr **tb, int max, const struct nlattr *nest,
			const struct nla_policy *policy,
			struct genl_info *info);
u32 vr_netlink_get_u32(struct genl_info *info, int type, u32 otherwise);
u64 vr_netlink_get_u64(struct genl_info *info, int type);
int vr_netlink_get_attrs(struct genl_info *info, struct vr_attrs *attrs);
int vr_netlink_get_shares(struct genl_info *info,
			  struct vr_share_request *reqs, unsigned int *count);
int vr_netlink_get_answer(struct genl_info *info, const struct nlattr *share,
			  u32 *index, struct vr_answer *answer);
struct vr_pins *vr_netlink_get_pins(struct genl_info *info);

/* netlink_send.c */
struct sk_buff *vr_reply_new(struct genl_info *info, u8 cmd, size_t size,
			     void **head);
int vr_reply_send(struct sk_buff *msg, void *head, struct genl_info *info,
		  int err);

struct vr_upcall_info {
	u64 request;
	const char *name;	/* or NULL: by id */
	const u8 *id;
	u32 uid, gid, pid;
	const char *comm;
	u64 cgroup;		/* 0: none */
	u32 deadline_ms;
};

int vr_netlink_send_request(u32 portid, const struct vr_upcall_info *info);
int vr_netlink_put_id(struct sk_buff *msg, const struct vr_kek *kek);
void vr_netlink_kek_event(const struct vr_kek *kek,
			  enum vaultring_kek_state state);
void vr_netlink_refused_event(const struct vr_attrs *attrs, int error);
void vr_netlink_request_event(const char *name, const u8 *id, int error);
void vr_netlink_keyed_event(const struct vaultring_blob *blob,
			    const struct vr_kek *kek, int error);
void vr_events_switch(bool on);

#endif /* _VAULTRING_VR_H */
