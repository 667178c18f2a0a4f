// SPDX-License-Identifier: GPL-2.0-only
/*
 * The operations about the transport key and what vaults release for it; see
 * netlink.c
 */

#include <linux/err.h>
#include <linux/slab.h>
#include <net/genetlink.h>

#include "generated/netlink.h"
#include "vr.h"

int vaultring_nl_transport_get_doit(struct sk_buff *skb, struct genl_info *info)
{
	u8 spki[VR_TRANSPORT_SPKI_SIZE];
	struct sk_buff *msg;
	void *head;
	int err;

	err = vr_transport_spki(spki);
	if (err) {
		NL_SET_ERR_MSG(info->extack, "the transport key is being made; ask again");
		return err;
	}
	msg = vr_reply_new(info, VAULTRING_CMD_TRANSPORT_GET,
			   NLMSG_DEFAULT_SIZE, &head);
	if (!msg)
		return -ENOMEM;
	return vr_reply_send(msg, head, info,
			     nla_put(msg, VAULTRING_A_TRANSPORT_KEY,
				     sizeof(spki), spki));
}

static int put_fingerprint(struct sk_buff *msg, const u8 *fingerprint)
{
	struct nlattr *nest = nla_nest_start(msg, VAULTRING_A_SHARE);
	int err;

	if (!nest)
		return -EMSGSIZE;
	err = nla_put(msg, VAULTRING_A_SHARE_FINGERPRINT,
		      VAULTRING_FINGERPRINT_SIZE, fingerprint);
	nla_nest_end(msg, nest);
	return err;
}

int vaultring_nl_sealed_fingerprint_doit(struct sk_buff *skb,
					 struct genl_info *info)
{
	struct vr_share_request req = { .method = VAULTRING_METHOD_SEALED };
	u8 fingerprint[VAULTRING_FINGERPRINT_SIZE];
	struct vr_answer answer;
	struct sk_buff *msg;
	void *head;
	u32 index;
	int err;

	/* What is to be pinned is for who pins. */
	if (!netlink_capable(skb, CAP_SYS_ADMIN)) {
		NL_SET_ERR_MSG(info->extack, "fingerprints are for root (CAP_SYS_ADMIN)");
		return -EPERM;
	}
	err = vr_netlink_need(info, VAULTRING_A_SHARE) ?:
	      vr_netlink_get_answer(info, info->attrs[VAULTRING_A_SHARE],
				    &index, &answer);
	if (err)
		return err;
	req.answer = answer.data;
	req.answer_len = answer.len;
	req.hash = answer.hash;
	err = vr_share_fingerprint(&req, fingerprint, info->extack);
	if (err)
		return err;
	msg = vr_reply_new(info, VAULTRING_CMD_SEALED_FINGERPRINT,
			   NLMSG_DEFAULT_SIZE, &head);
	if (!msg)
		return -ENOMEM;
	return vr_reply_send(msg, head, info,
			     put_fingerprint(msg, fingerprint));
}

/* What vaults release secrets for is root's to say, like what is pinned. */
static int need_sys_admin(struct sk_buff *skb, struct genl_info *info)
{
	if (netlink_capable(skb, CAP_SYS_ADMIN))
		return 0;
	NL_SET_ERR_MSG(info->extack, "keeping the transport key is for root (CAP_SYS_ADMIN)");
	return -EPERM;
}

int vaultring_nl_transport_save_doit(struct sk_buff *skb,
				     struct genl_info *info)
{
	struct vaultring_transport *kept;
	struct sk_buff *msg;
	void *head;
	int err;

	err = need_sys_admin(skb, info) ?:
	      vr_netlink_need(info, VAULTRING_A_ID);
	if (err)
		return err;
	kept = vr_transport_save(nla_data(info->attrs[VAULTRING_A_ID]),
				 info->extack);
	if (IS_ERR(kept))
		return PTR_ERR(kept);
	err = -ENOMEM;
	msg = vr_reply_new(info, VAULTRING_CMD_TRANSPORT_SAVE,
			   NLMSG_DEFAULT_SIZE, &head);
	if (msg)
		err = vr_reply_send(msg, head, info,
				    nla_put(msg, VAULTRING_A_KEPT_TRANSPORT,
					    sizeof(*kept), kept));
	kfree(kept);
	return err;
}

int vaultring_nl_transport_load_doit(struct sk_buff *skb,
				     struct genl_info *info)
{
	struct nlattr *kept = info->attrs[VAULTRING_A_KEPT_TRANSPORT];

	return need_sys_admin(skb, info) ?:
	       vr_netlink_need(info, VAULTRING_A_KEPT_TRANSPORT) ?:
	       vr_transport_load(nla_data(kept), nla_len(kept), info->extack);
}

