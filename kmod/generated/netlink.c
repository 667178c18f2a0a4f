// SPDX-License-Identifier: GPL-2.0-only
/* Do not edit directly, auto-generated from: */
/*	uapi/vaultring.yaml */
/* YNL-GEN kernel source */

#include <net/netlink.h>
#include <net/genetlink.h>

#include "netlink.h"

#include <linux/vaultring.h>

/* Common nested types */
const struct nla_policy vaultring_kek_pin_nl_policy[VAULTRING_A_KEK_PIN_ID + 1] = {
	[VAULTRING_A_KEK_PIN_NAME] = { .type = NLA_NUL_STRING, .len = VAULTRING_MAX_NAME, },
	[VAULTRING_A_KEK_PIN_ID] = NLA_POLICY_EXACT_LEN(VAULTRING_ID_SIZE),
};

const struct nla_policy vaultring_share_nl_policy[VAULTRING_A_SHARE_IDENTITY + 1] = {
	[VAULTRING_A_SHARE_INDEX] = { .type = NLA_U32, },
	[VAULTRING_A_SHARE_METHOD] = NLA_POLICY_RANGE(NLA_U32, 1, 3),
	[VAULTRING_A_SHARE_VAULT] = { .type = NLA_NUL_STRING, .len = VAULTRING_MAX_VAULT, },
	[VAULTRING_A_SHARE_PUBLIC_KEY] = { .type = NLA_BINARY, },
	[VAULTRING_A_SHARE_CHALLENGE] = { .type = NLA_BINARY, },
	[VAULTRING_A_SHARE_ANSWER] = { .type = NLA_BINARY, },
	[VAULTRING_A_SHARE_FINGERPRINT] = NLA_POLICY_EXACT_LEN(VAULTRING_FINGERPRINT_SIZE),
	[VAULTRING_A_SHARE_HASH] = NLA_POLICY_RANGE(NLA_U32, 1, 2),
	[VAULTRING_A_SHARE_IDENTITY] = { .type = NLA_NUL_STRING, .len = VAULTRING_MAX_IDENTITY, },
};

/* Global operation policy for vaultring */
const struct nla_policy vaultring_main_nl_policy[VAULTRING_A_KEPT_TRANSPORT + 1] = {
	[VAULTRING_A_NAME] = { .type = NLA_NUL_STRING, .len = VAULTRING_MAX_NAME, },
	[VAULTRING_A_VERSION] = { .type = NLA_U32, },
	[VAULTRING_A_ID] = NLA_POLICY_EXACT_LEN(VAULTRING_ID_SIZE),
	[VAULTRING_A_USES] = { .type = NLA_U32, },
	[VAULTRING_A_UID] = { .type = NLA_U32, },
	[VAULTRING_A_GID] = { .type = NLA_U32, },
	[VAULTRING_A_NOT_BEFORE] = { .type = NLA_U64, },
	[VAULTRING_A_NOT_AFTER] = { .type = NLA_U64, },
	[VAULTRING_A_LEASE] = { .type = NLA_U32, },
	[VAULTRING_A_LEASE_END] = NLA_POLICY_MAX(NLA_U32, 1),
	[VAULTRING_A_THRESHOLD] = { .type = NLA_U32, },
	[VAULTRING_A_SHARE] = NLA_POLICY_NESTED(vaultring_share_nl_policy),
	[VAULTRING_A_ENVELOPE] = { .type = NLA_BINARY, },
	[VAULTRING_A_REQUEST] = { .type = NLA_U64, },
	[VAULTRING_A_UNSEAL] = { .type = NLA_U64, },
	[VAULTRING_A_DEADLINE_MS] = { .type = NLA_U32, },
	[VAULTRING_A_ERROR] = { .type = NLA_U32, },
	[VAULTRING_A_KEK_PIN] = NLA_POLICY_NESTED(vaultring_kek_pin_nl_policy),
	[VAULTRING_A_VAULT_PIN] = NLA_POLICY_EXACT_LEN(VAULTRING_FINGERPRINT_SIZE),
	[VAULTRING_A_KEPT_TRANSPORT] = { .type = NLA_BINARY, },
};

/* Ops table for vaultring */
const struct genl_small_ops vaultring_nl_ops[14] = {
	{
		.cmd	= VAULTRING_CMD_STATUS_GET,
		.doit	= vaultring_nl_status_get_doit,
		.flags	= GENL_ADMIN_PERM,
	},
	{
		.cmd	= VAULTRING_CMD_ATTACH,
		.doit	= vaultring_nl_attach_doit,
		.flags	= GENL_ADMIN_PERM,
	},
	{
		.cmd	= VAULTRING_CMD_KEK_CREATE,
		.doit	= vaultring_nl_kek_create_doit,
		.flags	= GENL_ADMIN_PERM,
	},
	{
		.cmd	= VAULTRING_CMD_UNSEAL_START,
		.doit	= vaultring_nl_unseal_start_doit,
		.flags	= GENL_ADMIN_PERM,
	},
	{
		.cmd	= VAULTRING_CMD_UNSEAL_ANSWER,
		.doit	= vaultring_nl_unseal_answer_doit,
		.flags	= GENL_ADMIN_PERM,
	},
	{
		.cmd	= VAULTRING_CMD_REQUEST_FAIL,
		.doit	= vaultring_nl_request_fail_doit,
		.flags	= GENL_ADMIN_PERM,
	},
	{
		.cmd	= VAULTRING_CMD_KEK_GET,
		.doit	= vaultring_nl_kek_get_doit,
		.dumpit	= vaultring_nl_kek_get_dumpit,
		.flags	= GENL_ADMIN_PERM,
	},
	{
		.cmd	= VAULTRING_CMD_KEK_REVOKE,
		.doit	= vaultring_nl_kek_revoke_doit,
		.flags	= GENL_ADMIN_PERM,
	},
	{
		.cmd	= VAULTRING_CMD_PINS_SET,
		.doit	= vaultring_nl_pins_set_doit,
		.flags	= GENL_ADMIN_PERM,
	},
	{
		.cmd	= VAULTRING_CMD_TRANSPORT_GET,
		.doit	= vaultring_nl_transport_get_doit,
		.flags	= GENL_ADMIN_PERM,
	},
	{
		.cmd	= VAULTRING_CMD_SEALED_FINGERPRINT,
		.doit	= vaultring_nl_sealed_fingerprint_doit,
		.flags	= GENL_ADMIN_PERM,
	},
	{
		.cmd	= VAULTRING_CMD_RESEAL_START,
		.doit	= vaultring_nl_reseal_start_doit,
		.flags	= GENL_ADMIN_PERM,
	},
	{
		.cmd	= VAULTRING_CMD_TRANSPORT_SAVE,
		.doit	= vaultring_nl_transport_save_doit,
		.flags	= GENL_ADMIN_PERM,
	},
	{
		.cmd	= VAULTRING_CMD_TRANSPORT_LOAD,
		.doit	= vaultring_nl_transport_load_doit,
		.flags	= GENL_ADMIN_PERM,
	},
};

const struct genl_multicast_group vaultring_nl_mcgrps[1] = {
	[VAULTRING_NLGRP_EVENTS] = { "events", GENL_MCAST_CAP_NET_ADMIN },
};
