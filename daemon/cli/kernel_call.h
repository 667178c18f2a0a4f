/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One request to the module and what came of it: kernel.c does it, transport.c
 * and cmd_kek_reseal.c make requests, too
 */
#ifndef VAULTRING_KERNEL_CALL_H
#define VAULTRING_KERNEL_CALL_H

#include <netlink/genl/genl.h>
#include <netlink/netlink.h>

struct exchange {
	struct nl_sock *sock;
	struct nl_msg *msg;
	int err;
	bool done;
	void (*valid)(struct nlattr **attrs, void *arg);
	void *arg;
	struct genlmsghdr *reply;	/* while valid() runs */
};

/* 0 or a negative errno, and kernel_error() says why */
int kernel_begin(struct exchange *exchange, uint8_t command, int flags);
int kernel_finish(struct exchange *exchange);
/* Whatever became of it. */
void kernel_drop(struct exchange *exchange);
int kernel_set_error(int err, const char *text);
/* What a vault released, into a share. */
int kernel_put_answer(struct nl_msg *msg, const struct public_key *key);
int kernel_put_shares(struct nl_msg *msg, const struct kek_spec *spec);

#endif /* VAULTRING_KERNEL_CALL_H */
