/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Talking with vaultring.ko
 *
 * One socket.  Calls are synchronous: the kernel has answered when its handler
 * returns, which takes milliseconds.  KEK requests that arrive between a call
 * and its answer are kept for netlink_dispatch().
 */
#ifndef VAULTRING_NETLINK_H
#define VAULTRING_NETLINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <linux/vaultring.h>
#include <linux/vaultring_format.h>

#include "share.h"

struct netlink;

struct kek_request {
	uint64_t request;
	char name[VAULTRING_MAX_NAME + 1];	/* "" if asked for by id */
	bool by_id;
	uint8_t id[VAULTRING_ID_SIZE];
	uid_t uid;
	gid_t gid;
	uint32_t pid;
	char comm[17];
	uint64_t cgroup;	/* inode number of its folder in /sys/fs/cgroup */
	uint32_t deadline_ms;
};

/* What has been asked of one vault. */
struct challenge {
	uint32_t index;
	uint32_t method;
	char vault[VAULTRING_MAX_VAULT + 1];
	uint8_t data[CHALLENGE_MAX];
	size_t len;
	uint8_t fingerprint[VAULTRING_FINGERPRINT_SIZE];
};

struct unseal_start {
	uint64_t unseal;
	uint32_t deadline_ms;
	size_t n;
	struct challenge challenges[VAULTRING_MAX_SHARES];
};

struct unseal_result {
	bool active;		/* the KEK is there; otherwise: */
	uint8_t *resealed;	/* another envelope of it, to be freed */
	size_t resealed_len;
	bool goes_on;		/* other answers are needed */
	int err;		/* an answer is wrong, or all is over: why */
	bool has_lease;
	uint64_t lease_left;
};

typedef void (*kek_request_fn)(void *arg, const struct kek_request *request);

/*
 * Logs what is wrong, such as a module that is not loaded.  timeout_usec is how
 * long a call may take.
 */
int netlink_open(uint64_t timeout_usec, struct netlink **nl);
void netlink_close(struct netlink *nl);
int netlink_fd(struct netlink *nl);
/* Become the daemon; requests are handed to fn from netlink_dispatch(). */
int netlink_attach(struct netlink *nl, kek_request_fn fn, void *arg);
/* Reads what is there.  Not 0: the socket is of no use any more. */
int netlink_dispatch(struct netlink *nl);
/* Whether a call has left requests to be dispatched. */
bool netlink_pending(struct netlink *nl);

/* The kernel's own words on the last call that failed; never NULL. */
const char *netlink_error(struct netlink *nl);

/* All return 0 or a negative errno of the kernel. */
/* request 0: for nobody in particular */
int netlink_unseal_start(struct netlink *nl, const void *envelope, size_t len,
			 uint64_t request, uint32_t deadline_ms,
			 struct unseal_start *start);
/* answer NULL: error says why there is none */
int netlink_unseal_answer(struct netlink *nl, uint64_t unseal, uint32_t index,
			  const struct share_answer *answer, int error,
			  struct unseal_result *result);
/* A SubjectPublicKeyInfo; -EAGAIN: the kernel is making the key. */
int netlink_transport_get(struct netlink *nl,
			  uint8_t spki[VAULTRING_MAX_PUBLIC_KEY], size_t *len);
struct kek_state {
	bool active;
	bool has_lease;
	uint64_t lease_left;	/* seconds */
	uint32_t transforms;	/* that are keyed under it */
};

/* -ENOKEY: the kernel does not hold it */
int netlink_kek_get(struct netlink *nl, const uint8_t id[VAULTRING_ID_SIZE],
		    struct kek_state *state);
/* When it returns each transform under the KEK is dead. */
int netlink_kek_revoke(struct netlink *nl, const uint8_t id[VAULTRING_ID_SIZE],
		       uint32_t *transforms);
int netlink_request_fail(struct netlink *nl, uint64_t request, int error);

#endif /* VAULTRING_NETLINK_H */
