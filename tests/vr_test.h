/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the tests written in C share: netlink messages built by hand (the tests
 * must be able to build wrong ones), AF_ALG sockets, and a vault whose key is
 * in this process, so that a test can unseal a KEK and knows its secrets.
 */
#ifndef VR_TEST_H
#define VR_TEST_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <keyutils.h>

#include <linux/vaultring.h>
#include <linux/vaultring_format.h>

#define ENVELOPE_SIZE (sizeof(struct vaultring_envelope) + \
		       sizeof(struct vaultring_share) + VAULTRING_OBLIVIOUS_DATA)
#define SPKI_SIZE 91
#define HMAC_OFFSET 216
#define POINT_SIZE 64
#define X_SIZE 32
#define ALL_USES 0x7e

/* vr_netlink.c: functions return 0 (or an fd) or a negative errno. */
struct nl_msg {
	uint8_t buf[16384];
	size_t len;
};

struct nl_reply {
	uint8_t buf[16384];
	size_t len;
	/* of the last message that was no acknowledgement */
	const void *attr[VAULTRING_A_MAX + 1];
	size_t attr_len[VAULTRING_A_MAX + 1];
	int messages;
	char text[256];		/* extack */
};

struct nl_share {
	const uint8_t *challenge, *fingerprint;
	size_t len;		/* of the challenge */
	uint32_t index, method;
};

int nl_open(void);
int nl_open_events(void);
int nl_family(int fd, uint32_t *events_group);
void nl_start(struct nl_msg *m, int cmd, int flags);
void nl_put(struct nl_msg *m, int type, const void *data, size_t len);
void nl_put_u32(struct nl_msg *m, int type, uint32_t value);
void nl_put_u64(struct nl_msg *m, int type, uint64_t value);
void nl_put_text(struct nl_msg *m, int type, const char *text);
size_t nl_nest(struct nl_msg *m, int type);
void nl_nest_end(struct nl_msg *m, size_t at);
int nl_send(int fd, struct nl_msg *m);
int nl_call(int fd, struct nl_msg *m, struct nl_reply *r);
/* One message without asking for it, e.g. an event; -EAGAIN after ms. */
int nl_wait(int fd, struct nl_reply *r, int ms, int *cmd);
uint32_t nl_u32(const struct nl_reply *r, int type);
uint64_t nl_u64(const struct nl_reply *r, int type);
int nl_share_of(const struct nl_reply *r, struct nl_share *share);
/* All of them, at most max; how many, or a negative errno.  They point into r. */
int nl_shares_of(const struct nl_reply *r, struct nl_share *shares, int max);

/* vr_vault.c */
struct soft_vault {
	void *key;			/* EVP_PKEY */
	uint8_t spki[SPKI_SIZE];
	uint8_t fingerprint[32];
};

struct kek {
	char name[64];
	uint8_t id[16];
	uint8_t envelope[VAULTRING_MAX_ENVELOPE];
	size_t envelope_len;
};

struct kek_options {
	const uint32_t *uids, *gids;
	int n_uids, n_gids;
	uint32_t uses, lease, lease_end, version;
	uint64_t not_before, not_after;
	const char *name;
	/* In place of the one vault, with threshold: -1 sends 0, 0 none. */
	const struct soft_vault *vaults;
	int n_vaults, threshold;
	char *text;		/* of a refusal, 256 bytes */
};

int soft_vault_make(struct soft_vault *v);
void soft_vault_free(struct soft_vault *v);
int soft_vault_save(const struct soft_vault *v, const char *path);
/* x of s * point; -EINVAL if the point is not on the curve. */
int soft_vault_exchange(const struct soft_vault *v, const uint8_t *point,
			uint8_t *x);
/* Pins in /etc/vaultring/pins, the vault and one name. */
int pins_set(int nl, const struct soft_vault *v, const char *name,
	     const uint8_t *id);
/* The same for n vaults. */
int pins_set_all(int nl, const struct soft_vault *vaults, int n,
		 const char *name, const uint8_t *id);
void nl_put_vault(struct nl_msg *m, const struct soft_vault *v);
int kek_create(int nl, const struct soft_vault *v, const struct kek_options *o,
	       struct kek *kek);
