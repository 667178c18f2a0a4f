// SPDX-License-Identifier: GPL-2.0-only
/*
 * The generic netlink family "vaultring": handlers and messages
 *
 * uapi/vaultring.yaml defines it; policies and the table of operations are
 * generated.  Each operation needs CAP_NET_ADMIN in the initial user namespace,
 * and the family is there in the initial network namespace only.
 */

#include <linux/bitmap.h>
#include <linux/err.h>
#include <linux/slab.h>
#include <net/genetlink.h>

#include "generated/netlink.h"
#include "vr.h"

static struct genl_family vr_family;

/* KEKs end, with an event, until the module is gone: later than the family. */
static DEFINE_MUTEX(vr_events_lock);
static bool vr_events_on;		/* vr_events_lock */

/*
 * Reading
 */

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

/* Before each operation: nothing may be said twice. */
static int vr_netlink_pre_doit(const vr_genl_op_t *op, struct sk_buff *skb,
			       struct genl_info *info)
{
	return check_repeats(nlmsg_attrdata(info->nlhdr, GENL_HDRLEN),
			     nlmsg_attrlen(info->nlhdr, GENL_HDRLEN), false,
			     info->extack);
}

static int need(struct genl_info *info, int type)
{
	if (!GENL_REQ_ATTR_CHECK(info, type))
		return 0;
	NL_SET_ERR_MSG(info->extack, "an attribute that this needs is missing");
	return -EINVAL;
}

static int parse_nested(struct nlattr **tb, int max, const struct nlattr *nest,
			const struct nla_policy *policy, struct genl_info *info)
{
	return nla_parse_nested(tb, max, nest, policy, info->extack) ?:
	       check_repeats(nla_data(nest), nla_len(nest), true,
			     info->extack);
}

static u32 get_u32(struct genl_info *info, int type, u32 otherwise)
{
	return info->attrs[type] ? nla_get_u32(info->attrs[type]) : otherwise;
}

static u64 get_u64(struct genl_info *info, int type)
{
	return info->attrs[type] ? nla_get_u64(info->attrs[type]) : 0;
}

/* Call @each for every attribute of that type on the message's top level. */
static int for_each_of(struct genl_info *info, int type,
		       int (*each)(const struct nlattr *attr,
				   struct genl_info *info, void *arg),
		       void *arg)
{
	const struct nlattr *attr;
	int rem, err;

	nla_for_each_attr(attr, nlmsg_attrdata(info->nlhdr, GENL_HDRLEN),
			  nlmsg_attrlen(info->nlhdr, GENL_HDRLEN), rem) {
		err = nla_type(attr) == type ? each(attr, info, arg) : 0;
		if (err)
			return err;
	}
	return 0;
}

static int add_uid(const struct nlattr *attr, struct genl_info *info, void *arg)
{
	struct vr_attrs *attrs = arg;

	if (attrs->uids == VAULTRING_MAX_SUBJECTS) {
		NL_SET_ERR_MSG_ATTR(info->extack, attr, "more than 8 users");
		return -EINVAL;
	}
	attrs->uid[attrs->uids++] = nla_get_u32(attr);
	return 0;
}

static int add_gid(const struct nlattr *attr, struct genl_info *info, void *arg)
{
	struct vr_attrs *attrs = arg;

	if (attrs->gids == VAULTRING_MAX_SUBJECTS) {
		NL_SET_ERR_MSG_ATTR(info->extack, attr, "more than 8 groups");
		return -EINVAL;
	}
	attrs->gid[attrs->gids++] = nla_get_u32(attr);
	return 0;
}

