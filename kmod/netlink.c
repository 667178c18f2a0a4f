// SPDX-License-Identifier: GPL-2.0-only
/*
 * The generic netlink family "vaultring": handlers and messages, but for those
 * in netlink_transport.c
 *
 * uapi/vaultring.yaml defines it; policies and the table of operations are
 * generated.  Each operation needs CAP_NET_ADMIN in the initial user namespace,
 * and the family is there in the initial network namespace only.
 */

#include <linux/err.h>
#include <linux/slab.h>
#include <net/genetlink.h>

#include "generated/netlink.h"
#include "vr.h"

/*
 * Writing
 */

static int put_lease_left(struct sk_buff *msg, struct vr_kek *kek)
{
	u64 left = vr_lease_left(kek);

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

	err = vr_netlink_put_id(msg, kek) ?:
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

	msg = vr_reply_new(info, VAULTRING_CMD_STATUS_GET, NLMSG_DEFAULT_SIZE,
			   &head);
	if (!msg)
		return -ENOMEM;
	err = nla_put_string(msg, VAULTRING_A_MODULE_VERSION, VR_VERSION) ?:
	      nla_put_u32(msg, VAULTRING_A_KEKS, vr_kek_count()) ?:
	      nla_put_u32(msg, VAULTRING_A_UNSEALS, vr_unseal_count());
	if (!err && port)
		err = nla_put_u32(msg, VAULTRING_A_DAEMON_PORT, port);
	return vr_reply_send(msg, head, info, err);
}

int vaultring_nl_attach_doit(struct sk_buff *skb, struct genl_info *info)
{
	int err = vr_upcall_attach(info->snd_portid);

	if (err)
		NL_SET_ERR_MSG(info->extack, "another daemon is attached");
	return err;
}