int unseal_start(int nl, const void *envelope, size_t len, uint32_t ms,
		 struct nl_reply *r);
int unseal_answer(int nl, uint64_t unseal, uint32_t index, const void *answer,
		  size_t len, struct nl_reply *r);
/* The same for a sealed share, whose wrap was done with that hash. */
int answer_with(int nl, uint64_t unseal, uint32_t index, const void *answer,
		size_t len, uint32_t hash, struct nl_reply *r);
/* There is no answer: why. */
int unseal_error(int nl, uint64_t unseal, uint32_t index, uint32_t error,
		 struct nl_reply *r);
int kek_unseal(int nl, const struct soft_vault *v, const void *envelope,
	       size_t len);
int kek_make(int nl, const struct soft_vault *v, const struct kek_options *o,
	     struct kek *kek);
int kek_revoke(int nl, const struct kek *kek);
int kek_held(int nl, const uint8_t *id);
/* kek-get, by id. */
int kek_get(int nl, const uint8_t *id, struct nl_reply *r);
/* The test takes vaultringd's place: the next kek-request, or -EAGAIN. */
int daemon_attach(void);
int daemon_next(int nl, struct nl_reply *r, int ms);
int daemon_fail(int nl, const struct nl_reply *request, uint32_t error);

/* vr_helpers.c */
struct mode {
	const char *use, *alg;
	int bits;
};

int alg_open(const char *name);	/* an skcipher */
int alg_open_type(const char *type, const char *name);
/*
 * From 7.3 on AF_ALG gives out synchronous ciphers only, but for cbc(paes);
 * there the other modes are reached through dm-crypt, in sector_test.
 */
int alg_reachable(const char *name);
/* The mode to test with where any will do: xts if AF_ALG reaches it. */
const struct mode *alg_mode(void);
int alg_setkey(int fd, const void *key, size_t len);
int alg_op(int fd);
int alg_crypt(int op, int encrypt, const uint8_t *iv, const void *in, void *out,
	      size_t len);
/* Opens a transform, sets the key and closes it: 0 or a negative errno. */
int alg_try(const char *name, const void *key, size_t len);
int dek_new(const char *words, key_serial_t ring, uint8_t *blob,
	    key_serial_t *key);
int dek_load(const void *blob, size_t len, key_serial_t ring);
int blob_of(key_serial_t key, uint8_t *blob);
void hex_of(const void *data, size_t len, char *text);
int hex_to(const char *text, uint8_t *data, size_t len);
/* The DEK that tests/oracle.py gets from the files; its length or -1. */
int oracle_dek(const struct soft_vault *v, const struct kek *kek,
	       const uint8_t *blob, uint8_t *dek);
/* The same from the keys of n vaults. */
int oracle_dek_of(const struct soft_vault *const *vaults, int n,
		  const struct kek *kek, const uint8_t *blob, uint8_t *dek);
/* The same for many blobs of one use; the size of each DEK or -1. */
int oracle_deks(const struct soft_vault *v, const struct kek *kek,
		const uint8_t (*blobs)[VAULTRING_BLOB_SIZE], unsigned int count,
		uint8_t (*deks)[VAULTRING_DEK_MAX]);
/* Runs a command of the shell; its exit status, the first output in out. */
int run(char *out, size_t size, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* Runs f in a child without privileges; returns f's result, 0..127. */
int as_nobody(int (*f)(void *), void *arg);
int as_uid(uid_t uid, int (*f)(void *), void *arg);
/* A child's exit status; -1 if a signal ended it. */
int outcome(pid_t pid);
/* A child that asks for the KEK of that name; its outcome is 0 or an errno. */
pid_t ask_in_child(const char *name);
/* Stops vaultringd until this process, not a child of it, exits. */
void without_daemon(void);
int daemon_call(const char *json, char *reply, size_t size);
int own_session(void);
/* How long to wait at most, on this kernel, for what takes an ordinary one t. */
int patience(int t);

/* vr_memory.c: 0, or -1 if it grew with each round of each quarter. */
#define MEMORY_QUARTERS 4
int memory_note(int quarter);
int memory_judge(int rounds);

#define NOBODY 65534

#endif /* VR_TEST_H */
