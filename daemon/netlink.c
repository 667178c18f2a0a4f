// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Talking with vaultring.ko: the socket, and requests that come over it
 */

#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <linux/netlink.h>
#include <netlink/genl/ctrl.h>
#include <netlink/genl/genl.h>
#include <netlink/netlink.h>

#include "log.h"
#include "netlink.h"
#include "netlink_call.h"
#include "util.h"

#define MAX_QUEUED 1024
#define RECEIVE_BUFFER (2 * 1024 * 1024)

struct netlink {
	struct nl_sock *sock;
	int family;
	uint64_t timeout_usec;	/* of a call */
	kek_request_fn on_request;
	void *arg;

	/* Requests that are waiting for netlink_dispatch() */
	struct kek_request *queue;
	size_t queued;
	bool unloaded;		/* the module */
	bool reloaded;		/* likewise; this socket is not attached */

	/* The call under way */
	uint32_t seq;
	bool done;
	int err;
	char text[256];
	netlink_reply_fn on_reply;
	void *reply_arg;
};

static const struct nla_policy main_policy[VAULTRING_A_MAX + 1] = {
	[VAULTRING_A_NAME] = { .type = NLA_STRING, .maxlen = VAULTRING_MAX_NAME + 1 },
	[VAULTRING_A_VERSION] = { .type = NLA_U32 },
	[VAULTRING_A_ID] = { .minlen = VAULTRING_ID_SIZE, .maxlen = VAULTRING_ID_SIZE },
	[VAULTRING_A_ENVELOPE] = { .maxlen = VAULTRING_MAX_ENVELOPE },
	[VAULTRING_A_REQUEST] = { .type = NLA_U64 },
	[VAULTRING_A_UNSEAL] = { .type = NLA_U64 },
	[VAULTRING_A_DEADLINE_MS] = { .type = NLA_U32 },
	[VAULTRING_A_UID_ASKING] = { .type = NLA_U32 },
	[VAULTRING_A_GID_ASKING] = { .type = NLA_U32 },
	[VAULTRING_A_PID] = { .type = NLA_U32 },
	[VAULTRING_A_COMM] = { .type = NLA_STRING, .maxlen = 17 },
	[VAULTRING_A_CGROUP] = { .type = NLA_U64 },
	[VAULTRING_A_STATE] = { .type = NLA_U32 },
	[VAULTRING_A_ERROR] = { .type = NLA_U32 },
	[VAULTRING_A_LEASE_LEFT] = { .type = NLA_U64 },
	[VAULTRING_A_TRANSFORMS] = { .type = NLA_U32 },
};

/* --- receiving --- */

void netlink_copy_string(char *out, size_t size, struct nlattr *a)
{
	out[0] = 0;
	if (a)
		nla_strlcpy(out, a, size);
}

static void take_request(struct netlink *nl, struct nlattr *attrs[])
{
	struct nlattr *id = attrs[VAULTRING_A_ID];
	struct kek_request *r, *queue;

	if (!attrs[VAULTRING_A_REQUEST] || !attrs[VAULTRING_A_UID_ASKING] ||
	    !attrs[VAULTRING_A_GID_ASKING] || (!attrs[VAULTRING_A_NAME] && !id)) {
		log_warning("the kernel sent a request that lacks attributes");
		return;
	}
	queue = realloc(nl->queue, (nl->queued + 1) * sizeof(*queue));
	if (!queue || nl->queued == MAX_QUEUED) {
		/* Not answering it costs one asker its time-out. */
		log_err("too many requests of the kernel; dropped one");
		nl->queue = queue ?: nl->queue;
		return;
	}
	nl->queue = queue;
	r = &queue[nl->queued++];
	memset(r, 0, sizeof(*r));
	r->request = nla_get_u64(attrs[VAULTRING_A_REQUEST]);
	r->uid = nla_get_u32(attrs[VAULTRING_A_UID_ASKING]);
	r->gid = nla_get_u32(attrs[VAULTRING_A_GID_ASKING]);
	netlink_copy_string(r->name, sizeof(r->name), attrs[VAULTRING_A_NAME]);
	netlink_copy_string(r->comm, sizeof(r->comm), attrs[VAULTRING_A_COMM]);
	r->by_id = id;
	if (id)
		memcpy(r->id, nla_data(id), sizeof(r->id));
	if (attrs[VAULTRING_A_PID])
		r->pid = nla_get_u32(attrs[VAULTRING_A_PID]);
	if (attrs[VAULTRING_A_CGROUP])
		r->cgroup = nla_get_u64(attrs[VAULTRING_A_CGROUP]);
	if (attrs[VAULTRING_A_DEADLINE_MS])
		r->deadline_ms = nla_get_u32(attrs[VAULTRING_A_DEADLINE_MS]);
}