static int get_attrs(struct genl_info *info, struct vr_attrs *attrs)
{
	int err;

	memset(attrs, 0, sizeof(*attrs));
	err = need(info, VAULTRING_A_NAME) ?:
	      for_each_of(info, VAULTRING_A_UID, add_uid, attrs) ?:
	      for_each_of(info, VAULTRING_A_GID, add_gid, attrs);
	if (err)
		return err;
	nla_strscpy(attrs->name, info->attrs[VAULTRING_A_NAME],
		    sizeof(attrs->name));
	if (!vr_name_ok(attrs->name)) {
		NL_SET_ERR_MSG(info->extack, "a KEK's name is 1 to 63 of A-Z a-z 0-9 . _ - and begins with none of . -");
		return -EINVAL;
	}
	attrs->version = get_u32(info, VAULTRING_A_VERSION, 1);
	attrs->uses = get_u32(info, VAULTRING_A_USES, VR_USES_ALL);
	attrs->not_before = get_u64(info, VAULTRING_A_NOT_BEFORE);
	attrs->not_after = get_u64(info, VAULTRING_A_NOT_AFTER);
	attrs->lease = get_u32(info, VAULTRING_A_LEASE, 0);
	attrs->lease_end = get_u32(info, VAULTRING_A_LEASE_END,
				   VAULTRING_LEASE_END_KEEP);
	if (!attrs->version || !attrs->uses || (attrs->uses & ~VR_USES_ALL) ||
	    (attrs->not_after && attrs->not_after <= attrs->not_before)) {
		NL_SET_ERR_MSG(info->extack, "version, uses or dates make no sense");
		return -EINVAL;
	}
	return 0;
}

struct share_list {
	unsigned int count;
	struct vr_share_request req[VAULTRING_MAX_SHARES];
};

static int add_share(const struct nlattr *attr, struct genl_info *info,
		     void *arg)
{
	struct nlattr *tb[VAULTRING_A_SHARE_MAX + 1];
	struct share_list *list = arg;
	struct vr_share_request *req = &list->req[list->count];
	int err;

	if (list->count == VAULTRING_MAX_SHARES) {
		NL_SET_ERR_MSG_ATTR(info->extack, attr, "more than 8 shares");
		return -EINVAL;
	}
	err = parse_nested(tb, VAULTRING_A_SHARE_MAX, attr,
			   vaultring_share_nl_policy, info);
	if (err)
		return err;
	if (!tb[VAULTRING_A_SHARE_METHOD] || !tb[VAULTRING_A_SHARE_VAULT] ||
	    !tb[VAULTRING_A_SHARE_PUBLIC_KEY] ||
	    nla_len(tb[VAULTRING_A_SHARE_VAULT]) < 2 ||
	    nla_len(tb[VAULTRING_A_SHARE_PUBLIC_KEY]) >
	    VAULTRING_MAX_PUBLIC_KEY) {
		NL_SET_ERR_MSG_ATTR(info->extack, attr, "a share needs method, vault and public-key (1024 bytes at most)");
		return -EINVAL;
	}
	req->method = nla_get_u32(tb[VAULTRING_A_SHARE_METHOD]);
	req->vault = nla_data(tb[VAULTRING_A_SHARE_VAULT]);
	req->public_key = nla_data(tb[VAULTRING_A_SHARE_PUBLIC_KEY]);
	req->public_key_len = nla_len(tb[VAULTRING_A_SHARE_PUBLIC_KEY]);
	list->count++;
	return 0;
}

/*
 * Writing
 */

static struct sk_buff *reply_new(struct genl_info *info, u8 cmd, size_t size,
				 void **head)
{
	struct sk_buff *msg = genlmsg_new(size, GFP_KERNEL);

	if (!msg)
		return NULL;
	*head = genlmsg_put_reply(msg, info, &vr_family, 0, cmd);
	if (!*head) {
		nlmsg_free(msg);
		return NULL;
	}
	return msg;
}

/* @err: of filling @msg in.  Takes over @msg. */
static int reply_send(struct sk_buff *msg, void *head, struct genl_info *info,
		      int err)
{
	if (err) {
		nlmsg_free(msg);
		return err;
	}
	genlmsg_end(msg, head);
	return genlmsg_reply(msg, info);
}

static int put_id(struct sk_buff *msg, const struct vr_kek *kek)
{
	return nla_put_string(msg, VAULTRING_A_NAME, kek->attrs.name) ?:
	       nla_put_u32(msg, VAULTRING_A_VERSION, kek->attrs.version) ?:
	       nla_put(msg, VAULTRING_A_ID, sizeof(kek->id), kek->id);
}