static int kek_create(struct genl_info *info)
{
	struct vr_share_request reqs[VAULTRING_MAX_SHARES];
	unsigned int count;
	struct vr_envelope *env;
	struct vr_attrs attrs;
	struct sk_buff *msg;
	void *head;
	int err;

	err = vr_netlink_get_attrs(info, &attrs) ?:
	      vr_netlink_need(info, VAULTRING_A_SHARE) ?:
	      vr_netlink_get_shares(info, reqs, &count);
	if (err)
		return err;
	env = vr_envelope_make(&attrs,
			       vr_netlink_get_u32(info, VAULTRING_A_THRESHOLD, 1),
			       reqs, count, info->extack);
	if (IS_ERR(env)) {
		err = PTR_ERR(env);
		/* A vault that is not what it is taken for, or our daemon. */
		if (err == -EKEYREJECTED || err == -EACCES)
			vr_report_unseal("create", &attrs, err);
		return err;
	}

	msg = vr_reply_new(info, VAULTRING_CMD_KEK_CREATE,
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
	return vr_reply_send(msg, head, info, err);
}

int vaultring_nl_kek_create_doit(struct sk_buff *skb, struct genl_info *info)
{
	int err = kek_create(info);

	/* A clear share's secret may have come with it. */
	vr_netlink_wipe(info);
	return err;
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
	      nla_put(msg, VAULTRING_A_SHARE_CHALLENGE,
		      reply->share[i].challenge_len,
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

static int unseal_start(struct genl_info *info, u8 cmd, u64 request,
			const struct vr_reseal_request *reseal)
{
	struct nlattr *envelope = info->attrs[VAULTRING_A_ENVELOPE];
	struct vr_unseal_reply *reply;
	struct sk_buff *msg;
	void *head;
	int err;

	msg = vr_reply_new(info, cmd, NLMSG_DEFAULT_SIZE + VAULTRING_MAX_ENVELOPE,
			   &head);
	reply = kzalloc(sizeof(*reply), GFP_KERNEL);
	err = -ENOMEM;
	if (!msg || !reply)
		goto err_free;
	err = vr_unseal_start(nla_data(envelope), nla_len(envelope), request,
			      reseal,
			      vr_netlink_get_u32(info, VAULTRING_A_DEADLINE_MS, 0),
			      reply, info->extack);
	if (err)
		goto err_free;
	err = vr_reply_send(msg, head, info, put_unseal(msg, reply));
	kfree(reply);
	return err;

err_free:
	kfree(reply);
	nlmsg_free(msg);
	return err;
}

int vaultring_nl_unseal_start_doit(struct sk_buff *skb, struct genl_info *info)
{
	return vr_netlink_need(info, VAULTRING_A_ENVELOPE) ?:
	       unseal_start(info, VAULTRING_CMD_UNSEAL_START,
			    vr_netlink_get_u64(info, VAULTRING_A_REQUEST),
			    NULL);
}

static int reseal_start(struct sk_buff *skb, struct genl_info *info)
{
	struct vr_reseal_request reseal = {
		.threshold = vr_netlink_get_u32(info, VAULTRING_A_THRESHOLD, 0),
		.version = vr_netlink_get_u32(info, VAULTRING_A_VERSION, 0),
	};
	int err;

	/* Whom a KEK is for root says, and the daemon is not root. */
	if (!netlink_capable(skb, CAP_SYS_ADMIN)) {
		NL_SET_ERR_MSG(info->extack, "resealing is for root (CAP_SYS_ADMIN)");
		return -EPERM;
	}
	err = vr_netlink_need(info, VAULTRING_A_ENVELOPE) ?:
	      vr_netlink_need(info, VAULTRING_A_NAME) ?:
	      vr_netlink_need(info, VAULTRING_A_VERSION) ?:
	      vr_netlink_need(info, VAULTRING_A_SHARE) ?:
	      vr_netlink_get_shares(info, reseal.share, &reseal.count);
	if (err)
		return err;
	if (info->attrs[VAULTRING_A_THRESHOLD] && !reseal.threshold) {
		NL_SET_ERR_MSG(info->extack, "the threshold is 1 to the number of shares");
		return -EINVAL;
	}
	reseal.name = nla_data(info->attrs[VAULTRING_A_NAME]);
	return unseal_start(info, VAULTRING_CMD_RESEAL_START, 0, &reseal);
}

int vaultring_nl_reseal_start_doit(struct sk_buff *skb, struct genl_info *info)
{
	int err = reseal_start(skb, info);

	vr_netlink_wipe(info);
	return err;
}

static int put_result(struct sk_buff *msg, u64 unseal,
		      const struct vr_unseal_result *result)
{
	int err = 0;

	if (result->resealed)
		return nla_put(msg, VAULTRING_A_ENVELOPE,
			       result->resealed->len, result->resealed->bytes);
	if (result->kek)
		return vr_netlink_put_id(msg, result->kek) ?:
		       nla_put_u32(msg, VAULTRING_A_STATE,
				   kek_state(result->kek)) ?:
		       put_lease_left(msg, result->kek);
	if (result->goes_on)
		err = nla_put_u64_64bit(msg, VAULTRING_A_UNSEAL, unseal,
					VAULTRING_A_PAD);
	if (!err && result->error)
		err = nla_put_u32(msg, VAULTRING_A_ERROR, -result->error);
	return err;
}

static int unseal_answer(struct genl_info *info, const struct nlattr *share)
{
	u64 unseal = nla_get_u64(info->attrs[VAULTRING_A_UNSEAL]);
	u32 error = vr_netlink_get_u32(info, VAULTRING_A_ERROR, 0);
	struct vr_unseal_result result;
	struct vr_answer answer;
	struct sk_buff *msg;
	void *head;
	u32 index;
	int err;

	err = vr_netlink_get_answer(info, share, &index, &answer);
	if (err)
		return err;
	if (!index || !answer.data == !error || error > MAX_ERRNO) {
		NL_SET_ERR_MSG(info->extack, "give the share's index and an answer or an error");
		return -EINVAL;
	}
	msg = vr_reply_new(info, VAULTRING_CMD_UNSEAL_ANSWER,
			   NLMSG_DEFAULT_SIZE + VAULTRING_MAX_ENVELOPE, &head);
	if (!msg)
		return -ENOMEM;
	err = vr_unseal_answer(unseal, index, &answer, error, &result,
			       info->extack);
	if (err) {
		nlmsg_free(msg);
		return err;
	}
	err = put_result(msg, unseal, &result);
	vr_envelope_free(result.resealed);
	if (result.kek)
		vr_kek_put(result.kek);
	return vr_reply_send(msg, head, info, err);
}

int vaultring_nl_unseal_answer_doit(struct sk_buff *skb, struct genl_info *info)
{
	int err = vr_netlink_need(info, VAULTRING_A_UNSEAL) ?:
		  vr_netlink_need(info, VAULTRING_A_SHARE) ?:
		  unseal_answer(info, info->attrs[VAULTRING_A_SHARE]);

	vr_netlink_wipe(info);
	return err;
}

int vaultring_nl_request_fail_doit(struct sk_buff *skb, struct genl_info *info)
{
	u32 error = vr_netlink_get_u32(info, VAULTRING_A_ERROR, 0);
	int err;

	err = vr_netlink_need(info, VAULTRING_A_REQUEST) ?:
	      vr_netlink_need(info, VAULTRING_A_ERROR);
	if (err)
		return err;
	if (!error || error > MAX_ERRNO) {
		NL_SET_ERR_MSG(info->extack, "error is a positive errno");
		return -EINVAL;
	}
	if (vr_upcall_fail(vr_netlink_get_u64(info, VAULTRING_A_REQUEST), -(int)error))
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
	msg = vr_reply_new(info, VAULTRING_CMD_KEK_GET, NLMSG_DEFAULT_SIZE, &head);
	err = msg ? vr_reply_send(msg, head, info, put_kek(msg, kek)) : -ENOMEM;
	vr_kek_put(kek);
	return err;
}

/* cb->args[0]: the serial number of the last one, see vr_kek_get_next(). */
int vaultring_nl_kek_get_dumpit(struct sk_buff *skb,
				struct netlink_callback *cb)
{
	unsigned long serial = cb->args[0];
	struct vr_kek *kek;
	void *head;
	int err;

	while ((kek = vr_kek_get_next(&serial))) {
		head = genlmsg_put(skb, NETLINK_CB(cb->skb).portid,
				   cb->nlh->nlmsg_seq, &vr_genl_family, NLM_F_MULTI,
				   VAULTRING_CMD_KEK_GET);
		err = head ? put_kek(skb, kek) : -EMSGSIZE;
		vr_kek_put(kek);
		if (err) {
			if (head)
				genlmsg_cancel(skb, head);
			break;
		}
		genlmsg_end(skb, head);
		cb->args[0] = serial;
	}
	return skb->len;
}

static bool match_name(const struct vr_kek *kek, const void *name)
{
	return !strcmp(kek->attrs.name, name);
}

int vaultring_nl_kek_revoke_doit(struct sk_buff *skb, struct genl_info *info)
{
	struct nlattr *name = info->attrs[VAULTRING_A_NAME];
	struct vr_kek *kek = get_kek(info);
	struct sk_buff *msg;
	u32 transforms;
	void *head;

	if (IS_ERR(kek))
		return PTR_ERR(kek);
	msg = vr_reply_new(info, VAULTRING_CMD_KEK_REVOKE, NLMSG_DEFAULT_SIZE,
			   &head);
	/* By name there may be several versions. */
	transforms = name ? vr_kek_revoke(match_name, nla_data(name)) :
			    vr_kek_end(kek, VAULTRING_KEK_STATE_REVOKED);
	vr_kek_put(kek);
	if (!msg)
		return -ENOMEM;	/* but it is done */
	return vr_reply_send(msg, head, info,
			     nla_put_u32(msg, VAULTRING_A_TRANSFORMS,
					 transforms));
}

static bool match_unpinned(const struct vr_kek *kek, const void *arg)
{
	return vr_pins_check_kek(kek->attrs.name, kek->id, NULL);
}

int vaultring_nl_pins_set_doit(struct sk_buff *skb, struct genl_info *info)
{
	struct vr_pins *pins;

	/* The daemon has CAP_NET_ADMIN and must not choose what binds it. */
	if (!netlink_capable(skb, CAP_SYS_ADMIN)) {
		NL_SET_ERR_MSG(info->extack, "pins are set by root (CAP_SYS_ADMIN)");
		return -EPERM;
	}
	pins = vr_netlink_get_pins(info);
	if (IS_ERR(pins))
		return PTR_ERR(pins);
	vr_pins_install(pins);
	vr_kek_revoke(match_unpinned, NULL);
	return 0;
}

struct genl_family vr_genl_family __ro_after_init = {
	.name		= VAULTRING_FAMILY_NAME,
	.version	= VAULTRING_FAMILY_VERSION,
	.maxattr	= ARRAY_SIZE(vaultring_main_nl_policy) - 1,
	.policy		= vaultring_main_nl_policy,
	.netnsok	= false,
	.parallel_ops	= true,
	.pre_doit	= vr_netlink_pre_doit,
	.post_doit	= vr_netlink_post_doit,
	.module		= THIS_MODULE,
	.small_ops	= vaultring_nl_ops,
	.n_small_ops	= ARRAY_SIZE(vaultring_nl_ops),
	.mcgrps		= vaultring_nl_mcgrps,
	.n_mcgrps	= ARRAY_SIZE(vaultring_nl_mcgrps),
};

int vr_netlink_init(void)
{
	int err = genl_register_family(&vr_genl_family);

	vr_events_switch(!err);
	return err;
}

void vr_netlink_exit(void)
{
	vr_events_switch(false);
	genl_unregister_family(&vr_genl_family);
}
