// SPDX-License-Identifier: GPL-2.0-only
/*
 * Audit records: who did what to which KEK, and what came of it
 */

#include <linux/audit.h>
#include <linux/sched.h>

#include "vr.h"

/* @result is 0 or a negative errno.  May sleep. */
void vr_audit(const char *op, const char *name, u32 version, int result)
{
	struct audit_buffer *ab;

	ab = audit_log_start(NULL, GFP_KERNEL, AUDIT_KERNEL);
	if (!ab)
		return;
	/* A KEK's name has no character that would need escaping. */
	audit_log_format(ab, "module=vaultring op=%s kek=\"%s\" version=%u",
			 op, name, version);
	audit_log_format(ab, " pid=%d uid=%u errno=%d res=%d",
			 task_tgid_nr(current),
			 from_kuid(&init_user_ns, current_uid()), -result,
			 !result);
	audit_log_end(ab);
}