static int put_lease_left(struct sk_buff *msg, struct vr_kek *kek)
{
	u64 left = vr_kek_lease_left(kek);

	return left == U64_MAX ? 0 :
	       nla_put_u64_64bit(msg, VAULTRING_A_LEASE_LEFT, left,
				 VAULTRING_A_PAD);
}

static u32 kek_state(struct vr_kek *kek)
{
	switch (vr_kek_check(kek)) {
	case 0:
		return VAULTRING_KEK_STATE_ACTIVE;
	case -EKEYEXPIRED:
		return VAULTRING_KEK_STATE_EXPIRED;
	default:
		return VAULTRING_KEK_STATE_REVOKED;
	}
}

static int put_kek(struct sk_buff *msg, struct vr_kek *kek)
{
	const struct vr_attrs *attrs = &kek->attrs;
	unsigned int i;
	int err;

	err = put_id(msg, kek) ?:
	      nla_put_u32(msg, VAULTRING_A_STATE, kek_state(kek)) ?:
	      nla_put_u32(msg, VAULTRING_A_USES, attrs->uses) ?:
	      nla_put_u64_64bit(msg, VAULTRING_A_NOT_BEFORE, attrs->not_before,
				VAULTRING_A_PAD) ?:
	      nla_put_u64_64bit(msg, VAULTRING_A_NOT_AFTER, attrs->not_after,
				VAULTRING_A_PAD) ?:
	      nla_put_u32(msg, VAULTRING_A_LEASE, attrs->lease) ?:
	      nla_put_u32(msg, VAULTRING_A_LEASE_END, attrs->lease_end) ?:
	      nla_put_u32(msg, VAULTRING_A_TRANSFORMS,
			  READ_ONCE(kek->live_count)) ?:
	      put_lease_left(msg, kek);
	for (i = 0; !err && i < attrs->uids; i++)
		err = nla_put_u32(msg, VAULTRING_A_UID, attrs->uid[i]);
	for (i = 0; !err && i < attrs->gids; i++)
		err = nla_put_u32(msg, VAULTRING_A_GID, attrs->gid[i]);
	return err;
}

/*
 * Operations, in the order of the specification
 */

int vaultring_nl_status_get_doit(struct sk_buff *skb, struct genl_info *info)
{
	u32 port = vr_upcall_daemon();
	struct sk_buff *msg;
	void *head;
	int err;

	msg = reply_new(info, VAULTRING_CMD_STATUS_GET, NLMSG_DEFAULT_SIZE,
			&head);
	if (!msg)
		return -ENOMEM;
	err = nla_put_string(msg, VAULTRING_A_MODULE_VERSION, VR_VERSION) ?:
	      nla_put_u32(msg, VAULTRING_A_KEKS, vr_kek_count()) ?:
	      nla_put_u32(msg, VAULTRING_A_UNSEALS, vr_unseal_count());
	if (!err && port)
		err = nla_put_u32(msg, VAULTRING_A_DAEMON_PORT, port);
	return reply_send(msg, head, info, err);
}

int vaultring_nl_attach_doit(struct sk_buff *skb, struct genl_info *info)
{
	int err = vr_upcall_attach(info->snd_portid);

	if (err)
		NL_SET_ERR_MSG(info->extack, "another daemon is attached");
	return err;
}

int vaultring_nl_kek_create_doit(struct sk_buff *skb, struct genl_info *info)
{
	struct share_list shares = {};
	struct vr_envelope *env;
	struct vr_attrs attrs;
	struct sk_buff *msg;
	void *head;
	int err;

	err = get_attrs(info, &attrs) ?:
	      need(info, VAULTRING_A_SHARE) ?:
	      for_each_of(info, VAULTRING_A_SHARE, add_share, &shares);
	if (err)
		return err;
	env = vr_envelope_create(&attrs,
				 get_u32(info, VAULTRING_A_THRESHOLD, 1),
				 shares.req, shares.count, info->extack);
	if (IS_ERR(env))
		return PTR_ERR(env);

	msg = reply_new(info, VAULTRING_CMD_KEK_CREATE,
			nla_total_size(env->len) +
			nla_total_size(VAULTRING_ID_SIZE), &head);
	if (!msg) {
		vr_envelope_free(env);
		return -ENOMEM;
	}
	err = nla_put(msg, VAULTRING_A_ENVELOPE, env->len, env->bytes) ?:
	      nla_put(msg, VAULTRING_A_ID, VAULTRING_ID_SIZE,
		      vr_envelope_head(env)->id);
	vr_envelope_free(env);
	return reply_send(msg, head, info, err);
}