/* The module came or went; its family has another number each time. */
static void take_family_event(struct netlink *nl, struct nlmsghdr *h, int cmd)
{
	struct nlattr *attrs[CTRL_ATTR_MAX + 1];

	if (genlmsg_parse(h, 0, attrs, CTRL_ATTR_MAX, NULL) < 0 ||
	    !attrs[CTRL_ATTR_FAMILY_NAME] ||
	    nla_strcmp(attrs[CTRL_ATTR_FAMILY_NAME], VAULTRING_FAMILY_NAME))
		return;
	if (cmd == CTRL_CMD_DELFAMILY) {
		nl->unloaded = true;
		log_warning("the vaultring module was unloaded; KEKs cannot be unsealed until it is loaded again");
	} else if (cmd == CTRL_CMD_NEWFAMILY) {
		nl->reloaded = true;
	}
}

static int on_valid(struct nl_msg *msg, void *arg)
{
	struct nlmsghdr *h = nlmsg_hdr(msg);
	struct nlattr *attrs[VAULTRING_A_MAX + 1];
	struct netlink *nl = arg;
	struct genlmsghdr *g;

	if (!genlmsg_valid_hdr(h, 0))
		return NL_OK;
	g = nlmsg_data(h);
	if (h->nlmsg_type == GENL_ID_CTRL)
		take_family_event(nl, h, g->cmd);
	if (h->nlmsg_type != nl->family)
		return NL_OK;
	if (genlmsg_parse(h, 0, attrs, VAULTRING_A_MAX, main_policy) < 0) {
		log_warning("the kernel sent a message that cannot be read");
		return NL_OK;
	}
	if (g->cmd == VAULTRING_CMD_KEK_REQUEST)
		take_request(nl, attrs);
	else if (h->nlmsg_seq == nl->seq && nl->on_reply && !nl->err)
		nl->err = nl->on_reply(g, attrs, nl->reply_arg);
	return NL_OK;
}

static int on_ack(struct nl_msg *msg, void *arg)
{
	struct netlink *nl = arg;

	if (nlmsg_hdr(msg)->nlmsg_seq == nl->seq)
		nl->done = true;
	return NL_OK;
}

/* The kernel's text follows the header that failed (NETLINK_CAP_ACK). */
static void take_extack(struct netlink *nl, struct nlmsgerr *e)
{
	struct nlmsghdr *h = (struct nlmsghdr *)((char *)e - NLMSG_HDRLEN);
	struct nlattr *attrs[NLMSGERR_ATTR_MAX + 1];
	size_t skip = sizeof(*e);

	if (!(h->nlmsg_flags & NLM_F_ACK_TLVS))
		return;
	if (!(h->nlmsg_flags & NLM_F_CAPPED))
		skip += e->msg.nlmsg_len - sizeof(e->msg);
	skip = NLMSG_ALIGN(skip);
	if (h->nlmsg_len < NLMSG_HDRLEN + skip ||
	    nla_parse(attrs, NLMSGERR_ATTR_MAX, (struct nlattr *)((char *)e + skip),
		      h->nlmsg_len - NLMSG_HDRLEN - skip, NULL) < 0)
		return;
	if (attrs[NLMSGERR_ATTR_MSG])
		netlink_copy_string(nl->text, sizeof(nl->text), attrs[NLMSGERR_ATTR_MSG]);
}

