// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Generic netlink by hand.  No library: one that checks what it sends could not
 * send the wrong messages that the tests are about.
 */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <linux/genetlink.h>
#include <linux/netlink.h>

#include "vr_test.h"

static uint16_t family_id;

static struct nlmsghdr *header(struct nl_msg *m)
{
	return (struct nlmsghdr *)m->buf;
}

static void start(struct nl_msg *m, int type, int cmd, int flags)
{
	struct genlmsghdr genl = { .cmd = cmd, .version = 1 };

	memset(m->buf, 0, NLMSG_HDRLEN + GENL_HDRLEN);
	header(m)->nlmsg_type = type;
	header(m)->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | flags;
	memcpy(m->buf + NLMSG_HDRLEN, &genl, sizeof(genl));
	m->len = NLMSG_HDRLEN + GENL_HDRLEN;
}

void nl_start(struct nl_msg *m, int cmd, int flags)
{
	start(m, family_id, cmd, flags);
}

void nl_put(struct nl_msg *m, int type, const void *data, size_t len)
{
	struct nlattr attr = { .nla_len = NLA_HDRLEN + len, .nla_type = type };

	if (m->len + NLA_HDRLEN + NLA_ALIGN(len) > sizeof(m->buf))
		return;
	memcpy(m->buf + m->len, &attr, sizeof(attr));
	memset(m->buf + m->len + NLA_HDRLEN, 0, NLA_ALIGN(len));
	if (len)
		memcpy(m->buf + m->len + NLA_HDRLEN, data, len);
	m->len += NLA_HDRLEN + NLA_ALIGN(len);
}

void nl_put_u32(struct nl_msg *m, int type, uint32_t value)
{
	nl_put(m, type, &value, sizeof(value));
}

void nl_put_u64(struct nl_msg *m, int type, uint64_t value)
{
	nl_put(m, type, &value, sizeof(value));
}

void nl_put_text(struct nl_msg *m, int type, const char *text)
{
	nl_put(m, type, text, strlen(text) + 1);
}

size_t nl_nest(struct nl_msg *m, int type)
{
	size_t at = m->len;

	nl_put(m, type | NLA_F_NESTED, NULL, 0);
	return at;
}

void nl_nest_end(struct nl_msg *m, size_t at)
{
	((struct nlattr *)(m->buf + at))->nla_len = m->len - at;
}

int nl_send(int fd, struct nl_msg *m)
{
	struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
	static uint32_t sequence;

	header(m)->nlmsg_len = m->len;
	header(m)->nlmsg_seq = ++sequence;
	if (sendto(fd, m->buf, m->len, 0, (struct sockaddr *)&kernel,
		   sizeof(kernel)) < 0)
		return -errno;
	return 0;
}

static void parse(struct nl_reply *r, const uint8_t *at, size_t len)
{
	memset(r->attr, 0, sizeof(r->attr));
	while (len >= NLA_HDRLEN) {
		const struct nlattr *a = (const void *)at;
		size_t step = NLA_ALIGN(a->nla_len);
		int type = a->nla_type & NLA_TYPE_MASK;

		if (a->nla_len < NLA_HDRLEN || a->nla_len > len)
			return;
		if (type <= VAULTRING_A_MAX) {
			r->attr[type] = at + NLA_HDRLEN;
			r->attr_len[type] = a->nla_len - NLA_HDRLEN;
		}
		if (step >= len)
			return;
		at += step;
		len -= step;
	}
}

static void extack(struct nl_reply *r, const struct nlmsghdr *h)
{
	const struct nlmsgerr *err = NLMSG_DATA(h);
	size_t skip = sizeof(*h) + sizeof(*err), len = h->nlmsg_len;
	const uint8_t *at;

	if (!(h->nlmsg_flags & NLM_F_ACK_TLVS))
		return;
	if (!(h->nlmsg_flags & NLM_F_CAPPED))
		skip += err->msg.nlmsg_len - sizeof(*h);
	skip = NLMSG_ALIGN(skip);
	at = (const uint8_t *)h + skip;
	while (skip + NLA_HDRLEN <= len) {
		const struct nlattr *a = (const void *)at;

		if (a->nla_len < NLA_HDRLEN || skip + a->nla_len > len)
			return;
		if ((a->nla_type & NLA_TYPE_MASK) == NLMSGERR_ATTR_MSG)
			strncpy(r->text, (const char *)at + NLA_HDRLEN,
				sizeof(r->text) - 1);
		at += NLA_ALIGN(a->nla_len);
		skip += NLA_ALIGN(a->nla_len);
	}
}