static int put_challenge(struct sk_buff *msg,
			 const struct vr_unseal_reply *reply, unsigned int i)
{
	struct nlattr *nest = nla_nest_start(msg, VAULTRING_A_SHARE);
	int err;

	if (!nest)
		return -EMSGSIZE;
	err = nla_put_u32(msg, VAULTRING_A_SHARE_INDEX,
			  reply->share[i].index) ?:
	      nla_put_u32(msg, VAULTRING_A_SHARE_METHOD,
			  reply->share[i].method) ?:
	      nla_put_string(msg, VAULTRING_A_SHARE_VAULT,
			     reply->share[i].vault) ?:
	      nla_put(msg, VAULTRING_A_SHARE_FINGERPRINT,
		      VAULTRING_FINGERPRINT_SIZE,
		      reply->share[i].fingerprint) ?:
	      nla_put(msg, VAULTRING_A_SHARE_CHALLENGE, VR_POINT_SIZE,
		      reply->share[i].challenge);
	nla_nest_end(msg, nest);
	return err;
}

static int put_unseal(struct sk_buff *msg, const struct vr_unseal_reply *reply)
{
	unsigned int i;
	int err;

	err = nla_put_u64_64bit(msg, VAULTRING_A_UNSEAL, reply->id,
				VAULTRING_A_PAD) ?:
	      nla_put_string(msg, VAULTRING_A_NAME, reply->attrs.name) ?:
	      nla_put_u32(msg, VAULTRING_A_VERSION, reply->attrs.version) ?:
	      nla_put_u32(msg, VAULTRING_A_DEADLINE_MS, reply->deadline_ms);
	for (i = 0; !err && i < reply->count; i++)
		err = put_challenge(msg, reply, i);
	return err;
}

int vaultring_nl_unseal_start_doit(struct sk_buff *skb, struct genl_info *info)
{
	struct nlattr *envelope = info->attrs[VAULTRING_A_ENVELOPE];
	struct vr_unseal_reply *reply;
	struct sk_buff *msg;
	void *head;
	int err;

	err = need(info, VAULTRING_A_ENVELOPE);
	if (err)
		return err;
	msg = reply_new(info, VAULTRING_CMD_UNSEAL_START, NLMSG_DEFAULT_SIZE,
			&head);
	reply = kzalloc(sizeof(*reply), GFP_KERNEL);
	err = -ENOMEM;
	if (!msg || !reply)
		goto err_free;
	err = vr_unseal_start(nla_data(envelope), nla_len(envelope),
			      get_u64(info, VAULTRING_A_REQUEST),
			      get_u32(info, VAULTRING_A_DEADLINE_MS, 0),
			      reply, info->extack);
	if (err)
		goto err_free;
	err = reply_send(msg, head, info, put_unseal(msg, reply));
	kfree(reply);
	return err;

err_free:
	kfree(reply);
	nlmsg_free(msg);
	return err;
}

static int unseal_answer(struct genl_info *info, const struct nlattr *share,
			 struct nlattr **answer)
{
	struct nlattr *tb[VAULTRING_A_SHARE_MAX + 1];
	u32 error = get_u32(info, VAULTRING_A_ERROR, 0);
	struct sk_buff *msg;
	struct vr_kek *kek;
	void *head;
	int err;

