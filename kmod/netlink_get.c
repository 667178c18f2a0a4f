// SPDX-License-Identifier: GPL-2.0-only
/*
 * Reading netlink messages
 *
 * The policies are generated and have been applied when this runs.  What they
 * cannot say is checked here, and each refusal says why in the extack.
 */

#include <linux/bitmap.h>
#include <linux/err.h>
#include <linux/sched/mm.h>
#include <net/genetlink.h>

#include "generated/netlink.h"
#include "vr.h"

/* Attributes that may be there more than once. */
static bool may_repeat(int type)
{
	return type == VAULTRING_A_UID || type == VAULTRING_A_GID ||
	       type == VAULTRING_A_SHARE || type == VAULTRING_A_KEK_PIN ||
	       type == VAULTRING_A_VAULT_PIN;
}

static int check_repeats(const struct nlattr *head, int len, bool nested,
			 struct netlink_ext_ack *extack)
{
	DECLARE_BITMAP(seen, VAULTRING_A_MAX + 1) = {};
	const struct nlattr *attr;
	int rem, type;

	nla_for_each_attr(attr, head, len, rem) {
		type = nla_type(attr);
		if (type > VAULTRING_A_MAX || (!nested && may_repeat(type)))
			continue;
		if (__test_and_set_bit(type, seen)) {
			NL_SET_ERR_MSG_ATTR(extack, attr, "this attribute is repeated");
			return -EINVAL;
		}
	}
	return 0;
}

/* The skb outlives us, and what a vault says is nobody's business. */
void vr_netlink_wipe(struct genl_info *info)
{
	memzero_explicit(nlmsg_attrdata(info->nlhdr, GENL_HDRLEN),
			 nlmsg_attrlen(info->nlhdr, GENL_HDRLEN));
}

/* Before each operation: nothing may be said twice. */
int vr_netlink_pre_doit(const vr_genl_op_t *op, struct sk_buff *skb,
			struct genl_info *info)
{
	int err = check_repeats(nlmsg_attrdata(info->nlhdr, GENL_HDRLEN),
				nlmsg_attrlen(info->nlhdr, GENL_HDRLEN), false,
				info->extack);

	/* What is asked for may be the key of the disk that memory waits for. */
	if (!err)
		info->user_ptr[0] = (void *)(uintptr_t)memalloc_noio_save();
	else
		vr_netlink_wipe(info);
	return err;
}

void vr_netlink_post_doit(const vr_genl_op_t *op, struct sk_buff *skb,
			  struct genl_info *info)
{
	memalloc_noio_restore((uintptr_t)info->user_ptr[0]);
}

/* -EINVAL if that attribute is not there. */
int vr_netlink_need(struct genl_info *info, int type)
{
	if (!GENL_REQ_ATTR_CHECK(info, type))
		return 0;
	NL_SET_ERR_MSG(info->extack, "an attribute that this needs is missing");
	return -EINVAL;
}

/* As nla_parse_nested(), and nothing may be repeated. */
int vr_netlink_get_nest(struct nlattr **tb, int max, const struct nlattr *nest,
			const struct nla_policy *policy, struct genl_info *info)
{
	return nla_parse_nested(tb, max, nest, policy, info->extack) ?:
	       check_repeats(nla_data(nest), nla_len(nest), true,
			     info->extack);
}

u32 vr_netlink_get_u32(struct genl_info *info, int type, u32 otherwise)
{
	return info->attrs[type] ? nla_get_u32(info->attrs[type]) : otherwise;
}

u64 vr_netlink_get_u64(struct genl_info *info, int type)
{
	return info->attrs[type] ? nla_get_u64(info->attrs[type]) : 0;
}

/* The message's next attribute of that type behind @attr, or its first. */
static const struct nlattr *next_of(struct genl_info *info,
				    const struct nlattr *attr, int type)
{
	const struct nlattr *head = nlmsg_attrdata(info->nlhdr, GENL_HDRLEN);
	int rem = nlmsg_attrlen(info->nlhdr, GENL_HDRLEN);

	if (attr) {
		rem -= (const u8 *)attr - (const u8 *)head;
		attr = nla_next(attr, &rem);
	} else {
		attr = head;
	}
	return nla_find(attr, rem, type);
}

static int count_of(struct genl_info *info, int type)
{
	const struct nlattr *attr = NULL;
	int count = 0;

	while ((attr = next_of(info, attr, type)))
		count++;
	return count;
}

