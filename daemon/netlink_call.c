// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Talking with vaultring.ko: what is asked of it, and reading its replies
 */

#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
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

static int take_challenge(struct nlattr *nest, struct challenge *c)
{
	struct nlattr *s[VAULTRING_A_SHARE_MAX + 1];

	if (nla_parse_nested(s, VAULTRING_A_SHARE_MAX, nest, share_policy) < 0 ||
	    !s[VAULTRING_A_SHARE_INDEX] || !s[VAULTRING_A_SHARE_METHOD] ||
	    !s[VAULTRING_A_SHARE_VAULT] || !s[VAULTRING_A_SHARE_CHALLENGE] ||
	    !s[VAULTRING_A_SHARE_FINGERPRINT] ||
	    nla_len(s[VAULTRING_A_SHARE_CHALLENGE]) > (int)sizeof(c->data))
		return -EPROTO;
	c->index = nla_get_u32(s[VAULTRING_A_SHARE_INDEX]);
	c->method = nla_get_u32(s[VAULTRING_A_SHARE_METHOD]);
	netlink_copy_string(c->vault, sizeof(c->vault), s[VAULTRING_A_SHARE_VAULT]);
	c->len = nla_len(s[VAULTRING_A_SHARE_CHALLENGE]);
	memcpy(c->data, nla_data(s[VAULTRING_A_SHARE_CHALLENGE]), c->len);
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

static int take_resealed(const struct nlattr *envelope, struct unseal_result *r)
{
	size_t len = nla_len(envelope);

	if (!len || len > VAULTRING_MAX_ENVELOPE || r->resealed)
		return -EPROTO;
	r->resealed = malloc(len);
	if (!r->resealed)
		return -ENOMEM;
	memcpy(r->resealed, nla_data(envelope), len);
	r->resealed_len = len;
	return 0;
}

static int on_result(struct genlmsghdr *g, struct nlattr *attrs[], void *arg)
{
	struct unseal_result *r = arg;

	(void)g;
	r->goes_on = attrs[VAULTRING_A_UNSEAL];
	if (attrs[VAULTRING_A_ENVELOPE])
		return take_resealed(attrs[VAULTRING_A_ENVELOPE], r);
	if (attrs[VAULTRING_A_ERROR])
		r->err = -(int)nla_get_u32(attrs[VAULTRING_A_ERROR]);
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
			  const struct share_answer *answer, int error,
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
	      (answer && nla_put(msg, VAULTRING_A_SHARE_ANSWER, answer->len,
				 answer->data)) ||
	      (answer && answer->hash &&
	       nla_put_u32(msg, VAULTRING_A_SHARE_HASH, answer->hash));
	if (!bad) {
		nla_nest_end(msg, nest);
		bad = !answer && nla_put_u32(msg, VAULTRING_A_ERROR, error);
	}
	return netlink_call(nl, msg, bad, on_result, result);
}

struct transport {
	uint8_t *spki;
	size_t *len;
};

static int on_transport(struct genlmsghdr *g, struct nlattr *attrs[], void *arg)
{
	const struct nlattr *key = attrs[VAULTRING_A_TRANSPORT_KEY];
	struct transport *t = arg;

	(void)g;
	if (!key || nla_len(key) > VAULTRING_MAX_PUBLIC_KEY)
		return -EPROTO;
	*t->len = nla_len(key);
	memcpy(t->spki, nla_data(key), *t->len);
	return 0;
}

int netlink_transport_get(struct netlink *nl,
			  uint8_t spki[VAULTRING_MAX_PUBLIC_KEY], size_t *len)
{
	struct transport t = { spki, len };
	int err;

	*len = 0;
	err = netlink_call(nl, netlink_message(nl, VAULTRING_CMD_TRANSPORT_GET),
			   false, on_transport, &t);
	return err ?: *len ? 0 : -EPROTO;
}

static int on_kek(struct genlmsghdr *g, struct nlattr *attrs[], void *arg)
{
	struct kek_state *state = arg;

	(void)g;
	if (!attrs[VAULTRING_A_STATE])
		return -EPROTO;
	state->active = nla_get_u32(attrs[VAULTRING_A_STATE]) ==
			VAULTRING_KEK_STATE_ACTIVE;
	state->has_lease = attrs[VAULTRING_A_LEASE_LEFT];
	if (state->has_lease)
		state->lease_left = nla_get_u64(attrs[VAULTRING_A_LEASE_LEFT]);
	if (attrs[VAULTRING_A_TRANSFORMS])
		state->transforms = nla_get_u32(attrs[VAULTRING_A_TRANSFORMS]);
	return 0;
}

int netlink_kek_get(struct netlink *nl, const uint8_t id[VAULTRING_ID_SIZE],
		    struct kek_state *state)
{
	struct nl_msg *msg = netlink_message(nl, VAULTRING_CMD_KEK_GET);

	memset(state, 0, sizeof(*state));
	return netlink_call(nl, msg, msg && nla_put(msg, VAULTRING_A_ID,
						    VAULTRING_ID_SIZE, id),
			    on_kek, state);
}

static int on_revoked(struct genlmsghdr *g, struct nlattr *attrs[], void *arg)
{
	(void)g;
	if (attrs[VAULTRING_A_TRANSFORMS])
		*(uint32_t *)arg = nla_get_u32(attrs[VAULTRING_A_TRANSFORMS]);
	return 0;
}

int netlink_kek_revoke(struct netlink *nl, const uint8_t id[VAULTRING_ID_SIZE],
		       uint32_t *transforms)
{
	struct nl_msg *msg = netlink_message(nl, VAULTRING_CMD_KEK_REVOKE);

	*transforms = 0;
	return netlink_call(nl, msg, msg && nla_put(msg, VAULTRING_A_ID,
						    VAULTRING_ID_SIZE, id),
			    on_revoked, transforms);
}

int netlink_request_fail(struct netlink *nl, uint64_t request, int error)
{
	struct nl_msg *msg = netlink_message(nl, VAULTRING_CMD_REQUEST_FAIL);
	bool bad = !msg || nla_put_u64(msg, VAULTRING_A_REQUEST, request) ||
		   nla_put_u32(msg, VAULTRING_A_ERROR, error);

	return netlink_call(nl, msg, bad, NULL, NULL);
}