	err = parse_nested(tb, VAULTRING_A_SHARE_MAX, share,
			   vaultring_share_nl_policy, info);
	if (err)
		return err;
	*answer = tb[VAULTRING_A_SHARE_ANSWER];
	if (!tb[VAULTRING_A_SHARE_INDEX] || !*answer == !error ||
	    error > MAX_ERRNO) {
		NL_SET_ERR_MSG(info->extack, "give a share's index and either an answer or an error");
		return -EINVAL;
	}
	msg = reply_new(info, VAULTRING_CMD_UNSEAL_ANSWER, NLMSG_DEFAULT_SIZE,
			&head);
	if (!msg)
		return -ENOMEM;
	kek = vr_unseal_answer(nla_get_u64(info->attrs[VAULTRING_A_UNSEAL]),
			       nla_get_u32(tb[VAULTRING_A_SHARE_INDEX]),
			       *answer ? nla_data(*answer) : NULL,
			       *answer ? nla_len(*answer) : 0, error,
			       info->extack);
	if (IS_ERR(kek)) {
		nlmsg_free(msg);
		/* The daemon's own report of an error has been taken. */
		return error && PTR_ERR(kek) != -ENOENT ? 0 : PTR_ERR(kek);
	}
	err = put_id(msg, kek) ?:
	      nla_put_u32(msg, VAULTRING_A_STATE, kek_state(kek)) ?:
	      put_lease_left(msg, kek);
	vr_kek_put(kek);
	return reply_send(msg, head, info, err);
}

int vaultring_nl_unseal_answer_doit(struct sk_buff *skb, struct genl_info *info)
{
	struct nlattr *answer = NULL;
	int err;

	err = need(info, VAULTRING_A_UNSEAL) ?:
	      need(info, VAULTRING_A_SHARE) ?:
	      unseal_answer(info, info->attrs[VAULTRING_A_SHARE], &answer);
	/* The skb outlives us and what a vault says is nobody's business. */
	if (answer)
		memzero_explicit(nla_data(answer), nla_len(answer));
	return err;
}

int vaultring_nl_request_fail_doit(struct sk_buff *skb, struct genl_info *info)
{
	u32 error = get_u32(info, VAULTRING_A_ERROR, 0);
	int err;

	err = need(info, VAULTRING_A_REQUEST) ?:
	      need(info, VAULTRING_A_ERROR);
	if (err)
		return err;
	if (!error || error > MAX_ERRNO) {
		NL_SET_ERR_MSG(info->extack, "error is a positive errno");
		return -EINVAL;
	}
	if (vr_upcall_fail(get_u64(info, VAULTRING_A_REQUEST), -(int)error))
		return 0;
	NL_SET_ERR_MSG(info->extack, "no such request waits");
	return -ENOENT;
}

/* The KEK that a message means, by id or the newest of that name. */
static struct vr_kek *find_kek(struct genl_info *info)
{
	const struct nlattr *id = info->attrs[VAULTRING_A_ID];

	return id ? vr_kek_get_id(nla_data(id)) :
		    vr_kek_get_name(nla_data(info->attrs[VAULTRING_A_NAME]));
}

static struct vr_kek *get_kek(struct genl_info *info)
{
	struct vr_kek *kek;

	if (!info->attrs[VAULTRING_A_NAME] == !info->attrs[VAULTRING_A_ID]) {
		NL_SET_ERR_MSG(info->extack, "give either name or id");
		return ERR_PTR(-EINVAL);
	}
	kek = find_kek(info);
	if (kek)
		return kek;
	NL_SET_ERR_MSG(info->extack, "no such KEK is held");
	return ERR_PTR(-ENOKEY);
}

int vaultring_nl_kek_get_doit(struct sk_buff *skb, struct genl_info *info)
{
	struct vr_kek *kek = get_kek(info);
	struct sk_buff *msg;
	void *head;
	int err;

	if (IS_ERR(kek))
		return PTR_ERR(kek);
	msg = reply_new(info, VAULTRING_CMD_KEK_GET, NLMSG_DEFAULT_SIZE, &head);
	err = msg ? reply_send(msg, head, info, put_kek(msg, kek)) : -ENOMEM;
	vr_kek_put(kek);
	return err;
}

/* cb->args: the place in the registry, see vr_kek_get_nth(). */
int vaultring_nl_kek_get_dumpit(struct sk_buff *skb,
				struct netlink_callback *cb)
{
	unsigned int bucket = cb->args[0], skip = cb->args[1];
	struct vr_kek *kek;
	void *head;
	int err;

