// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Talking with vaultring.ko: what is asked of it, and reading its replies
 */

#define _GNU_SOURCE
#include <errno.h>
#include <string.h>

#include "netlink.h"
#include "netlink_call.h"

static const struct nla_policy share_policy[VAULTRING_A_SHARE_MAX + 1] = {
	[VAULTRING_A_SHARE_INDEX] = { .type = NLA_U32 },
	[VAULTRING_A_SHARE_METHOD] = { .type = NLA_U32 },
	[VAULTRING_A_SHARE_VAULT] = { .type = NLA_STRING, .maxlen = VAULTRING_MAX_VAULT + 1 },
	[VAULTRING_A_SHARE_FINGERPRINT] = { .minlen = VAULTRING_FINGERPRINT_SIZE,
					    .maxlen = VAULTRING_FINGERPRINT_SIZE },
};

struct create_reply {
	uint8_t *envelope, *id;
	size_t *len;
};

static int on_create(struct genlmsghdr *g, struct nlattr *attrs[], void *arg)
{
	struct nlattr *e = attrs[VAULTRING_A_ENVELOPE], *id = attrs[VAULTRING_A_ID];
	struct create_reply *r = arg;

	(void)g;
	if (!e || !id || nla_len(e) > VAULTRING_MAX_ENVELOPE)
		return -EPROTO;
	memcpy(r->envelope, nla_data(e), nla_len(e));
	*r->len = nla_len(e);
	memcpy(r->id, nla_data(id), VAULTRING_ID_SIZE);
	return 0;
}

static bool put_share(struct nl_msg *msg, const struct kek_spec_share *share)
{
	struct nlattr *nest = nla_nest_start(msg, VAULTRING_A_SHARE | NLA_F_NESTED);

	if (!nest)
		return true;
	if (nla_put_u32(msg, VAULTRING_A_SHARE_METHOD, VAULTRING_METHOD_OBLIVIOUS) ||
	    nla_put_string(msg, VAULTRING_A_SHARE_VAULT, share->vault) ||
	    nla_put(msg, VAULTRING_A_SHARE_PUBLIC_KEY, share->spki_len, share->spki))
		return true;
	nla_nest_end(msg, nest);
	return false;
}

int netlink_kek_create(struct netlink *nl, const struct kek_spec *spec,
		       uint8_t *envelope, size_t *len,
		       uint8_t id[VAULTRING_ID_SIZE])
{
	struct nl_msg *msg = netlink_message(nl, VAULTRING_CMD_KEK_CREATE);
	struct create_reply reply = { envelope, id, len };
	size_t i;
	bool bad;
	int err;

	*len = 0;
	bad = !msg || nla_put_string(msg, VAULTRING_A_NAME, spec->name) ||
	      nla_put_u32(msg, VAULTRING_A_VERSION, spec->version) ||
	      nla_put_u32(msg, VAULTRING_A_USES, spec->uses) ||
	      nla_put_u32(msg, VAULTRING_A_THRESHOLD, spec->threshold) ||
	      nla_put_u32(msg, VAULTRING_A_LEASE, spec->lease) ||
	      nla_put_u32(msg, VAULTRING_A_LEASE_END, spec->lease_end) ||
	      nla_put_u64(msg, VAULTRING_A_NOT_BEFORE, spec->not_before) ||
	      nla_put_u64(msg, VAULTRING_A_NOT_AFTER, spec->not_after);
	for (i = 0; !bad && i < spec->n_uids; i++)
		bad = nla_put_u32(msg, VAULTRING_A_UID, spec->uids[i]);
	for (i = 0; !bad && i < spec->n_gids; i++)
		bad = nla_put_u32(msg, VAULTRING_A_GID, spec->gids[i]);
	for (i = 0; !bad && i < spec->n_shares; i++)
		bad = put_share(msg, &spec->shares[i]);
	err = netlink_call(nl, msg, bad, on_create, &reply);
	return err ?: (*len ? 0 : -EPROTO);
}