static int on_error(struct sockaddr_nl *who, struct nlmsgerr *e, void *arg)
{
	struct netlink *nl = arg;

	(void)who;
	if (e->msg.nlmsg_seq != nl->seq)
		return NL_SKIP;
	nl->err = e->error ?: -EIO;
	nl->done = true;
	snprintf(nl->text, sizeof(nl->text), "%s", strerror(-nl->err));
	take_extack(nl, e);
	return NL_SKIP;
}

/* Reads whatever has arrived; -EAGAIN if that is nothing. */
static int receive(struct netlink *nl)
{
	int err = nl_recvmsgs_default(nl->sock);

	switch (err) {
	case -NLE_AGAIN:
		return -EAGAIN;
	case -NLE_NOMEM:
	case -NLE_BAD_SOCK:
		return -ENOBUFS;
	default:
		/* Refusals come through on_error(). */
		return err < 0 && !nl->err ? -EIO : 0;
	}
}

static int wait_reply(struct netlink *nl)
{
	uint64_t end = now_usec() + nl->timeout_usec;
	struct pollfd p = { .fd = nl_socket_get_fd(nl->sock), .events = POLLIN };

	while (!nl->done) {
		int err = receive(nl);

		if (err && err != -EAGAIN)
			return err;
		if (nl->done)
			break;
		if (now_usec() > end)
			return -ETIMEDOUT;
		if (err == -EAGAIN && poll(&p, 1, 1000) < 0 && errno != EINTR)
			return -errno;
	}
	return nl->err;
}

/* --- calling --- */

struct nl_msg *netlink_message(struct netlink *nl, int cmd)
{
	struct nl_msg *msg = nlmsg_alloc_size(16 * 1024);

	if (msg && !genlmsg_put(msg, NL_AUTO_PORT, NL_AUTO_SEQ, nl->family, 0,
				NLM_F_REQUEST | NLM_F_ACK, cmd,
				VAULTRING_FAMILY_VERSION)) {
		nlmsg_free(msg);
		return NULL;
	}
	return msg;
}

int netlink_call(struct netlink *nl, struct nl_msg *msg, bool bad,
		 netlink_reply_fn fn, void *arg)
{
	int err;

	snprintf(nl->text, sizeof(nl->text), "out of memory");
	if (!msg || bad) {
		nlmsg_free(msg);
		return -ENOMEM;
	}
	nl_complete_msg(nl->sock, msg);
	nl->seq = nlmsg_hdr(msg)->nlmsg_seq;
	nl->done = false;
	nl->err = 0;
	nl->on_reply = fn;
	nl->reply_arg = arg;
	err = nl_send(nl->sock, msg);
	/* An answer or an envelope: not secret, but not ours to keep. */
	explicit_bzero(nlmsg_data(nlmsg_hdr(msg)),
		       nlmsg_datalen(nlmsg_hdr(msg)));
	nlmsg_free(msg);
	if (err < 0) {
		snprintf(nl->text, sizeof(nl->text), "cannot send: %s",
			 nl_geterror(err));
		err = err == -NLE_NOMEM ? -ENOMEM : -EIO;
	} else {
		err = wait_reply(nl);
		if (err && !nl->err)
			snprintf(nl->text, sizeof(nl->text),
				 "no answer from the module: %s",
				 strerror(-err));
	}
	nl->on_reply = NULL;
	/* "No such file or directory" would be all that the kernel says. */
	if (err == -ENOENT && nl->unloaded) {
		snprintf(nl->text, sizeof(nl->text), "the vaultring module is not loaded; try: modprobe vaultring");
		err = -ENOTCONN;
	}
	return err;
}

int netlink_attach(struct netlink *nl, kek_request_fn fn, void *arg)
{
	nl->on_request = fn;
	nl->arg = arg;
	return netlink_call(nl, netlink_message(nl, VAULTRING_CMD_ATTACH),
			    false, NULL, NULL);
}