	while ((kek = vr_kek_get_nth(&bucket, &skip))) {
		head = genlmsg_put(skb, NETLINK_CB(cb->skb).portid,
				   cb->nlh->nlmsg_seq, &vr_family, NLM_F_MULTI,
				   VAULTRING_CMD_KEK_GET);
		err = head ? put_kek(skb, kek) : -EMSGSIZE;
		vr_kek_put(kek);
		if (err) {
			if (head)
				genlmsg_cancel(skb, head);
			break;
		}
		genlmsg_end(skb, head);
		cb->args[0] = bucket;
		cb->args[1] = skip;
	}
	return skb->len;
}

int vaultring_nl_kek_revoke_doit(struct sk_buff *skb, struct genl_info *info)
{
	struct vr_kek *kek = get_kek(info);
	u32 transforms = 0;
	struct sk_buff *msg;
	void *head;

	if (IS_ERR(kek))
		return PTR_ERR(kek);
	msg = reply_new(info, VAULTRING_CMD_KEK_REVOKE, NLMSG_DEFAULT_SIZE,
			&head);
	/* By name there may be several versions. */
	for (; kek; kek = find_kek(info)) {
		transforms += vr_kek_end(kek, VAULTRING_KEK_STATE_REVOKED);
		vr_kek_put(kek);
	}
	if (!msg)
		return -ENOMEM;	/* but it is done */
	return reply_send(msg, head, info,
			  nla_put_u32(msg, VAULTRING_A_TRANSFORMS, transforms));
}

static int count_one(const struct nlattr *attr, struct genl_info *info,
		     void *arg)
{
	++*(unsigned int *)arg;
	return 0;
}

static int add_vault_pin(const struct nlattr *attr, struct genl_info *info,
			 void *arg)
{
	vr_pins_add_vault(arg, nla_data(attr));
	return 0;
}

static int add_kek_pin(const struct nlattr *attr, struct genl_info *info,
		       void *arg)
{
	struct nlattr *tb[VAULTRING_A_KEK_PIN_MAX + 1];
	int err;

	err = parse_nested(tb, VAULTRING_A_KEK_PIN_MAX, attr,
			   vaultring_kek_pin_nl_policy, info);
	if (err)
		return err;
	if (!tb[VAULTRING_A_KEK_PIN_NAME] || !tb[VAULTRING_A_KEK_PIN_ID] ||
	    !vr_name_ok(nla_data(tb[VAULTRING_A_KEK_PIN_NAME]))) {
		NL_SET_ERR_MSG_ATTR(info->extack, attr, "a pin of a KEK needs its name and its id");
		return -EINVAL;
	}
	vr_pins_add_kek(arg, nla_data(tb[VAULTRING_A_KEK_PIN_NAME]),
			nla_data(tb[VAULTRING_A_KEK_PIN_ID]));
	return 0;
}

int vaultring_nl_pins_set_doit(struct sk_buff *skb, struct genl_info *info)
{
	unsigned int vaults = 0, keks = 0;
	struct vr_pins *pins;
	int err;

	/* The daemon has CAP_NET_ADMIN and must not choose what it is held to. */
	if (!netlink_capable(skb, CAP_SYS_ADMIN)) {
		NL_SET_ERR_MSG(info->extack, "pins are set by root (CAP_SYS_ADMIN)");
		return -EPERM;
	}
	for_each_of(info, VAULTRING_A_VAULT_PIN, count_one, &vaults);
	for_each_of(info, VAULTRING_A_KEK_PIN, count_one, &keks);
	pins = vr_pins_alloc(vaults, keks);
	if (!pins)
		return -ENOMEM;
	err = for_each_of(info, VAULTRING_A_VAULT_PIN, add_vault_pin, pins) ?:
	      for_each_of(info, VAULTRING_A_KEK_PIN, add_kek_pin, pins);
	if (err) {
		vr_pins_free(pins);
		return err;
	}
	vr_pins_install(pins);
	return 0;
}

/*
 * Messages of our own
 */

