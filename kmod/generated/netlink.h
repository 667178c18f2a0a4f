/* SPDX-License-Identifier: GPL-2.0-only */
/* Do not edit directly, auto-generated from: */
/*	uapi/vaultring.yaml */
/* YNL-GEN kernel header */

#ifndef _LINUX_VAULTRING_GEN_H
#define _LINUX_VAULTRING_GEN_H

#include <net/netlink.h>
#include <net/genetlink.h>

#include <linux/vaultring.h>

/* Common nested types */
extern const struct nla_policy vaultring_kek_pin_nl_policy[VAULTRING_A_KEK_PIN_ID + 1];
extern const struct nla_policy vaultring_share_nl_policy[VAULTRING_A_SHARE_IDENTITY + 1];

/* Global operation policy for vaultring */
extern const struct nla_policy vaultring_main_nl_policy[VAULTRING_A_KEPT_TRANSPORT + 1];

/* Ops table for vaultring */
extern const struct genl_small_ops vaultring_nl_ops[14];
extern const struct genl_multicast_group vaultring_nl_mcgrps[1];

int vaultring_nl_status_get_doit(struct sk_buff *skb, struct genl_info *info);
int vaultring_nl_attach_doit(struct sk_buff *skb, struct genl_info *info);
int vaultring_nl_kek_create_doit(struct sk_buff *skb, struct genl_info *info);
int vaultring_nl_unseal_start_doit(struct sk_buff *skb, struct genl_info *info);
int vaultring_nl_unseal_answer_doit(struct sk_buff *skb,
				    struct genl_info *info);
int vaultring_nl_request_fail_doit(struct sk_buff *skb, struct genl_info *info);
int vaultring_nl_kek_get_doit(struct sk_buff *skb, struct genl_info *info);
int vaultring_nl_kek_get_dumpit(struct sk_buff *skb,
				struct netlink_callback *cb);
int vaultring_nl_kek_revoke_doit(struct sk_buff *skb, struct genl_info *info);
int vaultring_nl_pins_set_doit(struct sk_buff *skb, struct genl_info *info);
int vaultring_nl_transport_get_doit(struct sk_buff *skb,
				    struct genl_info *info);
int vaultring_nl_sealed_fingerprint_doit(struct sk_buff *skb,
					 struct genl_info *info);
int vaultring_nl_reseal_start_doit(struct sk_buff *skb, struct genl_info *info);
int vaultring_nl_transport_save_doit(struct sk_buff *skb,
				     struct genl_info *info);
int vaultring_nl_transport_load_doit(struct sk_buff *skb,
				     struct genl_info *info);

enum {
	VAULTRING_NLGRP_EVENTS,
};

#endif /* _LINUX_VAULTRING_GEN_H */