/* Returns 1 to go on, 0 when done, or a negative errno. */
static int digest(struct nl_reply *r, const struct nlmsghdr *h, uint8_t *keep)
{
	const size_t head = NLMSG_HDRLEN + GENL_HDRLEN;

	if (h->nlmsg_type == NLMSG_ERROR) {
		extack(r, h);
		return ((struct nlmsgerr *)NLMSG_DATA(h))->error;
	}
	if (h->nlmsg_type == NLMSG_DONE)
		return h->nlmsg_len >= NLMSG_LENGTH(sizeof(int)) ?
			*(int *)NLMSG_DATA(h) : 0;
	if (h->nlmsg_len < head)
		return 1;
	/* The acknowledgement that follows must not overwrite it. */
	r->messages++;
	r->len = h->nlmsg_len - head;
	memcpy(keep, (const uint8_t *)h + head, r->len);
	parse(r, keep, r->len);
	return 1;
}

int nl_call(int fd, struct nl_msg *m, struct nl_reply *r)
{
	static __thread struct nl_reply scratch;
	uint8_t buf[16384];
	uint32_t seq;
	int err;

	if (!r)
		r = &scratch;
	memset(r, 0, sizeof(*r));
	err = nl_send(fd, m);
	if (err)
		return err;
	seq = header(m)->nlmsg_seq;
	for (;;) {
		ssize_t got = recv(fd, buf, sizeof(buf), 0);
		struct nlmsghdr *h = (void *)buf;

		if (got < 0)
			return -errno;
		for (; NLMSG_OK(h, got); h = NLMSG_NEXT(h, got)) {
			if (h->nlmsg_seq != seq)
				continue;
			err = digest(r, h, r->buf);
			if (err <= 0)
				return err;
		}
	}
}

int nl_wait(int fd, struct nl_reply *r, int ms, int *cmd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	const size_t head = NLMSG_HDRLEN + GENL_HDRLEN;
	uint8_t buf[16384];
	struct nlmsghdr *h = (void *)buf;
	ssize_t got;

	memset(r, 0, sizeof(*r));
	if (poll(&p, 1, patience(ms)) <= 0)
		return -EAGAIN;
	got = recv(fd, buf, sizeof(buf), 0);
	if (got < (ssize_t)head || h->nlmsg_type != family_id)
		return -EBADMSG;
	if (cmd)
		*cmd = ((struct genlmsghdr *)NLMSG_DATA(h))->cmd;
	return digest(r, h, r->buf) == 1 ? 0 : -EBADMSG;
}

uint32_t nl_u32(const struct nl_reply *r, int type)
{
	uint32_t value = 0;

	if (r->attr[type] && r->attr_len[type] >= sizeof(value))
		memcpy(&value, r->attr[type], sizeof(value));
	return value;
}

uint64_t nl_u64(const struct nl_reply *r, int type)
{
	uint64_t value = 0;

	if (r->attr[type] && r->attr_len[type] >= sizeof(value))
		memcpy(&value, r->attr[type], sizeof(value));
	return value;
}

/* nla_parse_nested() of one share, which stays where it is. */
static int share_at(const void *at, size_t len, struct nl_share *share)
{
	static __thread struct nl_reply nested;

	parse(&nested, at, len);
	share->challenge = nested.attr[VAULTRING_A_SHARE_CHALLENGE];
	share->fingerprint = nested.attr[VAULTRING_A_SHARE_FINGERPRINT];
	share->len = nested.attr_len[VAULTRING_A_SHARE_CHALLENGE];
	share->index = nl_u32(&nested, VAULTRING_A_SHARE_INDEX);
	share->method = nl_u32(&nested, VAULTRING_A_SHARE_METHOD);
	return share->method == VAULTRING_METHOD_OBLIVIOUS &&
	       share->len != POINT_SIZE ? -EMSGSIZE : 0;
}

