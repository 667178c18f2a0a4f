// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The module's events: that something about a KEK has changed
 *
 * The group goes with the module, so a module that is loaded later, or anew, has
 * to be joined again: the kernel announces each family.
 */

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include <netlink/genl/ctrl.h>
#include <netlink/genl/genl.h>
#include <netlink/netlink.h>

#include "cli.h"

struct events {
	struct nl_sock *sock;
	bool changed;
};

/* Asked on a socket of its own, lest the answer mix with events. */
static int group_of(const char *family, const char *name)
{
	struct nl_sock *sock = nl_socket_alloc();
	int group = -NLE_NOMEM;

	if (sock && !genl_connect(sock))
		group = genl_ctrl_resolve_grp(sock, family, name);
	nl_socket_free(sock);
	return group;
}

/* Without the module there is nothing to join yet. */
static void join(struct events *events)
{
	int group = group_of(VAULTRING_FAMILY_NAME, "events");

	if (group >= 0)
		nl_socket_add_membership(events->sock, group);
	events->changed = true;
}

static int on_message(struct nl_msg *msg, void *arg)
{
	struct genlmsghdr *header = genlmsg_hdr(nlmsg_hdr(msg));
	struct nlattr *attrs[CTRL_ATTR_MAX + 1];
	struct events *events = arg;

	if (nlmsg_hdr(msg)->nlmsg_type != GENL_ID_CTRL) {
		if (header->cmd == VAULTRING_CMD_KEK_EVENT)
			events->changed = true;
	} else if (header->cmd == CTRL_CMD_NEWFAMILY &&
		   !genlmsg_parse(nlmsg_hdr(msg), 0, attrs, CTRL_ATTR_MAX,
				  NULL) && attrs[CTRL_ATTR_FAMILY_NAME] &&
		   !strcmp(nla_get_string(attrs[CTRL_ATTR_FAMILY_NAME]),
			   VAULTRING_FAMILY_NAME)) {
		join(events);
	}
	return NL_OK;
}

struct events *events_open(void)
{
	struct events *events = calloc(1, sizeof(*events));
	int group = group_of("nlctrl", "notify");

	if (!events)
		return NULL;
	events->sock = nl_socket_alloc();
	if (!events->sock || group < 0 || genl_connect(events->sock) ||
	    nl_socket_set_nonblocking(events->sock) ||
	    nl_socket_add_membership(events->sock, group)) {
		events_close(events);
		return NULL;
	}
	nl_socket_disable_seq_check(events->sock);
	nl_socket_modify_cb(events->sock, NL_CB_VALID, NL_CB_CUSTOM, on_message,
			    events);
	join(events);
	return events;
}

int events_fd(const struct events *events)
{
	return nl_socket_get_fd(events->sock);
}

bool events_any(struct events *events)
{
	bool changed;
	int err;

	do {
		err = nl_recvmsgs_default(events->sock);
		/* What did not fit was lost: it may have been any. */
		if (err == -NLE_NOMEM)
			events->changed = true;
	} while (!err);
	changed = events->changed;
	events->changed = false;
	return changed;
}

void events_close(struct events *events)
{
	nl_socket_free(events->sock);
	free(events);
}