/* All uids or gids of a message. */
static int get_subjects(struct genl_info *info, int type, u32 *list, u8 *count)
{
	const struct nlattr *attr = NULL;

	while ((attr = next_of(info, attr, type))) {
		if (*count == VAULTRING_MAX_SUBJECTS) {
			NL_SET_ERR_MSG_ATTR(info->extack, attr,
					    "more than 8 users or groups");
			return -EINVAL;
		}
		list[(*count)++] = nla_get_u32(attr);
	}
	return 0;
}

/* What a message says of a new KEK. */
int vr_netlink_get_attrs(struct genl_info *info, struct vr_attrs *attrs)
{
	int err;

	memset(attrs, 0, sizeof(*attrs));
	err = vr_netlink_need(info, VAULTRING_A_NAME) ?:
	      get_subjects(info, VAULTRING_A_UID, attrs->uid, &attrs->uids) ?:
	      get_subjects(info, VAULTRING_A_GID, attrs->gid, &attrs->gids);
	if (err)
		return err;
	nla_strscpy(attrs->name, info->attrs[VAULTRING_A_NAME],
		    sizeof(attrs->name));
	if (!vr_name_ok(attrs->name)) {
		NL_SET_ERR_MSG(info->extack, "a name is 1 to 63 of A-Z a-z 0-9 . _ -");
		return -EINVAL;
	}
	attrs->version = vr_netlink_get_u32(info, VAULTRING_A_VERSION, 1);
	attrs->uses = vr_netlink_get_u32(info, VAULTRING_A_USES, VR_USES_BLOBS);
	attrs->not_before = vr_netlink_get_u64(info, VAULTRING_A_NOT_BEFORE);
	attrs->not_after = vr_netlink_get_u64(info, VAULTRING_A_NOT_AFTER);
	attrs->lease = vr_netlink_get_u32(info, VAULTRING_A_LEASE, 0);
	attrs->lease_end = vr_netlink_get_u32(info, VAULTRING_A_LEASE_END,
					      VAULTRING_LEASE_END_KEEP);
	if (!attrs->version || !attrs->uses || (attrs->uses & ~VR_USES_ALL) ||
	    (attrs->not_after && attrs->not_after <= attrs->not_before)) {
		NL_SET_ERR_MSG(info->extack, "version, uses or dates make no sense");
		return -EINVAL;
	}
	return 0;
}

static void take_answer(struct nlattr **tb, struct vr_answer *answer)
{
	const struct nlattr *data = tb[VAULTRING_A_SHARE_ANSWER];
	const struct nlattr *hash = tb[VAULTRING_A_SHARE_HASH];

	*answer = (struct vr_answer){
		.data = data ? nla_data(data) : NULL,
		.len = data ? nla_len(data) : 0,
		.hash = hash ? nla_get_u32(hash) : VAULTRING_HASH_SHA256,
	};
}

/* A share's index, 0 if there is none, and its answer, data NULL if none. */
int vr_netlink_get_answer(struct genl_info *info, const struct nlattr *share,
			  u32 *index, struct vr_answer *answer)
{
	struct nlattr *tb[VAULTRING_A_SHARE_MAX + 1];
	int err;

	err = vr_netlink_get_nest(tb, VAULTRING_A_SHARE_MAX, share,
				  vaultring_share_nl_policy, info);
	if (err)
		return err;
	take_answer(tb, answer);
	*index = tb[VAULTRING_A_SHARE_INDEX] ?
		 nla_get_u32(tb[VAULTRING_A_SHARE_INDEX]) : 0;
	return 0;
}

/* A symmetric vault key: named, with a secret and what the vault made of it. */
static const struct nlattr *take_named(struct nlattr **tb,
				       struct vr_share_request *req)
{
	const struct nlattr *wrapped = tb[VAULTRING_A_SHARE_CHALLENGE];

	if (req->method != VAULTRING_METHOD_CLEAR || !req->answer || !wrapped ||
	    tb[VAULTRING_A_SHARE_PUBLIC_KEY])
		return NULL;
	req->identity = nla_data(tb[VAULTRING_A_SHARE_IDENTITY]);
	req->wrapped = nla_data(wrapped);
	req->wrapped_len = nla_len(wrapped);
	return tb[VAULTRING_A_SHARE_IDENTITY];
}

/* What the share is for; NULL if that is missing. */
static const struct nlattr *take_key(struct nlattr **tb,
				     struct vr_share_request *req)
{
	const struct nlattr *key = tb[VAULTRING_A_SHARE_PUBLIC_KEY];
	struct vr_answer answer;