int nl_shares_of(const struct nl_reply *r, struct nl_share *shares, int max)
{
	size_t at = 0;
	int n = 0, err;

	while (at + NLA_HDRLEN <= r->len) {
		const struct nlattr *a = (const void *)(r->buf + at);

		if (a->nla_len < NLA_HDRLEN || a->nla_len > r->len - at)
			return -EBADMSG;
		at += NLA_ALIGN(a->nla_len);
		if ((a->nla_type & NLA_TYPE_MASK) != VAULTRING_A_SHARE)
			continue;
		if (n == max)
			return -E2BIG;
		err = share_at((const uint8_t *)a + NLA_HDRLEN,
			       a->nla_len - NLA_HDRLEN, &shares[n++]);
		if (err)
			return err;
	}
	return n;
}

/* A copy: r may be used again. */
int nl_share_of(const struct nl_reply *r, struct nl_share *share)
{
	static __thread uint8_t nest[1024];
	const size_t len = r->attr_len[VAULTRING_A_SHARE];

	memset(share, 0, sizeof(*share));
	if (!r->attr[VAULTRING_A_SHARE] || len > sizeof(nest))
		return -ENOMSG;
	memcpy(nest, r->attr[VAULTRING_A_SHARE], len);
	return share_at(nest, len, share);
}

static uint32_t group_of(const uint8_t *at, size_t len)
{
	/* CTRL_ATTR_MCAST_GROUPS: an array of nests of name and id. */
	while (len > NLA_HDRLEN) {
		const struct nlattr *a = (const void *)at;
		const uint8_t *in = at + NLA_HDRLEN;
		size_t left = a->nla_len - NLA_HDRLEN;
		uint32_t id = 0;

		if (a->nla_len < NLA_HDRLEN || a->nla_len > len)
			return 0;
		while (left > NLA_HDRLEN) {
			const struct nlattr *b = (const void *)in;

			if (b->nla_len < NLA_HDRLEN || b->nla_len > left)
				return 0;
			if (b->nla_type == CTRL_ATTR_MCAST_GRP_ID)
				memcpy(&id, in + NLA_HDRLEN, sizeof(id));
			if ((size_t)NLA_ALIGN(b->nla_len) >= left)
				break;
			left -= NLA_ALIGN(b->nla_len);
			in += NLA_ALIGN(b->nla_len);
		}
		if (id)
			return id;	/* the family has one group */
		if ((size_t)NLA_ALIGN(a->nla_len) >= len)
			return 0;
		len -= NLA_ALIGN(a->nla_len);
		at += NLA_ALIGN(a->nla_len);
	}
	return 0;
}

int nl_family(int fd, uint32_t *events_group)
{
	struct nl_msg m;
	struct nl_reply r;
	int err;

	start(&m, GENL_ID_CTRL, CTRL_CMD_GETFAMILY, 0);
	nl_put_text(&m, CTRL_ATTR_FAMILY_NAME, VAULTRING_FAMILY_NAME);
	err = nl_call(fd, &m, &r);
	if (err)
		return err;
	if (!r.attr[CTRL_ATTR_FAMILY_ID])
		return -ENOENT;
	memcpy(&family_id, r.attr[CTRL_ATTR_FAMILY_ID], sizeof(family_id));
	if (events_group && r.attr[CTRL_ATTR_MCAST_GROUPS])
		*events_group = group_of(r.attr[CTRL_ATTR_MCAST_GROUPS],
					 r.attr_len[CTRL_ATTR_MCAST_GROUPS]);
	return 0;
}

static int open_socket(uint32_t *group)
{
	struct sockaddr_nl any = { .nl_family = AF_NETLINK };
	const struct timeval limit = { .tv_sec = patience(10) };
	int fd, err, on = 1;

	fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_GENERIC);
	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof(on));
	setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof(on));
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	if (bind(fd, (struct sockaddr *)&any, sizeof(any))) {
		err = -errno;
		close(fd);
		return err;
	}
	err = nl_family(fd, group);
	if (err) {
		close(fd);
		return err;
	}
	return fd;
}

int nl_open(void)
{
	return open_socket(NULL);
}

int nl_open_events(void)
{
	uint32_t group = 0;
	int fd = open_socket(&group);

	if (fd < 0)
		return fd;
	if (!group || setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP,
				 &group, sizeof(group))) {
		close(fd);
		return -ENOENT;
	}
	return fd;
}