int netlink_dispatch(struct netlink *nl)
{
	int err;

	do {
		err = receive(nl);
	} while (!err);
	while (nl->queued) {
		/* Handling it makes calls, and these may add to the queue. */
		struct kek_request r = nl->queue[0];

		nl->queued--;
		memmove(nl->queue, nl->queue + 1, nl->queued * sizeof(r));
		nl->on_request(nl->arg, &r);
	}
	if (err == -EAGAIN)
		err = 0;
	return err ?: nl->reloaded ? -ESTALE : 0;
}

bool netlink_pending(struct netlink *nl)
{
	return nl->queued || nl->reloaded;
}

const char *netlink_error(struct netlink *nl)
{
	return nl->text;
}

int netlink_fd(struct netlink *nl)
{
	return nl_socket_get_fd(nl->sock);
}

/* --- the socket --- */

static int set_callbacks(struct netlink *nl)
{
	struct nl_cb *cb = nl_socket_get_cb(nl->sock);
	int err = nl_cb_set(cb, NL_CB_VALID, NL_CB_CUSTOM, on_valid, nl) ?:
		  nl_cb_set(cb, NL_CB_ACK, NL_CB_CUSTOM, on_ack, nl) ?:
		  nl_cb_err(cb, NL_CB_CUSTOM, on_error, nl);

	nl_cb_put(cb);
	return err;
}

static int resolve(struct netlink *nl)
{
	int group;

	nl->family = genl_ctrl_resolve(nl->sock, VAULTRING_FAMILY_NAME);
	if (nl->family < 0) {
		log_err("no \"%s\" family in the kernel; is the vaultring module loaded?  Try: modprobe vaultring",
			VAULTRING_FAMILY_NAME);
		return -ENOENT;
	}
	/* Says when the module comes and goes. */
	group = genl_ctrl_resolve_grp(nl->sock, "nlctrl", "notify");
	if (group < 0 || nl_socket_add_membership(nl->sock, group) < 0)
		log_warning("cannot watch the module being loaded and unloaded");
	return 0;
}

static int set_up(struct netlink *nl)
{
	const int size = RECEIVE_BUFFER;	/* a thousand requests */
	int one = 1, err;

	err = genl_connect(nl->sock);
	if (err < 0) {
		log_err("cannot open a netlink socket: %s", nl_geterror(err));
		return -EIO;
	}
	err = resolve(nl);
	if (err)
		return err;
	/* Older kernels lack these two; only texts are lost without. */
	setsockopt(netlink_fd(nl), SOL_NETLINK, NETLINK_EXT_ACK, &one, sizeof(one));
	setsockopt(netlink_fd(nl), SOL_NETLINK, NETLINK_CAP_ACK, &one, sizeof(one));
	nl_socket_disable_seq_check(nl->sock);
	nl_socket_disable_auto_ack(nl->sock);
	if (nl_socket_set_nonblocking(nl->sock) < 0 || set_callbacks(nl))
		return -EIO;
	/* Beyond the system's limit, which needs CAP_NET_ADMIN, or up to it. */
	if (setsockopt(netlink_fd(nl), SOL_SOCKET, SO_RCVBUFFORCE, &size,
		       sizeof(size)))
		nl_socket_set_buffer_size(nl->sock, size, 0);
	return 0;
}

int netlink_open(uint64_t timeout_usec, struct netlink **out)
{
	struct netlink *nl = calloc(1, sizeof(*nl));
	int err = -ENOMEM;

	if (!nl)
		return err;
	nl->timeout_usec = timeout_usec;
	nl->sock = nl_socket_alloc();
	if (nl->sock)
		err = set_up(nl);
	if (err)
		netlink_close(nl);
	else
		*out = nl;
	return err;
}

void netlink_close(struct netlink *nl)
{
	if (!nl)
		return;
	nl_socket_free(nl->sock);
	free(nl->queue);
	free(nl);
}
