/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What netlink.c does for the calls in netlink_call.c
 */
#ifndef VAULTRING_NETLINK_CALL_H
#define VAULTRING_NETLINK_CALL_H

#include <stdbool.h>

#include <netlink/genl/genl.h>
#include <netlink/netlink.h>

struct netlink;

/* Where a call's reply goes; 0 or a negative errno. */
typedef int (*netlink_reply_fn)(struct genlmsghdr *g, struct nlattr *attrs[],
				void *arg);

/* NULL: out of memory */
struct nl_msg *netlink_message(struct netlink *nl, int cmd);
/* Sends and frees the message; bad: it could not be put together. */
int netlink_call(struct netlink *nl, struct nl_msg *msg, bool bad,
		 netlink_reply_fn fn, void *arg);
/* "" if there is no such attribute */
void netlink_copy_string(char *out, size_t size, struct nlattr *a);

#endif /* VAULTRING_NETLINK_CALL_H */
