// SPDX-License-Identifier: GPL-2.0-only
/*
 * What an envelope says of its KEK: names and subjects
 */

#include <linux/cred.h>
#include <linux/ctype.h>
#include <linux/uidgid.h>

#include "vr.h"

bool vr_name_ok(const char *name)
{
	size_t len;

	/* A name is also a file's name. */
	if (name[0] == '.' || name[0] == '-')
		return false;
	for (len = 0; name[len]; len++)
		if (!isascii(name[len]) ||
		    (!isalnum(name[len]) && !strchr("._-", name[len])))
			return false;
	return len && len <= VAULTRING_MAX_NAME;
}

static bool cred_in_group(const struct cred *cred, u32 gid)
{
	kgid_t kgid = make_kgid(&init_user_ns, gid);
	int i;

	for (i = 0; i < cred->group_info->ngroups; i++)
		if (gid_eq(cred->group_info->gid[i], kgid))
			return true;
	return gid_eq(cred->fsgid, kgid);
}

/* May a task of these credentials have such a KEK unsealed?  Root always may. */
bool vr_attrs_list(const struct vr_attrs *attrs, const struct cred *cred)
{
	unsigned int i;

	if (uid_eq(cred->fsuid, GLOBAL_ROOT_UID))
		return true;
	for (i = 0; i < attrs->uids; i++)
		if (attrs->uid[i] == from_kuid(&init_user_ns, cred->fsuid))
			return true;
	for (i = 0; i < attrs->gids; i++)
		if (cred_in_group(cred, attrs->gid[i]))
			return true;
	return false;
}