	take_answer(tb, &answer);
	req->answer = answer.data;
	req->answer_len = answer.len;
	req->hash = answer.hash;
	if (tb[VAULTRING_A_SHARE_IDENTITY])
		return take_named(tb, req);
	if (req->method == VAULTRING_METHOD_SEALED)
		return tb[VAULTRING_A_SHARE_ANSWER];
	if (key) {
		req->public_key = nla_data(key);
		req->public_key_len = nla_len(key);
	}
	return key;
}

static int get_share(struct genl_info *info, const struct nlattr *attr,
		     struct vr_share_request *req)
{
	struct nlattr *tb[VAULTRING_A_SHARE_MAX + 1];
	const struct nlattr *key;
	int err;

	err = vr_netlink_get_nest(tb, VAULTRING_A_SHARE_MAX, attr,
				  vaultring_share_nl_policy, info);
	if (err)
		return err;
	if (!tb[VAULTRING_A_SHARE_METHOD] || !tb[VAULTRING_A_SHARE_VAULT] ||
	    nla_len(tb[VAULTRING_A_SHARE_VAULT]) < 2) {
		NL_SET_ERR_MSG_ATTR(info->extack, attr,
				    "a share needs method and vault");
		return -EINVAL;
	}
	memset(req, 0, sizeof(*req));
	req->method = nla_get_u32(tb[VAULTRING_A_SHARE_METHOD]);
	req->vault = nla_data(tb[VAULTRING_A_SHARE_VAULT]);
	key = take_key(tb, req);
	if (!key || nla_len(key) > VAULTRING_MAX_PUBLIC_KEY) {
		NL_SET_ERR_MSG_ATTR(info->extack, attr,
				    "a share needs a public-key; if it is sealed, an answer; or identity, challenge and answer");
		return -EINVAL;
	}
	return 0;
}

/* All shares of a message, at most VAULTRING_MAX_SHARES. */
int vr_netlink_get_shares(struct genl_info *info,
			  struct vr_share_request *reqs, unsigned int *count)
{
	const struct nlattr *attr = NULL;
	int err;

	*count = 0;
	while ((attr = next_of(info, attr, VAULTRING_A_SHARE))) {
		if (*count == VAULTRING_MAX_SHARES) {
			NL_SET_ERR_MSG_ATTR(info->extack, attr,
					    "more than 8 shares");
			return -EINVAL;
		}
		err = get_share(info, attr, &reqs[(*count)++]);
		if (err)
			return err;
	}
	return 0;
}

static int get_kek_pin(struct genl_info *info, const struct nlattr *attr,
		       struct vr_pins *pins)
{
	struct nlattr *tb[VAULTRING_A_KEK_PIN_MAX + 1];
	int err;

	err = vr_netlink_get_nest(tb, VAULTRING_A_KEK_PIN_MAX, attr,
				  vaultring_kek_pin_nl_policy, info);
	if (err)
		return err;
	if (!tb[VAULTRING_A_KEK_PIN_NAME] || !tb[VAULTRING_A_KEK_PIN_ID] ||
	    !vr_name_ok(nla_data(tb[VAULTRING_A_KEK_PIN_NAME]))) {
		NL_SET_ERR_MSG_ATTR(info->extack, attr,
				    "a pin of a KEK needs its name and its id");
		return -EINVAL;
	}
	vr_pins_add_kek(pins, nla_data(tb[VAULTRING_A_KEK_PIN_NAME]),
			nla_data(tb[VAULTRING_A_KEK_PIN_ID]));
	return 0;
}

/* All pins of a message. */
struct vr_pins *vr_netlink_get_pins(struct genl_info *info)
{
	const struct nlattr *attr = NULL;
	struct vr_pins *pins;
	int err;

	pins = vr_pins_alloc(count_of(info, VAULTRING_A_VAULT_PIN),
			     count_of(info, VAULTRING_A_KEK_PIN));
	if (!pins)
		return ERR_PTR(-ENOMEM);
	while ((attr = next_of(info, attr, VAULTRING_A_VAULT_PIN)))
		vr_pins_add_vault(pins, nla_data(attr));
	while ((attr = next_of(info, attr, VAULTRING_A_KEK_PIN))) {
		err = get_kek_pin(info, attr, pins);
		if (err) {
			vr_pins_free(pins);
			return ERR_PTR(err);
		}
	}
	return pins;
}