/* Never blocks: -EAGAIN if the daemon does not read. */
int vr_netlink_send_request(u32 portid, const struct vr_upcall_info *info)
{
	struct sk_buff *msg = genlmsg_new(NLMSG_DEFAULT_SIZE, GFP_NOIO);
	void *head;
	int err;

	if (!msg)
		return -ENOMEM;
	head = genlmsg_put(msg, 0, 0, &vr_family, 0, VAULTRING_CMD_KEK_REQUEST);
	err = !head ? -EMSGSIZE :
	      nla_put_u64_64bit(msg, VAULTRING_A_REQUEST, info->request,
				VAULTRING_A_PAD) ?:
	      (info->name ?
	       nla_put_string(msg, VAULTRING_A_NAME, info->name) :
	       nla_put(msg, VAULTRING_A_ID, VAULTRING_ID_SIZE, info->id)) ?:
	      nla_put_u32(msg, VAULTRING_A_UID_ASKING, info->uid) ?:
	      nla_put_u32(msg, VAULTRING_A_GID_ASKING, info->gid) ?:
	      nla_put_u32(msg, VAULTRING_A_PID, info->pid) ?:
	      nla_put_string(msg, VAULTRING_A_COMM, info->comm) ?:
	      nla_put_u32(msg, VAULTRING_A_DEADLINE_MS, info->deadline_ms);
	if (err) {
		nlmsg_free(msg);
		return err;
	}
	genlmsg_end(msg, head);
	return genlmsg_unicast(&init_net, msg, portid);
}

static struct sk_buff *event_new(u8 cmd, void **head)
{
	struct sk_buff *msg = genlmsg_new(NLMSG_DEFAULT_SIZE, GFP_NOIO);

	if (!msg)
		return NULL;
	*head = genlmsg_put(msg, 0, 0, &vr_family, 0, cmd);
	if (!*head) {
		nlmsg_free(msg);
		return NULL;
	}
	return msg;
}

static void event_send(struct sk_buff *msg, void *head, int err)
{
	if (err) {
		nlmsg_free(msg);
		return;
	}
	genlmsg_end(msg, head);
	mutex_lock(&vr_events_lock);
	if (vr_events_on)
		genlmsg_multicast(&vr_family, msg, 0, VAULTRING_NLGRP_EVENTS,
				  GFP_NOIO);
	else
		nlmsg_free(msg);
	mutex_unlock(&vr_events_lock);
}

void vr_netlink_kek_event(const struct vr_kek *kek,
			  enum vaultring_kek_state state)
{
	struct sk_buff *msg;
	void *head;

	msg = event_new(VAULTRING_CMD_KEK_EVENT, &head);
	if (msg)
		event_send(msg, head, put_id(msg, kek) ?:
			   nla_put_u32(msg, VAULTRING_A_STATE, state));
}

void vr_netlink_refused_event(const struct vr_attrs *attrs, int error)
{
	struct sk_buff *msg;
	void *head;

	msg = event_new(VAULTRING_CMD_REFUSED_EVENT, &head);
	if (msg)
		event_send(msg, head,
			   nla_put_string(msg, VAULTRING_A_NAME, attrs->name) ?:
			   nla_put_u32(msg, VAULTRING_A_VERSION,
				       attrs->version) ?:
			   nla_put_u32(msg, VAULTRING_A_ERROR, error));
}

static struct genl_family vr_family __ro_after_init = {
	.name		= VAULTRING_FAMILY_NAME,
	.version	= VAULTRING_FAMILY_VERSION,
	.maxattr	= ARRAY_SIZE(vaultring_main_nl_policy) - 1,
	.policy		= vaultring_main_nl_policy,
	.netnsok	= false,
	.parallel_ops	= true,
	.pre_doit	= vr_netlink_pre_doit,
	.module		= THIS_MODULE,
	.small_ops	= vaultring_nl_ops,
	.n_small_ops	= ARRAY_SIZE(vaultring_nl_ops),
	.resv_start_op	= VAULTRING_CMD_MAX + 1,
	.mcgrps		= vaultring_nl_mcgrps,
	.n_mcgrps	= ARRAY_SIZE(vaultring_nl_mcgrps),
};

static void events_switch(bool on)
{
	mutex_lock(&vr_events_lock);
	vr_events_on = on;
	mutex_unlock(&vr_events_lock);
}

int vr_netlink_init(void)
{
	int err = genl_register_family(&vr_family);

	events_switch(!err);
	return err;
}

void vr_netlink_exit(void)
{
	events_switch(false);
	genl_unregister_family(&vr_family);
}