static int take_challenge(struct nlattr *nest, struct challenge *c)
{
	struct nlattr *s[VAULTRING_A_SHARE_MAX + 1];

	if (nla_parse_nested(s, VAULTRING_A_SHARE_MAX, nest, share_policy) < 0 ||
	    !s[VAULTRING_A_SHARE_INDEX] || !s[VAULTRING_A_SHARE_METHOD] ||
	    !s[VAULTRING_A_SHARE_VAULT] || !s[VAULTRING_A_SHARE_CHALLENGE] ||
	    !s[VAULTRING_A_SHARE_FINGERPRINT] ||
	    nla_len(s[VAULTRING_A_SHARE_CHALLENGE]) > (int)sizeof(c->point))
		return -EPROTO;
	c->index = nla_get_u32(s[VAULTRING_A_SHARE_INDEX]);
	c->method = nla_get_u32(s[VAULTRING_A_SHARE_METHOD]);
	netlink_copy_string(c->vault, sizeof(c->vault), s[VAULTRING_A_SHARE_VAULT]);
	c->len = nla_len(s[VAULTRING_A_SHARE_CHALLENGE]);
	memcpy(c->point, nla_data(s[VAULTRING_A_SHARE_CHALLENGE]), c->len);
	memcpy(c->fingerprint, nla_data(s[VAULTRING_A_SHARE_FINGERPRINT]),
	       sizeof(c->fingerprint));
	return 0;
}

static int on_start(struct genlmsghdr *g, struct nlattr *attrs[], void *arg)
{
	struct unseal_start *start = arg;
	struct nlattr *a;
	int rem, err;

	if (!attrs[VAULTRING_A_UNSEAL])
		return -EPROTO;
	start->unseal = nla_get_u64(attrs[VAULTRING_A_UNSEAL]);
	if (attrs[VAULTRING_A_DEADLINE_MS])
		start->deadline_ms = nla_get_u32(attrs[VAULTRING_A_DEADLINE_MS]);
	/* Of a repeated attribute, attrs[] has the last one only. */
	nla_for_each_attr(a, genlmsg_attrdata(g, 0), genlmsg_attrlen(g, 0), rem) {
		if (nla_type(a) != VAULTRING_A_SHARE)
			continue;
		if (start->n == VAULTRING_MAX_SHARES)
			return -EPROTO;
		err = take_challenge(a, &start->challenges[start->n]);
		if (err)
			return err;
		start->n++;
	}
	return start->n ? 0 : -EPROTO;
}

int netlink_unseal_start(struct netlink *nl, const void *envelope, size_t len,
			 uint64_t request, uint32_t deadline_ms,
			 struct unseal_start *start)
{
	struct nl_msg *msg = netlink_message(nl, VAULTRING_CMD_UNSEAL_START);
	bool bad;

	memset(start, 0, sizeof(*start));
	bad = !msg || nla_put(msg, VAULTRING_A_ENVELOPE, len, envelope) ||
	      (request && nla_put_u64(msg, VAULTRING_A_REQUEST, request)) ||
	      nla_put_u32(msg, VAULTRING_A_DEADLINE_MS, deadline_ms);
	return netlink_call(nl, msg, bad, on_start, start);
}

static int on_result(struct genlmsghdr *g, struct nlattr *attrs[], void *arg)
{
	struct unseal_result *r = arg;

	(void)g;
	if (!attrs[VAULTRING_A_STATE])
		return 0;
	r->active = nla_get_u32(attrs[VAULTRING_A_STATE]) ==
		    VAULTRING_KEK_STATE_ACTIVE;
	r->has_lease = attrs[VAULTRING_A_LEASE_LEFT];
	if (r->has_lease)
		r->lease_left = nla_get_u64(attrs[VAULTRING_A_LEASE_LEFT]);
	return 0;
}

int netlink_unseal_answer(struct netlink *nl, uint64_t unseal, uint32_t index,
			  const void *answer, size_t len, int error,
			  struct unseal_result *result)
{
	struct nl_msg *msg = netlink_message(nl, VAULTRING_CMD_UNSEAL_ANSWER);
	struct nlattr *nest = NULL;
	bool bad;

	memset(result, 0, sizeof(*result));
	bad = !msg || nla_put_u64(msg, VAULTRING_A_UNSEAL, unseal);
	if (!bad)
		nest = nla_nest_start(msg, VAULTRING_A_SHARE | NLA_F_NESTED);
	bad = !nest || nla_put_u32(msg, VAULTRING_A_SHARE_INDEX, index) ||
	      (answer && nla_put(msg, VAULTRING_A_SHARE_ANSWER, len, answer));
	if (!bad) {
		nla_nest_end(msg, nest);
		bad = !answer && nla_put_u32(msg, VAULTRING_A_ERROR, error);
	}
	return netlink_call(nl, msg, bad, on_result, result);
}

int netlink_request_fail(struct netlink *nl, uint64_t request, int error)
{
	struct nl_msg *msg = netlink_message(nl, VAULTRING_CMD_REQUEST_FAIL);
	bool bad = !msg || nla_put_u64(msg, VAULTRING_A_REQUEST, request) ||
		   nla_put_u32(msg, VAULTRING_A_ERROR, error);

	return netlink_call(nl, msg, bad, NULL, NULL);
}
